//! What branches promise, seen from outside.

mod oracle;

use oracle::{Dice, assert_sound, block_key, numbered, quiet, read_branches, read_content};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tine_store::{
    BLOCK_BYTES, Branch, Device, Error, ForkOptions, MemoryDevice, Options, Store, Value, WriteTxn,
    diff,
};

fn fresh() -> (Arc<MemoryDevice>, Store) {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    store.create_branch("main").unwrap();
    (disk, store)
}

fn put(branch: &Branch, key: &[u8], value: &[u8]) {
    let mut txn = branch.write().unwrap();
    txn.put(key, value).unwrap();
    txn.commit().unwrap();
}

fn get(store: &Store, branch: &str, key: &[u8]) -> Option<Vec<u8>> {
    store.branch(branch).unwrap().read().unwrap().get(key).unwrap()
}

#[test]
fn a_branch_says_its_name_and_whether_all_of_it_is_durable() {
    let (_, store) = fresh();
    let main = store.branch("main").unwrap();
    assert_eq!(main.name(), "main");
    store.rename("main", "trunk").unwrap();
    assert_eq!(main.name(), "trunk");
    main.sync().unwrap();
    assert!(main.is_durable());
    put(&main, b"key", b"value");
    assert!(!main.is_durable());
    main.sync().unwrap();
    assert!(main.is_durable());
}

#[test]
fn what_is_done_to_a_branch_is_durable_once_it_was_synced_and_not_before() {
    let (_, store) = fresh();
    let sync = |name: &str, what: &str| {
        let branch = store.branch(name).unwrap();
        assert!(!branch.is_durable(), "{what}");
        branch.sync().unwrap();
        assert!(branch.is_durable(), "{what}");
    };
    sync("main", "made");
    store.fork("main", "trial").unwrap();
    sync("trial", "forked");
    put(&store.branch("trial").unwrap(), b"key", b"value");
    sync("trial", "written to");
    store.rename("trial", "other").unwrap();
    sync("other", "renamed");
    store.reset("other", Some("main")).unwrap();
    sync("other", "reset to another branch");
    put(&store.branch("other").unwrap(), b"key", b"value");
    store.reset("other", None).unwrap();
    sync("other", "reset to where it was forked");
}

#[test]
fn a_reset_branch_is_as_it_was_forked_or_as_the_other_is_now() {
    let (_, store) = fresh();
    let (main, step) = (store.branch("main").unwrap(), |name: &str| get(&store, name, b"step"));
    put(&main, b"step", b"1");
    let trial = store.fork("main", "trial").unwrap();
    put(&trial, b"step", b"2");
    put(&main, b"step", b"3");
    store.reset("trial", None).unwrap();
    assert_eq!((step("trial"), step("main")), (Some(b"1".into()), Some(b"3".into())));
    store.reset("trial", Some("main")).unwrap();
    put(&main, b"step", b"4");
    put(&trial, b"step", b"5");
    store.reset("trial", None).unwrap();
    assert_eq!(step("trial"), Some(b"3".into()), "it counts as forked when it was reset");
    store.reset("trial", Some("trial")).unwrap();
    assert_eq!((step("trial"), step("main")), (Some(b"3".into()), Some(b"4".into())));
    store.reclaim_all().unwrap();
    assert_sound(&store);
}

#[test]
fn long_common_prefixes_survive_a_key_that_breaks_them() {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    let long = |n: u32| [vec![b'm'; 500], n.to_be_bytes().to_vec()].concat();
    let mut txn = main.write().unwrap();
    for n in 0..300 {
        txn.put(&long(n), &[1; 10]).unwrap();
    }
    txn.commit().unwrap();
    for breaker in [&b"a"[..], b"z", b"mm"] {
        let mut txn = main.write().unwrap();
        txn.put(breaker, b"here").unwrap();
        txn.commit().unwrap();
        store.checkpoint().unwrap();
    }
    assert_sound(&store);
    drop(main);
    store.close().unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    let read = store.branch("main").unwrap().read().unwrap();
    for n in 0..300 {
        assert_eq!(read.get(&long(n)).unwrap(), Some(vec![1; 10]), "entry {n}");
    }
    assert_eq!(read.get(b"a").unwrap(), Some(b"here".to_vec()));
}

#[test]
fn what_one_branch_writes_no_other_sees() {
    let (_, store) = fresh();
    let main = store.branch("main").unwrap();
    put(&main, b"k", b"first");
    let trial = store.fork("main", "trial").unwrap();
    let snapshot = store.snapshot("main", "then").unwrap();
    put(&main, b"k", b"main");
    put(&trial, b"k", b"trial");
    assert_eq!(get(&store, "main", b"k"), Some(b"main".to_vec()));
    assert_eq!(get(&store, "trial", b"k"), Some(b"trial".to_vec()));
    assert_eq!(get(&store, "then", b"k"), Some(b"first".to_vec()));
    assert!(snapshot.sealed() && matches!(snapshot.write(), Err(Error::Sealed { .. })));
    assert!(matches!(store.reset("then", Some("main")), Err(Error::Sealed { .. })));
    let base = trial.fork_point().unwrap().unwrap();
    assert_eq!(base.get(b"k").unwrap(), Some(b"first".to_vec()));
    assert!(main.fork_point().unwrap().is_none());
    assert_sound(&store);
}

#[test]
fn names_follow_their_rule_and_are_taken_once() {
    let (_, store) = fresh();
    let long = "x".repeat(129);
    for name in ["", "-a", ".hidden", "a b", "a\n", "ä", "a:b", long.as_str()] {
        assert!(matches!(store.create_branch(name), Err(Error::NameInvalid { .. })), "{name:?}");
        assert!(matches!(store.fork("main", name), Err(Error::NameInvalid { .. })), "{name:?}");
        assert!(matches!(store.rename("main", name), Err(Error::NameInvalid { .. })), "{name:?}");
    }
    let longest = "x".repeat(128);
    for name in ["a", "feature/one", "v1.2_3-rc", longest.as_str()] {
        store.fork("main", name).unwrap();
        assert!(matches!(store.create_branch(name), Err(Error::BranchExists { .. })));
        assert!(matches!(store.rename("main", name), Err(Error::BranchExists { .. })));
    }
    let names: Vec<String> = store.branches().unwrap().into_iter().map(|info| info.name).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!((names.len(), &names), (5, &sorted));
}

#[test]
fn what_is_not_there_is_an_error_with_its_name() {
    let (_, store) = fresh();
    let absent = |result: Result<(), Error>| match result {
        Err(Error::BranchNotFound { name }) => assert_eq!(name, "absent"),
        other => panic!("{other:?}"),
    };
    absent(store.branch("absent").map(drop));
    absent(store.fork("absent", "b").map(drop));
    absent(store.delete("absent"));
    absent(store.rename("absent", "b"));
    absent(store.reset("absent", None));
    absent(store.reset("main", Some("absent")));
    assert!(matches!(store.reset("main", None), Err(Error::NoForkPoint { .. })));
}

#[test]
fn a_deleted_branch_is_gone_for_its_handles_but_not_for_its_readers() {
    let (_, store) = fresh();
    let trial = store.fork("main", "trial").unwrap();
    put(&trial, b"k", b"v");
    let view = trial.read().unwrap();
    let mut open = trial.write().unwrap();
    open.put(b"late", b"v").unwrap();
    store.delete("trial").unwrap();
    assert!(matches!(open.commit(), Err(Error::BranchNotFound { .. })));
    assert!(matches!(trial.read(), Err(Error::BranchNotFound { .. })));
    assert!(matches!(trial.write(), Err(Error::BranchNotFound { .. })));
    store.reclaim_all().unwrap();
    store.create_branch("trial").unwrap();
    assert_eq!(get(&store, "trial", b"k"), None, "a new branch of the name is a new branch");
    assert_eq!(view.get(b"k").unwrap(), Some(b"v".to_vec()));
    assert_sound(&store);
}

#[test]
fn a_parent_may_go_before_its_children_and_what_they_share_stays() {
    let (disk, store) = fresh();
    let main = store.branch("main").unwrap();
    let mut txn = main.write().unwrap();
    txn.map(b"~f", 0, main.stage(&numbered(1, 100)).unwrap()).unwrap();
    txn.commit().unwrap();
    let mut from = "main".to_string();
    for depth in 0..40 {
        let name = format!("d{depth}");
        put(&store.fork(&from, &name).unwrap(), name.as_bytes(), b"here");
        if depth % 7 == 0 {
            store.checkpoint().unwrap();
        }
        store.delete(&from).unwrap();
        from = name;
    }
    drop(main);
    store.reclaim_all().unwrap();
    assert_sound(&store);
    let info = &store.branches().unwrap()[0];
    assert_eq!((info.name.as_str(), &info.parent), ("d39", &None), "the parent is no more");
    store.close().unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    let content = read_content(&store.branch("d39").unwrap().read().unwrap()).unwrap();
    assert_eq!(content.len(), 140);
    assert_eq!(content[&block_key(b"~f", 99)], 100u64.to_le_bytes());
}

#[test]
fn forking_a_large_branch_costs_no_more_than_forking_a_small_one() {
    let (disk, store) = fresh();
    let main = store.branch("main").unwrap();
    for part in 0..40u64 {
        let mut txn = main.write().unwrap();
        for n in 0..500u64 {
            txn.put(&(part * 500 + n).to_be_bytes(), &[7; 200]).unwrap();
        }
        txn.commit().unwrap();
    }
    store.create_branch("small").unwrap();
    store.checkpoint().unwrap();
    let bytes_of = |from: &str, name: &str| {
        store.checkpoint().unwrap();
        let before = store.usage().unwrap().data_bytes;
        for n in 0..100 {
            store.fork(from, &format!("{name}{n}")).unwrap();
        }
        store.checkpoint().unwrap();
        store.usage().unwrap().data_bytes.saturating_sub(before)
    };
    let (small, large) = (bytes_of("small", "s"), bytes_of("main", "l"));
    assert!(
        large <= small + (64 << 10),
        "100 forks of nothing take {small} bytes, of 4 MB {large}"
    );
    assert!(disk.len().unwrap() > 0);
    assert_sound(&store);
}

#[test]
fn thousands_of_branches_are_all_there_after_reopening() {
    let (disk, store) = fresh();
    for n in 0..3000u32 {
        let from = if n == 0 { "main".to_string() } else { format!("b{}", n / 3) };
        let branch = store.fork(&from, &format!("b{n}")).unwrap();
        put(&branch, &n.to_be_bytes(), b"here");
    }
    store.close().unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    assert_eq!(store.branches().unwrap().len(), 3001);
    for n in (0..3000u32).step_by(97) {
        let read = store.branch(&format!("b{n}")).unwrap().read().unwrap();
        let mut line = n;
        loop {
            assert!(
                read.get(&line.to_be_bytes()).unwrap().is_some(),
                "b{n} lacks what b{line} wrote before"
            );
            if line == 0 {
                break;
            }
            line /= 3;
        }
    }
    assert_sound(&store);
}

#[test]
fn a_branch_remembers_who_made_it_when_and_until_when() {
    let (disk, store) = fresh();
    let expires = SystemTime::UNIX_EPOCH + Duration::new(4_000_000_000, 123);
    let before = SystemTime::now();
    store
        .fork_with(
            "main",
            "trial",
            &ForkOptions { sealed: true, expires: Some(expires), ..ForkOptions::default() },
        )
        .unwrap();
    let id = store.branch("trial").unwrap().id();
    store.rename("main", "trunk").unwrap();
    store.close().unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    let info = store.branches().unwrap().remove(0);
    assert_eq!(
        (info.name.as_str(), info.parent.as_deref(), info.sealed),
        ("trial", Some("trunk"), true)
    );
    assert_eq!((info.id, info.expires), (id, Some(expires)));
    assert!(info.created >= before && info.created <= SystemTime::now());
    store.delete("trial").unwrap();
    let next = store.fork("trunk", "trial").unwrap();
    assert!(next.id() > id, "a number is never used again");
}

#[test]
fn keys_values_and_blocks_beyond_their_limits_are_refused() {
    let (_, store) = fresh();
    let main = store.branch("main").unwrap();
    let mut txn = main.write().unwrap();
    txn.put(&[1; 512], &[2; 2000]).unwrap();
    txn.put(b"", b"the empty key").unwrap();
    txn.put(b"empty", b"").unwrap();
    let too_large = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}")
    };
    too_large(txn.put(&[1; 513], b""));
    too_large(txn.put(b"k", &[2; 2001]));
    too_large(txn.delete(&[1; 513]));
    too_large(txn.unmap(&[1; 505], 0..1));
    assert!(matches!(main.stage(&[0; 4095]), Err(Error::PartBlock { len: 4095 })));
    too_large(main.stage(&vec![0; (1 << 20) + 4096]).map(drop));
    too_large(txn.share(b"~f", 0..10, b"~f", 5));
    txn.commit().unwrap();
    let read = main.read().unwrap();
    assert_eq!(read.get(&[1; 512]).unwrap(), Some(vec![2; 2000]));
    assert_eq!(read.get(b"").unwrap(), Some(b"the empty key".to_vec()));
    assert_eq!(read.get(b"empty").unwrap(), Some(Vec::new()));
    assert_sound(&store);
}

#[test]
fn block_numbers_at_the_far_end_of_a_map_are_as_good_as_others_or_refused() {
    let (_, store) = fresh();
    let main = store.branch("main").unwrap();
    for first in [u64::MAX - 4, u64::MAX - 3, u64::MAX - 1, u64::MAX] {
        let mut txn = main.write().unwrap();
        let mapped = txn.map(b"~f", first, main.stage(&numbered(1, 4)).unwrap());
        assert_eq!(mapped.is_ok(), first == u64::MAX - 4, "four blocks from {first} on");
        txn.commit().unwrap();
    }
    let runs: Vec<_> = main.read().unwrap().extents(b"~f", 0).map(Result::unwrap).collect();
    assert_eq!(
        runs.iter().map(|run| (run.block, run.blocks)).collect::<Vec<_>>(),
        [(u64::MAX - 4, 4)]
    );
    let mut beyond = [9; 100];
    let read = main.read().unwrap().read_map(b"~f", u64::MAX - 50, &mut beyond);
    assert!(read.is_err() || beyond == [0; 100]);
    let mut txn = main.write().unwrap();
    txn.unmap(b"~f", 1..u64::MAX).unwrap();
    let beyond = 65 << 56;
    assert!(txn.share(b"T", beyond..beyond + 10, b"~g", 0).is_err());
    assert!(txn.share(b"~f", 0..10, b"~g", u64::MAX - 3).is_err());
    txn.commit().unwrap();
    assert_eq!(main.read().unwrap().extents(b"~f", 0).count(), 0);
    assert_sound(&store);
}

#[test]
fn maps_read_at_any_alignment_with_holes_as_zeros() {
    let (_, store) = fresh();
    let main = store.branch("main").unwrap();
    let mut plain = vec![0u8; 64 * BLOCK_BYTES];
    let mut dice = Dice(5);
    for round in 0..60 {
        let (first, blocks) = (dice.roll(50), 1 + dice.roll(10));
        let at = first as usize * BLOCK_BYTES;
        let mut txn = main.write().unwrap();
        if dice.roll(3) == 0 {
            txn.unmap(b"~f", first..first + blocks).unwrap();
            plain[at..at + blocks as usize * BLOCK_BYTES].fill(0);
        } else {
            let data = numbered(round * 100, blocks);
            txn.map(b"~f", first, main.stage(&data).unwrap()).unwrap();
            plain[at..at + data.len()].copy_from_slice(&data);
        }
        txn.commit().unwrap();
        let read = main.read().unwrap();
        for _ in 0..10 {
            let from = dice.roll(60 * BLOCK_BYTES as u64);
            let mut buf = vec![1; dice.roll(4 * BLOCK_BYTES as u64) as usize];
            read.read_map(b"~f", from, &mut buf).unwrap();
            assert!(buf == plain[from as usize..from as usize + buf.len()]);
        }
    }
    assert_sound(&store);
}

#[test]
fn a_diff_names_exactly_what_differs() {
    for seed in 0..40 {
        let (_, store) = fresh();
        let main = store.branch("main").unwrap();
        let mut dice = Dice(seed);
        let mut change = |branch: &Branch, ops: u64| {
            let mut txn = branch.write().unwrap();
            for _ in 0..ops {
                let key = format!("k{:05}", dice.roll(2000)).into_bytes();
                match dice.roll(4) {
                    0 => txn.delete(&key).unwrap(),
                    1 => txn
                        .map(
                            b"~f",
                            dice.roll(300),
                            branch.stage(&numbered(dice.roll(1 << 40), 3)).unwrap(),
                        )
                        .unwrap(),
                    _ => txn.put(&key, &dice.roll(9).to_le_bytes()).unwrap(),
                }
            }
            txn.commit().unwrap();
        };
        change(&main, 800);
        let trial = store.fork("main", "trial").unwrap();
        change(&trial, seed % 9);
        change(&main, seed % 5);
        if seed % 2 == 0 {
            store.checkpoint().unwrap();
        }
        let (before, after) = (main.read().unwrap(), trial.read().unwrap());
        let entries = |read: &tine_store::ReadTxn| -> BTreeMap<Vec<u8>, Value> {
            read.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap).collect()
        };
        let (old, new) = (entries(&before), entries(&after));
        let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let expected: Vec<_> =
            keys.into_iter().filter(|k| old.get(*k) != new.get(*k)).cloned().collect();
        let found: Vec<_> = diff(&before, &after).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            found.iter().map(|c| c.key.clone()).collect::<Vec<_>>(),
            expected,
            "seed {seed}"
        );
        for change in found {
            assert_eq!(
                (change.before.as_ref(), change.after.as_ref()),
                (old.get(&change.key), new.get(&change.key))
            );
        }
    }
}

#[test]
fn readers_see_whole_transactions_while_writers_of_many_branches_go_on() {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk, &Options::default()).unwrap();
    for n in 0..3 {
        store.create_branch(&format!("w{n}")).unwrap();
    }
    let until = Instant::now() + Duration::from_millis(1500);
    std::thread::scope(|scope| {
        for n in 0..3u64 {
            let store = &store;
            scope.spawn(move || {
                let branch = store.branch(&format!("w{n}")).unwrap();
                let mut round = 0u64;
                while Instant::now() < until {
                    round += 1;
                    let mut txn = branch.write().unwrap();
                    for key in 0..40u64 {
                        txn.put(&(key * 77).to_be_bytes(), &round.to_le_bytes().repeat(20))
                            .unwrap();
                    }
                    txn.map(b"~f", 0, branch.stage(&round.to_le_bytes().repeat(9 * 512)).unwrap())
                        .unwrap();
                    txn.commit().unwrap();
                    if round.is_multiple_of(50) {
                        store.fork(&format!("w{n}"), &format!("f{n}-{round}")).unwrap();
                    }
                    if round.is_multiple_of(70) {
                        store.checkpoint().unwrap();
                    }
                }
            });
            scope.spawn(move || {
                let branch = store.branch(&format!("w{n}")).unwrap();
                while Instant::now() < until {
                    let content = read_content(&branch.read().unwrap()).unwrap();
                    let rounds: std::collections::BTreeSet<_> =
                        content.values().map(|v| v[..8].to_vec()).collect();
                    assert!(
                        rounds.len() <= 1,
                        "a reader sees parts of {} transactions",
                        rounds.len()
                    );
                }
            });
        }
    });
    for content in read_branches(&store).unwrap().values() {
        assert!(content.values().all(|v| v[..8] == content.values().next().unwrap()[..8]));
    }
    assert_sound(&store);
}

#[test]
fn a_reader_keeps_data_that_was_replaced_before_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("s.tine"), &Options::default()).unwrap();
    let branch = store.create_branch("main").unwrap();
    let write = |byte: u8| {
        let staged = branch.stage(&[byte; 4096]).unwrap();
        let mut txn = branch.write().unwrap();
        txn.map(b"m", 0, staged).unwrap();
        txn.commit().unwrap();
    };
    write(1);
    let before = branch.read().unwrap();
    for byte in 2..50 {
        write(byte);
    }
    let mut data = vec![0; 4096];
    before.read_map(b"m", 0, &mut data).unwrap();
    assert!(data.iter().all(|byte| *byte == 1));
    store.checkpoint().unwrap();
    before.read_map(b"m", 0, &mut data).unwrap();
    assert!(data.iter().all(|byte| *byte == 1));
    drop(before);
    assert!(store.check().unwrap().findings.is_empty());
}

#[test]
fn a_value_put_over_an_extent_or_a_delete_of_one_gives_its_blocks_back() {
    let (disk, store) = fresh();
    let main = store.branch("main").unwrap();
    for (map, delete) in [(b"f", false), (b"g", true)] {
        let staged = main.stage(&[7; 4 * BLOCK_BYTES]).unwrap();
        let mut txn = main.write().unwrap();
        txn.map(map, 0, staged).unwrap();
        txn.commit().unwrap();
        let mut txn = main.write().unwrap();
        match delete {
            true => txn.delete(&block_key(map, 0)).unwrap(),
            false => txn.put(&block_key(map, 0), b"inline").unwrap(),
        }
        txn.commit().unwrap();
        store.checkpoint().unwrap();
        assert_sound(&store);
    }
    drop(main);
    store.close().unwrap();
    assert_sound(&Store::open_on(disk, &quiet()).unwrap());
}

#[test]
fn a_map_meets_no_value_and_a_transaction_that_would_is_refused_whole() {
    let (disk, store) = fresh();
    let main = store.branch("main").unwrap();
    put(&main, &block_key(b"f", 3), b"a value");
    let mapped = |fill: &dyn Fn(&mut WriteTxn)| {
        let mut txn = main.write().unwrap();
        txn.put(b"beside", b"changed").unwrap();
        fill(&mut txn);
        txn.commit()
    };
    let four = || main.stage(&numbered(1, 4)).unwrap();
    let refusals: [&dyn Fn(&mut WriteTxn); 6] = [
        &|txn| txn.map(b"f", 0, four()).unwrap(),
        &|txn| txn.unmap(b"f", 2..u64::MAX).unwrap(),
        &|txn| txn.share(b"f", 0..9, b"g", 0).unwrap(),
        &|txn| txn.share(b"g", 0..9, b"f", 0).unwrap(),
        &|txn| {
            txn.put(&block_key(b"g", 1), b"another").unwrap();
            txn.map(b"g", 0, four()).unwrap();
        },
        &|txn| {
            txn.delete(&block_key(b"f", 3)).unwrap();
            txn.map(b"g", 0, four()).unwrap();
            txn.put(&block_key(b"f", 3), b"again").unwrap();
            txn.map(b"f", 0, four()).unwrap();
        },
    ];
    for (at, fill) in refusals.iter().enumerate() {
        assert!(matches!(mapped(fill), Err(Error::WrongKind { .. })), "refusal {at}");
        assert_eq!(get(&store, "main", b"beside"), None, "refusal {at}");
    }
    // Beside it, and in its place, there is room.
    mapped(&|txn| txn.map(b"f", 4, four()).unwrap()).unwrap();
    mapped(&|txn| {
        txn.delete(&block_key(b"f", 3)).unwrap();
        txn.map(b"f", 0, four()).unwrap();
    })
    .unwrap();
    // What is put inside a run hides nothing of it.
    put(&main, &block_key(b"f", 2), b"inside");
    let mut read = vec![0; 8 * BLOCK_BYTES];
    main.read().unwrap().read_map(b"f", 3 * BLOCK_BYTES as u64, &mut read[..BLOCK_BYTES]).unwrap();
    assert!(read[..BLOCK_BYTES] == numbered(1, 4)[3 * BLOCK_BYTES..]);
    main.read().unwrap().read_map(b"f", 0, &mut read).unwrap();
    assert!(read == [numbered(1, 4), numbered(1, 4)].concat());
    assert_sound(&store);
    drop(main);
    store.close().unwrap();
    assert_sound(&Store::open_on(disk, &quiet()).unwrap());
}
