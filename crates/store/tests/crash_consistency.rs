//! What crashes do in addition to the oracle's random runs: a journal that outgrew its ring,
//! writers in parallel, two sessions after one close mark, and a disk that ignores flushes.

mod oracle;

use oracle::world::one_branch;
use oracle::{Dice, assert_sound, numbered, quiet, read_content};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tine_store::{
    BLOCK_BYTES, Device, LossyDevice, MemoryDevice, Options, Result, SimulatedDevice, Store,
    Survivors,
};

fn lossy(disk: &Arc<MemoryDevice>) -> Arc<LossyDevice> {
    Arc::new(LossyDevice::over(disk.clone(), false).unwrap())
}

/// Enough synced commits in a short time make the journal move to a larger ring.
#[test]
fn a_journal_that_outgrew_its_first_ring_is_as_safe_as_before() {
    for seed in 0..2u64 {
        let disk = Arc::new(one_branch(1536, &quiet()));
        let device = lossy(&disk);
        let store = Store::open_on(device.clone(), &quiet()).unwrap();
        let main = store.branch("main").unwrap();
        let mut dice = Dice(seed);
        let cut_at = 3600 + dice.roll(3000);
        let mut durable = 0;
        device.cut_after(cut_at);
        for n in 0u64.. {
            let commit = || -> Result<()> {
                let mut txn = main.write()?;
                txn.put(&(n % 300).to_be_bytes(), &n.to_be_bytes().repeat(150))?;
                txn.map(b"~f", n % 100, main.stage(&numbered(n, 1))?)?;
                txn.commit()?;
                main.sync()?;
                if n % 900 == 899 { store.checkpoint() } else { Ok(()) }
            };
            if commit().is_err() {
                assert!(device.is_dead());
                break;
            }
            durable = n;
        }
        let ring = store.usage().map(|usage| usage.metadata_bytes);
        device.power_cut(Survivors::Random(seed)).unwrap();
        drop((main, store));
        for round in 0..3u64 {
            let store = Store::open_on(disk.clone(), &quiet()).unwrap();
            assert_sound(&store);
            let usage = store.usage().unwrap();
            assert!(usage.metadata_bytes > 32 << 20, "the ring did not grow: {usage:?}, {ring:?}");
            let main = store.branch("main").unwrap();
            let read = main.read().unwrap();
            if round == 0 {
                read_content(&read).unwrap();
                let found = read.get(&(durable % 300).to_be_bytes()).unwrap().unwrap();
                assert!(u64::from_be_bytes(found[..8].try_into().unwrap()) >= durable);
            }
            // What is written now must not land on the journal, nor the journal on it.
            for part in 0..8 {
                let mut txn = main.write().unwrap();
                txn.map(
                    b"~g",
                    part * 256,
                    main.stage(&numbered(round * 10_000 + part * 256, 256)).unwrap(),
                )
                .unwrap();
                txn.commit().unwrap();
                main.sync().unwrap();
            }
            drop((read, main));
            store.close().unwrap();
        }
    }
}

#[test]
fn a_store_on_a_disk_that_ignores_flushes_loses_what_it_acknowledged() {
    let disk = Arc::new(one_branch(1536, &quiet()));
    let device = Arc::new(LossyDevice::over(disk.clone(), true).unwrap());
    let store = Store::open_on(device.clone(), &quiet()).unwrap();
    let main = store.branch("main").unwrap();
    let mut txn = main.write().unwrap();
    txn.put(b"k", b"v").unwrap();
    txn.commit().unwrap();
    main.sync().unwrap();
    device.power_cut(Survivors::None).unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    assert_eq!(store.branch("main").unwrap().read().unwrap().get(b"k").unwrap(), None);
}

/// Writers, forks and checkpoints in parallel: each commit names a number that its writer saw in
/// another branch before, so what comes back must hold that one too.
#[test]
fn parallel_writers_come_back_in_one_order_over_all_branches() {
    const WRITERS: usize = 3;
    for round in 0..12u64 {
        let disk = Arc::new(one_branch(1536, &quiet()));
        let device = lossy(&disk);
        let mut options = Options::default();
        options.cache_bytes = 1 << 16;
        let store = Store::open_on(device.clone(), &options).unwrap();
        for writer in 0..WRITERS {
            store.create_branch(&format!("w{writer}")).unwrap();
        }
        store.sync().unwrap();
        let committed: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        let durable: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        let stop = AtomicBool::new(false);
        device.cut_after(150 + round * 40);
        std::thread::scope(|scope| {
            for me in 0..WRITERS {
                let (store, committed, durable, stop) = (&store, &committed, &durable, &stop);
                scope.spawn(move || -> Result<()> {
                    let branch = store.branch(&format!("w{me}"))?;
                    for n in 1.. {
                        if stop.load(Ordering::Acquire) {
                            return Ok(());
                        }
                        let seen = committed[(me + 1) % WRITERS].load(Ordering::Acquire);
                        let staged = branch.stage(&numbered(n, 1 + n % 12))?;
                        let mut txn = branch.write()?;
                        txn.put(b"n", &n.to_be_bytes())?;
                        txn.put(b"seen", &seen.to_be_bytes())?;
                        txn.map(b"~f", n % 50, staged)?;
                        txn.commit()?;
                        committed[me].store(n, Ordering::Release);
                        if n % 3 == 0 {
                            branch.sync()?;
                            durable[me].store(n, Ordering::Release);
                        }
                    }
                    Ok(())
                });
            }
            scope.spawn(|| -> Result<()> {
                for n in 0.. {
                    if stop.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    store.fork("w0", &format!("f{n}"))?;
                    store.checkpoint()?;
                    store.delete(&format!("f{n}"))?;
                }
                Ok(())
            });
            for _ in 0..3000 {
                if device.is_dead() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Release);
        });
        assert!(device.is_dead(), "the writers made fewer changes than the fuse allows");
        device.power_cut(Survivors::Random(round)).unwrap();
        drop(store);
        let store = Store::open_on(disk, &quiet()).unwrap();
        assert_sound(&store);
        let number = |writer: usize, key: &[u8]| {
            let read = store.branch(&format!("w{}", writer % WRITERS)).unwrap().read().unwrap();
            read_content(&read).unwrap();
            read.get(key).unwrap().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
        };
        for writer in 0..WRITERS {
            let n = number(writer, b"n");
            assert!(
                n >= durable[writer].load(Ordering::Acquire),
                "an acknowledged commit of w{writer} is lost"
            );
            assert!(n <= committed[writer].load(Ordering::Acquire) + 1);
            assert!(
                number(writer + 1, b"n") >= number(writer, b"seen"),
                "w{writer} came back without what it saw"
            );
        }
    }
}

/// The journal's blocks that are not zero, of a store whose journal lies where it first did.
fn journal_blocks(disk: &MemoryDevice) -> Vec<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let holds = |n: &u64| {
        disk.read_at(n * BLOCK_BYTES as u64, &mut block).unwrap();
        block.iter().any(|b| *b != 0)
    };
    (512..2048).filter(holds).collect()
}

#[test]
fn what_one_life_broke_off_never_continues_another_that_wrote_the_same() {
    let start = one_branch(1536, &quiet());
    let put = |store: &Store, key: &[u8]| {
        let main = store.branch("main").unwrap();
        let mut txn = main.write().unwrap();
        // Large enough for a group of its own, though both share one flush.
        (0..600u64).for_each(|n| txn.put(&n.to_be_bytes(), &[7; 1900]).unwrap());
        txn.put(key, b"v").unwrap();
        txn.commit().unwrap();
    };
    let disk = Arc::new(start.clone_contents());
    let store = Store::open_on(disk.clone(), &quiet()).unwrap();
    put(&store, b"first");
    put(&store, b"second");
    let crashed = LossyDevice::over(disk.clone(), false).unwrap();
    store.sync().unwrap();
    // Of the two groups that one flush wrote, the first is lost.
    let before = journal_blocks(&start);
    let first = journal_blocks(&disk).into_iter().find(|n| !before.contains(n)).unwrap();
    crashed.write_at(first * BLOCK_BYTES as u64, &[0; BLOCK_BYTES]).unwrap();
    crashed.sync().unwrap();
    let disk = Arc::new(disk.clone_contents());
    std::mem::forget(store);
    let store = Store::open_on(disk.clone(), &quiet()).unwrap();
    assert_eq!(store.branch("main").unwrap().read().unwrap().get(b"first").unwrap(), None);
    put(&store, b"first");
    store.sync().unwrap();
    std::mem::forget(store);
    let store = Store::open_on(Arc::new(disk.clone_contents()), &quiet()).unwrap();
    let read = store.branch("main").unwrap().read().unwrap();
    assert_eq!(read.get(b"first").unwrap(), Some(b"v".to_vec()));
    assert_eq!(read.get(b"second").unwrap(), None, "a commit of an earlier life came back");
    assert_sound(&store);
}

/// A close mark needs no flush, so the first flush of the next session may keep that session's
/// groups and lose the mark.
#[test]
fn a_cut_in_the_first_flush_behind_a_close_mark_keeps_the_store_and_all_before_it() {
    let disk = one_branch(1536, &quiet());
    let device = Arc::new(SimulatedDevice::over(&disk));
    let put = |key: &[u8]| {
        let store = Store::open_on(device.clone(), &quiet()).unwrap();
        let main = store.branch("main").unwrap();
        let mut txn = main.write().unwrap();
        txn.put(key, b"v").unwrap();
        txn.commit().unwrap();
        main.sync().unwrap();
        drop(main);
        store.close().unwrap();
        device.changes()
    };
    let one = put(b"one");
    let two = put(b"two");
    let tape = device.tape();
    let mut replay = tape.replay();
    for at in one..=two {
        replay.advance_to(at, 0);
        for seed in 0..40 {
            let store = Store::open_on(Arc::new(replay.cut_power(seed)), &quiet()).unwrap();
            let read = store.branch("main").unwrap().read().unwrap();
            assert_eq!(read.get(b"one").unwrap(), Some(b"v".to_vec()));
            assert_sound(&store);
        }
    }
}
