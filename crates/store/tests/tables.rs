//! Named tables of a branch: what the key-value door promises.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use tine_store::{Branch, Error, Options, Result, Store, Table};

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
fn a_bulk_load_larger_than_the_journal_is_durable_when_sync_returns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    let store = Store::create(&path, &Options::default()).unwrap();
    let main = store.create_branch("main").unwrap();
    let count = 150_000;
    // Every third key twice, so that the load has to settle which stays.
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
