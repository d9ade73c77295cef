//! Space on its way back to the host, and a power cut: others fill the host at that very moment,
//! and the store opens on what it has; or there is room, and nothing is left behind.

mod oracle;

use oracle::{assert_sound, numbered, quiet, read_branches};
use std::sync::Arc;
use tine_store::{Device, Faults, MemoryDevice, SimulatedDevice, Store};

const MIB: u64 = 1 << 20;
/// Blocks of data in each MiB that stay: what is free is next to what is used.
const STAY: u64 = 96;

/// A store of which most was deleted again; nothing has been given back yet.
fn mostly_free() -> MemoryDevice {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    for mib in 0..24 {
        let mut txn = main.write().unwrap();
        txn.map(b"f", mib * 256, main.stage(&numbered(mib * 256, 256)).unwrap()).unwrap();
        txn.unmap(b"f", mib * 256 + STAY..(mib + 1) * 256).unwrap();
        txn.commit().unwrap();
    }
    for n in 0..8u64 {
        let trial = store.fork("main", &format!("trial-{n}")).unwrap();
        let mut txn = trial.write().unwrap();
        txn.map(b"g", 0, trial.stage(&numbered(n, 256)).unwrap()).unwrap();
        txn.commit().unwrap();
    }
    (0..8).for_each(|n| store.delete(&format!("trial-{n}")).unwrap());
    store.sync().unwrap();
    let tape = disk.clone_contents();
    drop((main, store));
    tape
}

/// Gives back what is free, while small values are committed all over, and takes some of it into
/// use again.
fn give_back(device: &Arc<SimulatedDevice>) {
    let store = Store::open_on(device.clone(), &quiet()).unwrap();
    let main = store.branch("main").unwrap();
    for round in 0..4u64 {
        for n in 0..60u64 {
            let mut txn = main.write().unwrap();
            txn.put(&(n * 977 % 600).to_be_bytes(), &[round as u8; 1500]).unwrap();
            txn.commit().unwrap();
            if n % 20 == 0 {
                main.sync().unwrap();
            }
        }
        store.reclaim_all().unwrap();
        let mut txn = main.write().unwrap();
        txn.map(b"h", round * 256, main.stage(&numbered(round, 256)).unwrap()).unwrap();
        txn.commit().unwrap();
        store.checkpoint().unwrap();
        txn = main.write().unwrap();
        txn.unmap(b"h", round * 256..round * 256 + 250).unwrap();
        txn.commit().unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_power_cut_while_space_goes_back_leaves_a_store_that_opens_on_a_host_that_others_filled() {
    let device = Arc::new(SimulatedDevice::over(&mostly_free()));
    give_back(&device);
    let tape = device.tape();
    let mut replay = tape.replay();
    let mut smallest = u64::MAX;
    for at in 0..=tape.changes() {
        replay.advance_to(at, 7);
        // All that was done is on the disk, as if its own cache had been written; and then the host
        // is full.
        let disk = replay.all();
        smallest = smallest.min(disk.allocated_bytes().unwrap());
        let full = Faults { full_from: Some(0), ..Faults::default() };
        let store = Store::open_on(Arc::new(SimulatedDevice::with_faults(&disk, full)), &quiet())
            .unwrap_or_else(|e| panic!("cut {at} of {}: it does not open: {e}", tape.changes()));
        let main = &read_branches(&store).unwrap()["main"];
        let kept = main.iter().filter(|(key, _)| key.starts_with(b"f")).count() as u64;
        assert_eq!(kept, 24 * STAY, "cut {at}");
        assert_sound(&store);
    }
    assert!(smallest < 23 * MIB, "space went back: {smallest} bytes were left");
}

#[test]
fn what_a_power_cut_kept_from_going_back_goes_back_in_the_next_life() {
    let device = Arc::new(SimulatedDevice::over(&mostly_free()));
    give_back(&device);
    let tape = device.tape();
    let mut replay = tape.replay();
    for at in 0..=tape.changes() {
        replay.advance_to(at, 7);
        let disk = replay.cut_power(at as u64);
        let before = disk.allocated_bytes().unwrap();
        let device = Arc::new(SimulatedDevice::over(&disk));
        let store = Store::open_on(device.clone(), &quiet()).unwrap();
        store.reclaim_all().unwrap();
        let (used, after) = (store.usage().unwrap().data_bytes, device.allocated_bytes().unwrap());
        // The journal's ring, what is kept for the next writes and for deletes, and runs too short
        // to go.
        let most = used + (6 + 4 + 2 + 2) * MIB;
        assert!(after <= most, "cut {at}: of {before} bytes {after} are left for {used} in use");
    }
}

#[test]
fn whole_chunks_go_back_while_others_write_once_a_checkpoint_recorded_them() {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    for mib in 0..32 {
        let mut txn = main.write().unwrap();
        txn.map(b"f", mib * 256, main.stage(&numbered(mib, 256)).unwrap()).unwrap();
        txn.commit().unwrap();
    }
    (0..3).for_each(|_| store.checkpoint().unwrap());
    let mut txn = main.write().unwrap();
    txn.unmap(b"f", 0..32 * 256).unwrap();
    txn.commit().unwrap();
    let before = disk.allocated_bytes().unwrap();
    // Frees; marks; records and gives back, sixteen chunks a time.
    let given = [(); 5].map(|()| {
        store.checkpoint().unwrap();
        before.saturating_sub(disk.allocated_bytes().unwrap()) / MIB
    });
    assert_eq!(given[0], 0, "nothing goes before it is recorded");
    assert!(given[1] >= 14 && given[4] >= 24, "{given:?} MiB");
    assert_sound(&store);
}
