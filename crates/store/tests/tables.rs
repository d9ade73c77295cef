//! Named tables of a branch: what the key-value door promises.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use tine_store::{Branch, Error, Options, Result, Store, Table, diff};

fn with_branch(test: impl FnOnce(&Store, &Branch)) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("s.tine"), &Options::default()).unwrap();
    let main = store.create_branch("main").unwrap();
    test(&store, &main);
}

fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn filled(branch: &Branch, name: &str, keys: impl Iterator<Item = u32>) -> Table {
    let mut txn = branch.write().unwrap();
    txn.table(name).unwrap().load(keys.map(|n| (key(n), [n as u8; 50]))).unwrap();
    txn.commit().unwrap();
    branch.read().unwrap().table(name).unwrap()
}

#[test]
fn tables_with_names_that_begin_alike_do_not_see_each_other() {
    with_branch(|_, main| {
        let names = ["a", "ab", "b", "ä"];
        for (name, count) in names.iter().zip(1000u32..) {
            filled(main, name, 0..count);
        }
        let read = main.read().unwrap();
        for (name, count) in names.iter().zip(1000u32..) {
            let table = read.table(name).unwrap();
            assert_eq!(table.len().unwrap(), u64::from(count));
            assert_eq!(table.iter().count(), count as usize);
            assert_eq!(table.iter().rev().count(), count as usize);
        }
        assert_eq!(read.tables().unwrap(), ["a", "b", "ab", "ä"]);
        assert!(read.table("none").unwrap().is_empty().unwrap());
    });
}

#[test]
fn a_cursor_goes_both_ways_and_stays_inside_its_table() {
    with_branch(|_, main| {
        filled(main, "before", 0..10);
        filled(main, "middlf", 0..10);
        let table = filled(main, "middle", (0..1000).map(|n| n * 2));
        let mut cursor = table.cursor().unwrap();
        assert!(cursor.prev().unwrap().is_none());
        assert_eq!(cursor.next().unwrap().unwrap().key(), key(0));
        cursor.seek(key(501)).unwrap();
        assert_eq!(cursor.next().unwrap().unwrap().key(), key(502));
        assert_eq!(cursor.prev().unwrap().unwrap().key(), key(502));
        assert_eq!(cursor.prev().unwrap().unwrap().key(), key(500));
        cursor.seek_end().unwrap();
        for _ in 0..2 {
            assert!(cursor.next().unwrap().is_none(), "the end stays the end");
        }
        assert_eq!(cursor.prev().unwrap().unwrap().key(), key(1998));
    });
}

#[test]
fn a_transaction_reads_its_own_changes_and_the_last_of_each_key_stays() {
    with_branch(|_, main| {
        filled(main, "t", 0..100);
        let mut txn = main.write().unwrap();
        let mut table = txn.table("t").unwrap();
        for round in 0..40u8 {
            for n in 0..50 {
                table.put(key(n), [round]).unwrap();
                assert_eq!(table.get(key(n)).unwrap(), Some(vec![round]));
            }
            table.delete(key(u32::from(round))).unwrap();
            assert_eq!(table.get(key(u32::from(round))).unwrap(), None);
        }
        assert_eq!(table.get(key(99)).unwrap(), Some(vec![99; 50]));
        txn.commit().unwrap();
        let table = main.read().unwrap().table("t").unwrap();
        assert_eq!(table.get(key(39)).unwrap().as_deref(), None);
        assert_eq!(table.get(key(38)).unwrap().as_deref(), Some([39].as_slice()));
        assert_eq!(table.len().unwrap(), 99);
    });
}

#[test]
fn a_table_differs_by_what_was_changed_in_a_fork_of_it() {
    with_branch(|store, main| {
        let before = filled(main, "t", 0..5000);
        filled(main, "other", 0..5000);
        let trial = store.fork("main", "trial").unwrap();
        let mut txn = trial.write().unwrap();
        txn.table("other").unwrap().delete(key(1)).unwrap();
        let mut table = txn.table("t").unwrap();
        table.put(key(7), "seven").unwrap();
        table.delete(key(4000)).unwrap();
        table.put(key(6000), "more").unwrap();
        txn.commit().unwrap();
        let after = trial.read().unwrap().table("t").unwrap();
        let changes: Vec<_> = before.diff(&after).unwrap().collect::<Result<_>>().unwrap();
        let keys: Vec<_> = changes.iter().map(|c| c.key.clone()).collect();
        assert_eq!(keys, [key(7), key(4000), key(6000)]);
        assert_eq!(changes[0].after.as_deref(), Some(b"seven".as_slice()));
        assert_eq!((&changes[1].after, &changes[2].before), (&None, &None));
    });
}

#[test]
fn names_and_keys_beyond_their_limits_are_errors() {
    with_branch(|_, main| {
        let mut txn = main.write().unwrap();
        for name in ["", "x".repeat(65).as_str()] {
            assert!(matches!(txn.table(name), Err(Error::NameInvalid { .. })));
        }
        let mut table = txn.table("x").unwrap();
        assert!(matches!(table.put([0; 510], ""), Err(Error::TooLarge { .. })));
        table.put([0; 509], "").unwrap();
        txn.commit().unwrap();
        let table = main.read().unwrap().table("x").unwrap();
        assert!(table.get([0; 509]).unwrap().is_some() && table.get([0; 600]).unwrap().is_none());
    });
}

#[test]
fn raw_keys_that_look_like_tables_and_tables_do_not_meet() {
    with_branch(|store, main| {
        let rows = filled(main, "t", 0..100);
        filled(main, "zz", 0..10);
        let before = main.read().unwrap();
        let row = [&b"T\x01t"[..], &key(7)].concat();
        let raw: [&[u8]; 13] = [
            b"S",
            b"T",
            b"T\0",
            b"T\0T",
            b"T\x01",
            b"T\x01t",
            &row,
            b"T\x02zz\xff",
            b"T\x03abc",
            b"T1",
            b"TA",
            b"Tom",
            b"U",
        ];
        let mut txn = main.write().unwrap();
        for key in raw {
            assert_eq!(txn.get(key).unwrap(), None, "{key:?} shows a row");
            txn.delete(key).unwrap();
            txn.put(key, key).unwrap();
            assert_eq!(txn.get(key).unwrap().as_deref(), Some(key));
        }
        for map in [b"T".as_slice(), b"T\x01t", b"", b"T\x05", b"Tt"] {
            txn.map(map, 1, main.stage(&[7; 8192]).unwrap()).unwrap();
            txn.share(map, 2..3, map, 5).unwrap();
            txn.unmap(map, 1..2).unwrap();
        }
        txn.commit().unwrap();

        let read = main.read().unwrap();
        assert_eq!(read.tables().unwrap(), ["t", "zz"]);
        let table = read.table("t").unwrap();
        assert_eq!(table.get(key(7)).unwrap().as_deref(), Some([7; 50].as_slice()));
        assert_eq!((table.len().unwrap(), table.iter().count()), (100, 100));
        assert_eq!(table.iter().rev().count(), 100);
        assert_eq!(rows.diff(&table).unwrap().count(), 0);
        for map in [b"T".as_slice(), b"T\x01t", b"", b"T\x05", b"Tt"] {
            let runs: Vec<_> = read.extents(map, 0).map(|run| run.unwrap().block).collect();
            assert_eq!(runs, [2, 5]);
            let mut bytes = [0; 4 * 4096];
            read.read_map(map, 4096, &mut bytes).unwrap();
            assert!(bytes[..4096] == [0; 4096] && bytes[4096..8192] == [7; 4096]);
        }

        // In order, each once, with the maps' own keys among them, and the same by a difference.
        let found: Vec<_> =
            read.range(Bound::Unbounded, Bound::Unbounded).map(|entry| entry.unwrap().0).collect();
        assert!(found.is_sorted(), "{found:?}");
        let values: Vec<_> = found.iter().filter(|key| key.len() < 8).collect();
        let wanted: Vec<_> = raw.iter().filter(|key| key.len() < 8).collect();
        assert_eq!(values, wanted);
        assert_eq!(found.len(), raw.len() + 10);
        let changed: Vec<_> =
            diff(&before, &read).unwrap().map(|change| change.unwrap().key).collect();
        assert_eq!(changed, found);
        for (at, key) in found.iter().enumerate() {
            let from: Vec<_> =
                read.range(Bound::Included(key), Bound::Unbounded).map(|e| e.unwrap().0).collect();
            assert_eq!(from, found[at..]);
            let to: Vec<_> =
                read.range(Bound::Unbounded, Bound::Excluded(key)).map(|e| e.unwrap().0).collect();
            assert_eq!(to, found[..at]);
            let behind: Vec<_> =
                read.range(Bound::Excluded(key), Bound::Unbounded).map(|e| e.unwrap().0).collect();
            assert_eq!(behind, found[at + 1..]);
        }

        // What changes tables is no change of the raw map, and the reverse.
        let fork = store.fork("main", "fork").unwrap();
        let mut txn = fork.write().unwrap();
        txn.table("t").unwrap().delete(key(7)).unwrap();
        txn.commit().unwrap();
        assert_eq!(diff(&read, &fork.read().unwrap()).unwrap().count(), 0);
        let mut txn = fork.write().unwrap();
        for key in raw {
            txn.delete(key).unwrap();
        }
        txn.unmap(b"", 0..u64::MAX).unwrap();
        txn.unmap(b"T", 0..u64::MAX).unwrap();
        txn.commit().unwrap();
        let fork = fork.read().unwrap();
        assert_eq!(fork.table("t").unwrap().len().unwrap(), 99);
        assert_eq!(fork.tables().unwrap(), ["t", "zz"]);
        assert_eq!(fork.range(Bound::Unbounded, Bound::Included(b"S".as_slice())).count(), 0);
        assert!(store.check().unwrap().findings.is_empty());
    });
}

#[test]
fn tables_of_any_names_and_stores_are_compared() {
    with_branch(|_, main| {
        let old = filled(main, "old", 0..1000);
        let new = filled(main, "newer", (0..1100).filter(|n| n % 100 != 3));
        let mut txn = main.write().unwrap();
        txn.table("newer").unwrap().put(key(500), "other").unwrap();
        txn.commit().unwrap();
        let changed = main.read().unwrap().table("newer").unwrap();
        let keys = |before: &Table, after: &Table| -> Vec<(Vec<u8>, bool, bool)> {
            let changes = before.diff(after).unwrap().map(Result::unwrap);
            changes.map(|c| (c.key, c.before.is_some(), c.after.is_some())).collect()
        };
        let gone = (0..1000).filter(|n| n % 100 == 3).map(|n| (key(n).to_vec(), true, false));
        let added = (1000..1100).filter(|n| n % 100 != 3).map(|n| (key(n).to_vec(), false, true));
        let mut wanted: Vec<_> = gone.chain(added).collect();
        assert_eq!(keys(&old, &new), wanted);
        wanted.push((key(500).to_vec(), true, true));
        wanted.sort();
        assert_eq!(keys(&old, &changed), wanted);
        assert_eq!(keys(&new, &changed), [(key(500).to_vec(), true, true)]);
        assert_eq!(keys(&old, &old), []);
        let reverse: Vec<_> = wanted.iter().map(|(key, a, b)| (key.clone(), *b, *a)).collect();
        assert_eq!(keys(&changed, &old), reverse);

        with_branch(|_, other| {
            for name in ["old", "another"] {
                assert_eq!(keys(&old, &filled(other, name, 0..1000)), []);
                let more = filled(other, name, 1000..1001);
                assert_eq!(keys(&old, &more), [(key(1000).to_vec(), false, true)]);
            }
            let (here, there) = (main.read().unwrap(), other.read().unwrap());
            assert!(matches!(diff(&here, &there), Err(Error::OtherStore { .. })));
            let mut txn = main.write().unwrap();
            let staged = other.stage(&[1; 4096]).unwrap();
            assert!(matches!(txn.map(b"map", 0, staged), Err(Error::OtherStore { .. })));
        });
    });
}

#[test]
fn a_message_names_the_thing_the_limit_and_the_holder_that_it_is_about() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    let store = Store::create(&path, &Options::default()).unwrap();
    let main = store.create_branch("main").unwrap();
    let mut txn = main.write().unwrap();
    let mut messages = vec![
        Store::open(&path, &Options::default()).unwrap_err(),
        store.create_branch("a b").unwrap_err(),
        store.reset("main", None).unwrap_err(),
        main.stage(&[0; 100]).unwrap_err(),
        main.stage(&vec![0; (1 << 20) + 4096]).unwrap_err(),
        txn.table("").map(drop).unwrap_err(),
        txn.table("x").unwrap().put([0; 510], "").unwrap_err(),
        txn.table("x").unwrap().delete([0; 510]).unwrap_err(),
        txn.put(&[0; 513], b"").unwrap_err(),
        txn.put(&[&b"T\0"[..], &[0; 510]].concat(), b"").unwrap_err(),
        txn.share(b"map", 0..5, b"map", 3).unwrap_err(),
        txn.map(b"map", u64::MAX - 1, main.stage(&[0; 8192]).unwrap()).unwrap_err(),
        main.read().unwrap().read_map(b"map", u64::MAX >> 1, &mut [0; 10]).unwrap_err(),
    ];
    txn.map(b"map", 0, main.stage(&[0; 4096]).unwrap()).unwrap();
    txn.commit().unwrap();
    let extent = [&b"map"[..], &[0; 8]].concat();
    messages.push(main.read().unwrap().get(&extent).unwrap_err());
    let messages: Vec<_> = messages.iter().map(Error::to_string).collect();
    let wanted = [
        &format!(
            "the store {} is held by this process; use the handle that opened it",
            path.display()
        ),
        "\"a b\" cannot name a branch: only letters, digits and `. _ - /` are allowed",
        "\"main\" was made empty and has no fork point; name what to reset it to",
        "data of 100 bytes cannot be staged: it must be whole blocks of 4096 bytes",
        "staged data of 1052672 bytes exceeds the limit of 1048576",
        "\"\" cannot name a table: it must have 1 to 64 bytes",
        "a key in a table of this name of 510 bytes exceeds the limit of 509",
        "a key in a table of this name of 510 bytes exceeds the limit of 509",
        "a key of 513 bytes exceeds the limit of 512",
        "a key of 512 bytes exceeds the limit of 511",
        "a share from a map to itself of 5 blocks exceeds the limit of 3",
        "a run up to the end of its map of 2 blocks exceeds the limit of 1",
        "a map to the end of what is read of 9223372036854775817 bytes exceeds the limit of 9223372036854775808",
        "the entry at 6d61700000000000000000 is an extent, not an inline value",
    ];
    assert_eq!(messages, wanted);
}

#[test]
fn a_bulk_load_larger_than_the_journal_is_durable_when_sync_returns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    let store = Store::create(&path, &Options::default()).unwrap();
    let main = store.create_branch("main").unwrap();
    let count = 150_000;
    // Every third key twice, so that the load has to choose which stays.
    filled(&main, "t", (0..count).rev().chain((0..count).step_by(3)));
    main.sync().unwrap();
    drop(main);
    store.close().unwrap();
    let store = Store::open(&path, &Options::default()).unwrap();
    let table = store.branch("main").unwrap().read().unwrap().table("t").unwrap();
    assert_eq!(table.len().unwrap(), u64::from(count));
    assert!((0..count).zip(table.iter()).all(|(n, entry)| entry.unwrap().key() == key(n)));
    assert!(store.check().unwrap().findings.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ranges_from_both_ends_give_each_entry_once(
        keys in prop::collection::btree_set(0..3000u32, 0..1500),
        from in prop::option::of((0..3000u32, any::<bool>())),
        to in prop::option::of((0..3000u32, any::<bool>())),
        turns in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        with_branch(|_, main| {
            let table = filled(main, "t", keys.iter().copied());
            let model: BTreeMap<[u8; 4], ()> = keys.iter().map(|n| (key(*n), ())).collect();
            let bound = |end: Option<(u32, bool)>| match end {
                None => Bound::Unbounded,
                Some((n, true)) => Bound::Included(key(n)),
                Some((n, false)) => Bound::Excluded(key(n)),
            };
            let empty = matches!((from, to), (Some((a, x)), Some((b, y))) if a > b || a == b && !(x && y));
            let mut wanted: Vec<[u8; 4]> = match empty {
                true => Vec::new(),
                false => model.range((bound(from), bound(to))).map(|(k, ())| *k).collect(),
            };
            let mut range = table.range((bound(from), bound(to)));
            let mut turns = turns.into_iter().cycle();
            loop {
                let back = turns.next().unwrap();
                let found = if back { range.next_back() } else { range.next() };
                let model = if back || wanted.is_empty() { wanted.pop() } else { Some(wanted.remove(0)) };
                assert_eq!(found.map(|e| e.unwrap().key().to_vec()), model.map(Vec::from));
                if model.is_none() {
                    break;
                }
            }
            assert!(range.next().is_none() && range.next_back().is_none());
        });
    }
}
