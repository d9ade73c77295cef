//! Several writers, readers, forks, deletions and checkpoints at once, with the background workers
//! running: every branch holds what its own writer put there.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use tine_store::{BLOCK_BYTES, Error, Options, Store, Value};

/// A small generator, so that a run needs no dependency and is the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What a map holds, by key.
type Content = BTreeMap<u64, u8>;

/// One writer: its branch, and the forks that it makes and deletes.
fn writer(store: &Store, name: &str, seed: u64, rounds: u64) {
    let mut dice = Dice(seed | 1);
    let branch = store.branch(name).unwrap();
    let mut entries: BTreeMap<u64, u8> = BTreeMap::new();
    let mut blocks: BTreeMap<u64, u8> = BTreeMap::new();
    let mut forks: Vec<(String, Content, Content)> = Vec::new();
    for round in 0..rounds {
        let byte = round as u8;
        let mut txn = branch.write().unwrap();
        for _ in 0..dice.roll(20) {
            let key = dice.roll(3000);
            txn.put(&key.to_be_bytes(), &[byte; 100]).unwrap();
            entries.insert(key, byte);
        }
        for _ in 0..dice.roll(4) {
            let key = dice.roll(3000);
            txn.delete(&key.to_be_bytes()).unwrap();
            entries.remove(&key);
        }
        let most = if dice.roll(8) == 0 { 100 } else { 3 };
        let (at, count) = (dice.roll(2000), 1 + dice.roll(most));
        let data = vec![byte; count as usize * BLOCK_BYTES];
        txn.map(b"~data", at, branch.stage(&data).unwrap()).unwrap();
        blocks.extend((at..at + count).map(|b| (b, byte)));
        txn.commit().unwrap();
        match dice.roll(20) {
            0 => {
                let fork = format!("{name}/{round}");
                store.fork(name, &fork).unwrap();
                forks.push((fork, entries.clone(), blocks.clone()));
            }
            1 if !forks.is_empty() => {
                let (fork, entries, blocks) =
                    forks.swap_remove(dice.roll(forks.len() as u64) as usize);
                verify(store, &fork, &entries, &blocks);
                store.delete(&fork).unwrap();
            }
            2..=4 => branch.sync().unwrap(),
            _ => {}
        }
    }
    verify(store, name, &entries, &blocks);
    for (fork, entries, blocks) in forks {
        verify(store, &fork, &entries, &blocks);
    }
}

fn verify(store: &Store, name: &str, entries: &BTreeMap<u64, u8>, blocks: &BTreeMap<u64, u8>) {
    let txn = store.branch(name).unwrap().read().unwrap();
    let mut found = BTreeMap::new();
    for entry in txn.range(Bound::Unbounded, Bound::Excluded(b"~")) {
        let (key, value) = entry.unwrap();
        let Value::Bytes(bytes) = value else { panic!("an extent among the entries") };
        found.insert(u64::from_be_bytes(key.try_into().unwrap()), bytes[0]);
    }
    assert_eq!(&found, entries, "{name}");
    let mut data = vec![0; 2200 * BLOCK_BYTES];
    txn.read_map(b"~data", 0, &mut data).unwrap();
    for (at, block) in data.chunks(BLOCK_BYTES).enumerate() {
        let expected = blocks.get(&(at as u64)).copied().unwrap_or(0);
        assert!(block.iter().all(|b| *b == expected), "{name}, block {at}");
    }
}

#[test]
fn writers_readers_forks_and_checkpoints_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    let mut options = Options::default();
    options.cache_bytes = 1 << 20;
    options.dirty_bytes = 1 << 20;
    let store = Store::create(&path, &options).unwrap();
    let names = ["a", "b", "c", "d"];
    for name in names {
        store.create_branch(name).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let store = &store;
        let writers: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(i, name)| scope.spawn(move || writer(store, name, i as u64 * 77 + 5, 400)))
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.checkpoint().unwrap();
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for info in store.branches().unwrap() {
                    match store.branch(&info.name).and_then(|b| b.read()) {
                        Ok(txn) => {
                            let entries = txn
                                .range(Bound::Unbounded, Bound::Unbounded)
                                .map(Result::unwrap)
                                .count();
                            assert_eq!(entries as u64, txn.entries());
                        }
                        Err(Error::BranchNotFound { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        let results: Vec<_> = writers.into_iter().map(|w| w.join()).collect();
        done.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|r| r.unwrap());
    });
    let report = store.check().unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    for info in store.branches().unwrap() {
        store.delete(&info.name).unwrap();
    }
    store.reclaim_all().unwrap();
    let report = store.check().unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(store.usage().unwrap().data_bytes < 1 << 20, "{:?}", store.usage().unwrap());
    store.close().unwrap();
    Store::open(&path, &options).unwrap().close().unwrap();
}

#[test]
fn a_journal_that_grew_lies_in_blocks_that_are_marked_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    let store = Store::create(&path, &Options::default()).unwrap();
    let branch = store.create_branch("main").unwrap();
    let before = store.usage().unwrap().metadata_bytes;
    let mut round = 0u64;
    // Synced changes of a few blocks travel inside the journal, and soon fill the first ring.
    while store.usage().unwrap().metadata_bytes == before {
        let mut txn = branch.write().unwrap();
        let staged = branch.stage(&[round as u8; 7 * BLOCK_BYTES]).unwrap();
        txn.map(b"~data", round % 50 * 7, staged).unwrap();
        txn.commit().unwrap();
        branch.sync().unwrap();
        round += 1;
        assert!(round < 100_000, "the journal never grows");
    }
    let report = store.check().unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    drop(branch);
    store.close().unwrap();
    let store = Store::open(&path, &Options::default()).unwrap();
    let report = store.check().unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}
