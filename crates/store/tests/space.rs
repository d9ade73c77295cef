//! Space: what nothing names comes back, to the store and to the host; and a full host costs
//! nothing that was acknowledged.

mod oracle;

use oracle::{Dice, assert_sound, numbered, quiet, read_content};
use std::sync::Arc;
use tine_store::{BLOCK_BYTES, Branch, Device, Error, MemoryDevice, Store};

const MIB: u64 = 1 << 20;

fn fresh() -> (Arc<MemoryDevice>, Store) {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    (disk, store)
}

fn write_mib(branch: &Branch, map: &[u8], mib: u64, first: u64) {
    for part in 0..mib {
        let staged = branch.stage(&numbered(first + part * 256, 256)).unwrap();
        let mut txn = branch.write().unwrap();
        txn.map(map, part * 256, staged).unwrap();
        txn.commit().unwrap();
    }
}

fn bytes_at_rest(store: &Store, disk: &MemoryDevice) -> u64 {
    store.reclaim_all().unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    disk.allocated_bytes().unwrap()
}

#[test]
fn what_a_deleted_branch_alone_held_goes_back_to_the_host() {
    let (disk, store) = fresh();
    write_mib(&store.create_branch("main").unwrap(), b"f", 8, 0);
    let before = bytes_at_rest(&store, &disk);
    let trial = store.fork("main", "trial").unwrap();
    write_mib(&trial, b"f", 8, 9000);
    write_mib(&trial, b"g", 24, 20_000);
    store.checkpoint().unwrap();
    assert!(disk.allocated_bytes().unwrap() >= before + 32 * MIB);
    drop(trial);
    store.delete("trial").unwrap();
    let after = bytes_at_rest(&store, &disk);
    // A few chunks of 1 MiB stay for the next writer.
    assert!(after <= before + 5 * MIB, "{before} bytes before, {after} after");
    assert_sound(&store);
}

#[test]
fn branches_deleted_in_any_order_leave_what_the_others_name_and_nothing_more() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let (_, store) = fresh();
        write_mib(&store.create_branch("b0").unwrap(), b"f", 2, 0);
        store.checkpoint().unwrap();
        let empty_used = {
            let (_, other) = fresh();
            other.checkpoint().unwrap();
            other.usage().unwrap().data_bytes
        };
        for n in 1..12u64 {
            let from = format!("b{}", dice.roll(n));
            let branch = store.fork(&from, &format!("b{n}")).unwrap();
            let staged = branch.stage(&numbered(n * 1000, 1 + dice.roll(40))).unwrap();
            let mut txn = branch.write().unwrap();
            txn.map(b"f", dice.roll(500), staged).unwrap();
            let (from, to, blocks) = (dice.roll(400), dice.roll(400), 1 + dice.roll(60));
            txn.share(b"f", from..from + blocks, b"g", to).unwrap();
            for key in 0..dice.roll(200) {
                txn.put(&key.to_be_bytes(), &[n as u8; 80]).unwrap();
            }
            txn.commit().unwrap();
            if dice.roll(3) == 0 {
                store.checkpoint().unwrap();
            }
        }
        let mut left: Vec<String> = (0..12).map(|n| format!("b{n}")).collect();
        while !left.is_empty() {
            let name = left.swap_remove(dice.roll(left.len() as u64) as usize);
            let kept: Vec<_> = left
                .iter()
                .map(|n| read_content(&store.branch(n).unwrap().read().unwrap()).unwrap())
                .collect();
            store.delete(&name).unwrap();
            if dice.roll(2) == 0 {
                store.reclaim_all().unwrap();
                assert_sound(&store);
            }
            for (name, content) in left.iter().zip(kept) {
                assert_eq!(
                    read_content(&store.branch(name).unwrap().read().unwrap()).unwrap(),
                    content
                );
            }
        }
        store.reclaim_all().unwrap();
        store.checkpoint().unwrap();
        assert_sound(&store);
        let usage = store.usage().unwrap();
        assert_eq!((usage.branches, usage.reclaim_pending_bytes), (0, 0));
        let slack = 8 * BLOCK_BYTES as u64;
        assert!(
            usage.data_bytes <= empty_used + slack,
            "{} bytes are in use by no branch",
            usage.data_bytes
        );
    }
}

#[test]
fn what_is_overwritten_again_and_again_takes_the_place_of_little_more_than_once() {
    let (disk, store) = fresh();
    let main = store.create_branch("main").unwrap();
    write_mib(&main, b"f", 4, 0);
    let once = bytes_at_rest(&store, &disk);
    for round in 1..100 {
        write_mib(&main, b"f", 4, round * 10_000);
        store.checkpoint().unwrap();
    }
    let after = disk.allocated_bytes().unwrap();
    assert!(after <= once + 24 * MIB, "{once} bytes once, {after} after 100 rounds");
    assert_sound(&store);
}

#[test]
fn exclusive_bytes_are_what_deleting_gives_back() {
    let (_, store) = fresh();
    write_mib(&store.create_branch("main").unwrap(), b"f", 4, 0);
    let trial = store.fork("main", "trial").unwrap();
    write_mib(&trial, b"f", 1, 5000);
    write_mib(&trial, b"g", 2, 6000);
    store.checkpoint().unwrap();
    let exclusive = trial.usage().unwrap().exclusive_bytes;
    store.reclaim_all().unwrap();
    let before = store.usage().unwrap().data_bytes;
    drop(trial);
    store.delete("trial").unwrap();
    store.reclaim_all().unwrap();
    store.checkpoint().unwrap();
    let freed = before - store.usage().unwrap().data_bytes;
    assert!((3 * MIB..4 * MIB).contains(&exclusive), "{exclusive}");
    assert!(
        freed.abs_diff(exclusive) <= 64 << 10,
        "{freed} bytes came free, {exclusive} were promised"
    );
}

#[test]
fn staged_data_that_is_never_committed_costs_nothing_in_the_end() {
    let (_, store) = fresh();
    let main = store.create_branch("main").unwrap();
    store.checkpoint().unwrap();
    let before = store.usage().unwrap().data_bytes;
    for _ in 0..50 {
        drop(main.stage(&numbered(1, 256)).unwrap());
        let staged = main.stage(&numbered(1, 3)).unwrap();
        let mut txn = main.write().unwrap();
        txn.map(b"f", 0, staged).unwrap();
        drop(txn);
    }
    let mut txn = main.write().unwrap();
    txn.put(b"k", b"v").unwrap();
    txn.commit().unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    assert_sound(&store);
    assert!(store.usage().unwrap().data_bytes <= before + 8 * BLOCK_BYTES as u64);
}

#[test]
fn a_reader_keeps_what_it_sees_however_often_the_space_could_be_reused() {
    let (_, store) = fresh();
    let main = store.create_branch("main").unwrap();
    write_mib(&main, b"f", 2, 0);
    store.sync().unwrap();
    let view = main.read().unwrap();
    let seen = read_content(&view).unwrap();
    for round in 1..20 {
        write_mib(&main, b"f", 2, round * 1000);
        store.checkpoint().unwrap();
    }
    assert_eq!(read_content(&view).unwrap(), seen);
    drop(main);
    store.delete("main").unwrap();
    store.reclaim_all().unwrap();
    write_mib(&store.create_branch("other").unwrap(), b"f", 8, 777_777);
    store.checkpoint().unwrap();
    assert_eq!(read_content(&view).unwrap(), seen);
}

#[test]
fn a_reader_that_stays_keeps_its_snapshot_and_not_what_came_and_went_since() {
    let (disk, store) = fresh();
    let main = store.create_branch("main").unwrap();
    write_mib(&main, b"f", 2, 0);
    let values = |round: u64| {
        let mut txn = main.write().unwrap();
        (0..1000u64).for_each(|n| txn.put(&n.to_be_bytes(), &[round as u8; 100]).unwrap());
        txn.commit().unwrap();
    };
    values(0);
    store.checkpoint().unwrap();
    let (view, before) = (main.read().unwrap(), disk.allocated_bytes().unwrap());
    let seen = read_content(&view).unwrap();
    for round in 1..50 {
        write_mib(&main, b"f", 2, round * 1000);
        values(round);
        store.checkpoint().unwrap();
    }
    let grown = disk.allocated_bytes().unwrap() - before;
    assert!(grown <= 12 << 20, "100 MiB came and went, and {grown} bytes stayed");
    assert_eq!(read_content(&view).unwrap(), seen);
}

/// Fills the host with `write` until it says that it is full; how often that went well.
fn fill(mut write: impl FnMut(u64) -> Result<(), Error>) -> u64 {
    for n in 0..1_000_000 {
        match write(n) {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => return n,
            Err(error) => panic!("a full host is told as such, and not as: {error}"),
        }
    }
    panic!("the host never ran full");
}

#[test]
fn a_host_full_of_file_data_refuses_more_and_keeps_all_that_was_acknowledged() {
    let disk = Arc::new(MemoryDevice::with_capacity(40 * MIB));
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    let written = fill(|n| {
        let staged = main.stage(&numbered(n * 64, 64))?;
        let mut txn = main.write()?;
        txn.map(b"f", n * 64, staged)?;
        txn.commit()?;
        main.sync()
    });
    assert!(
        written * 64 * BLOCK_BYTES as u64 > 20 * MIB,
        "only {written} writes of 256 KiB fit into 40 MiB"
    );
    let content = read_content(&main.read().unwrap()).unwrap();
    assert!(content.len() as u64 >= written * 64);

    // Work goes on once there is space: first what frees it, then new writes.
    let mut txn = main.write().unwrap();
    txn.unmap(b"f", 0..written * 32).unwrap();
    txn.commit().unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    let staged = main.stage(&numbered(1, 64)).unwrap();
    let mut txn = main.write().unwrap();
    txn.map(b"again", 0, staged).unwrap();
    txn.commit().unwrap();
    main.sync().unwrap();
    assert_sound(&store);
    let content = read_content(&main.read().unwrap()).unwrap();
    drop(main);
    store.close().unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    assert_eq!(read_content(&store.branch("main").unwrap().read().unwrap()).unwrap(), content);
}

#[test]
fn a_host_full_of_small_values_refuses_more_and_keeps_all_that_was_acknowledged() {
    for sync_every in [1, 50, u64::MAX] {
        let disk = Arc::new(MemoryDevice::with_capacity(24 * MIB));
        let store = Store::create_on(disk.clone(), &quiet()).unwrap();
        let main = store.create_branch("main").unwrap();
        let key = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let written = fill(|n| {
            let mut txn = main.write()?;
            txn.put(&key(n), &[n as u8; 1900])?;
            txn.commit()?;
            if n % sync_every == sync_every - 1 { main.sync() } else { Ok(()) }
        });
        assert!(written > 1000, "only {written} values fit");
        store.delete("main").map(drop).unwrap();
        drop(main);
        store.reclaim_all().unwrap();
        let other = store.create_branch("other").unwrap();
        let mut txn = other.write().unwrap();
        txn.put(b"k", b"v").unwrap();
        txn.commit().unwrap();
        other.sync().unwrap();
        assert_sound(&store);
    }
}

#[test]
fn a_checkpoint_on_a_full_host_loses_no_value_that_was_committed_before() {
    for seed in 0..10 {
        let mut dice = Dice(seed);
        let disk = Arc::new(MemoryDevice::new());
        let store = Store::create_on(disk.clone(), &quiet()).unwrap();
        let main = store.create_branch("main").unwrap();
        store.checkpoint().unwrap();
        // The host fills up under the store: nothing beyond what it holds will be had.
        disk.set_capacity(Some(disk.allocated_bytes().unwrap() + dice.roll(4) * MIB));
        let mut expected = Vec::new();
        let full = fill(|n| {
            let key = dice.roll(u64::MAX).to_be_bytes();
            let value = vec![n as u8; 1500 + dice.roll(400) as usize];
            let mut txn = main.write()?;
            txn.put(&key, &value)?;
            txn.commit()?;
            expected.push((key, value));
            Ok(())
        });
        match store.checkpoint() {
            Ok(()) => {}
            Err(error) => panic!("after {full} commits the checkpoint fails: {error}"),
        }
        drop(main);
        store.close().unwrap();
        let store = Store::open_on(disk, &quiet()).unwrap();
        let read = store.branch("main").unwrap().read().unwrap();
        for (key, value) in expected {
            assert_eq!(read.get(&key).unwrap(), Some(value));
        }
        assert_sound(&store);
    }
}

#[test]
fn forks_and_deletes_by_the_thousand_leave_a_store_as_small_as_before() {
    let (disk, store) = fresh();
    write_mib(&store.create_branch("main").unwrap(), b"f", 1, 0);
    let before = bytes_at_rest(&store, &disk);
    for round in 0..10 {
        for n in 0..200 {
            let name = format!("t{round}-{n}");
            let branch = store.fork("main", &name).unwrap();
            let mut txn = branch.write().unwrap();
            txn.put(b"k", name.as_bytes()).unwrap();
            txn.commit().unwrap();
        }
        for n in 0..200 {
            store.delete(&format!("t{round}-{n}")).unwrap();
        }
        store.checkpoint().unwrap();
    }
    let after = bytes_at_rest(&store, &disk);
    assert!(after <= before + 5 * MIB, "{before} bytes before, {after} after");
    assert_sound(&store);
}
