//! Repairing: what is whole in a damaged store comes into the new one, what is not is named, and
//! nothing is wrong.

mod oracle;

use oracle::world::{World, one_branch, read_world};
use oracle::{assert_sound, numbered, quiet};
use std::sync::Arc;
use tine_store::{
    BLOCK_BYTES, Device, Error, ForkOptions, MemoryDevice, RepairReport, Store, repair, repair_onto,
};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Branches that share, a snapshot, a branch whose parent is gone, and commits after the last
/// checkpoint. The state of the checkpoint, and the last one.
fn small_store() -> (MemoryDevice, World, World) {
    let disk = Arc::new(one_branch(96, &quiet()));
    let store = Store::open_on(disk.clone(), &quiet()).unwrap();
    let put = |name: &str, n: u8, blocks: u64| {
        let branch = store.branch(name).unwrap();
        let mut txn = branch.write().unwrap();
        (0..40u8).for_each(|key| txn.put(&[key, n], &[n; 200]).unwrap());
        txn.delete(&[n, n]).unwrap();
        txn.map(b"~f", 3 * u64::from(n), branch.stage(&numbered(n.into(), blocks)).unwrap())
            .unwrap();
        txn.share(b"~f", 0..4, b"~g", 5).unwrap();
        txn.unmap(b"~f", 2..4).unwrap();
        txn.commit().unwrap();
    };
    put("main", 0, 30);
    store.fork("main", "parent").unwrap();
    put("parent", 1, 2);
    store.fork("parent", "one").unwrap();
    store.fork("parent", "two").unwrap();
    store.delete("parent").unwrap();
    put("one", 2, 5);
    put("two", 3, 9);
    put("main", 4, 1);
    store.snapshot("two", "then").unwrap();
    put("two", 5, 3);
    store.checkpoint().unwrap();
    let before = read_world(&store).unwrap();
    put("main", 6, 2);
    store.fork_with("main", "late", &ForkOptions::default()).unwrap();
    let last = read_world(&store).unwrap();
    store.close().unwrap();
    (disk.clone_contents(), before, last)
}

fn repaired(disk: MemoryDevice) -> Result<(World, RepairReport), Error> {
    let target = Store::create_on(Arc::new(MemoryDevice::new()), &quiet()).unwrap();
    let report = repair_onto(Arc::new(disk), &target)?;
    assert_sound(&target);
    Ok((read_world(&target).unwrap(), report))
}

fn contents(world: &World) -> Vec<(&String, &oracle::Content, bool)> {
    world.iter().map(|(name, state)| (name, &state.content, state.sealed)).collect()
}

#[test]
fn a_whole_store_is_copied_whole_with_what_its_branches_share() {
    let (disk, _, last) = small_store();
    let (found, report) = repaired(disk).unwrap();
    assert_eq!(report.lost, []);
    assert_eq!(contents(&found), contents(&last));
    assert_eq!(report.branches, 5);
    let blocks = |state: &oracle::world::BranchState| {
        state.content.keys().filter(|key| key.first() == Some(&b'~')).count() as u64
    };
    let all: u64 = last.values().map(|state| blocks(state)).sum();
    assert!(report.blocks * 3 < all * 2, "{} of {all} blocks were copied", report.blocks);
}

#[test]
fn with_any_block_damaged_what_is_copied_is_right_and_what_is_missing_is_told() {
    let (disk, before, last) = small_store();
    let mut block = vec![0; BLOCK_BYTES];
    let (mut losses, mut whole) = (0, 0);
    for number in 0..disk.len().unwrap() / BLOCK {
        disk.read_at(number * BLOCK, &mut block).unwrap();
        if block.iter().all(|b| *b == 0) {
            continue;
        }
        let damaged = disk.clone_contents();
        block.iter_mut().skip(30).step_by(50).for_each(|b| *b = !*b);
        damaged.write_at(number * BLOCK, &block).unwrap();
        let (found, report) = repaired(damaged).unwrap();
        for (name, state) in &found {
            for (key, value) in &state.content {
                let was = |world: &World| {
                    world.get(name).is_some_and(|state| state.content.get(key) == Some(value))
                };
                assert!(was(&last) || was(&before), "block {number}: {name} has a wrong entry");
            }
        }
        if contents(&found) != contents(&last) {
            // The last group of the journal may have been torn as well as damaged.
            assert!(
                !report.lost.is_empty() || contents(&found) == contents(&before),
                "block {number}: losses are not told"
            );
            losses += 1;
        } else {
            whole += 1;
        }
    }
    assert!(losses > 20 && whole > 5, "{losses} damaged blocks cost something, {whole} nothing");
}

#[test]
fn a_repair_changes_nothing_in_the_damaged_store_and_replaces_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("damaged"), dir.path().join("new"));
    let store = Store::create(&from, &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    let mut txn = main.write().unwrap();
    txn.put(b"key", b"value").unwrap();
    txn.map(b"~f", 0, main.stage(&numbered(9, 40)).unwrap()).unwrap();
    txn.commit().unwrap();
    main.sync().unwrap();
    drop(main);
    store.close().unwrap();
    let bytes = std::fs::read(&from).unwrap();
    let report = repair(&from, &to, &quiet()).unwrap();
    assert_eq!((report.branches, report.lost.len()), (1, 0));
    assert!(std::fs::read(&from).unwrap() == bytes, "the damaged store was written");
    assert!(matches!(repair(&from, &to, &quiet()), Err(Error::StoreExists { .. })));
    let store = Store::open(&to, &quiet()).unwrap();
    let read = store.branch("main").unwrap().read().unwrap();
    assert_eq!(read.get(b"key").unwrap(), Some(b"value".to_vec()));
    std::fs::write(&from, b"something else").unwrap();
    let other = dir.path().join("other");
    assert!(matches!(repair(&from, &other, &quiet()), Err(Error::NotAStore { .. })));
    assert!(!other.exists(), "a repair that found nothing leaves nothing");
}

#[test]
fn tables_and_raw_keys_that_look_like_theirs_stay_apart_in_a_repaired_store() {
    let disk = Arc::new(one_branch(96, &quiet()));
    let store = Store::open_on(disk.clone(), &quiet()).unwrap();
    let main = store.branch("main").unwrap();
    let mut txn = main.write().unwrap();
    txn.table("names")
        .unwrap()
        .load((0..300u32).map(|n| (n.to_be_bytes(), [n as u8; 50])))
        .unwrap();
    txn.put(b"T\x05names\0", b"raw").unwrap();
    txn.map(b"T\x05names", 3, main.stage(&numbered(1, 4)).unwrap()).unwrap();
    txn.commit().unwrap();
    store.fork("main", "fork").unwrap();
    let mut txn = main.write().unwrap();
    txn.table("names").unwrap().load([(7u32.to_be_bytes(), [0; 50])]).unwrap();
    txn.delete(b"T\x05names\0").unwrap();
    txn.commit().unwrap();
    main.sync().unwrap();
    let target = Store::create_on(Arc::new(MemoryDevice::new()), &quiet()).unwrap();
    let report = repair_onto(Arc::new(disk.clone_contents()), &target).unwrap();
    assert_eq!(report.lost, []);
    assert_sound(&target);
    for name in ["main", "fork"] {
        let [before, after] = [&store, &target].map(|s| s.branch(name).unwrap().read().unwrap());
        assert_eq!(before.tables().unwrap(), after.tables().unwrap(), "{name}");
        let [one, other] = [&before, &after].map(|read| read.table("names").unwrap());
        let entries = |table: &tine_store::Table| {
            table.iter().map(|entry| entry.unwrap().value().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(entries(&one), entries(&other), "{name}");
        assert_eq!(before.get(b"T\x05names\0").unwrap(), after.get(b"T\x05names\0").unwrap());
        let data = |read: &tine_store::ReadTxn| {
            let mut data = vec![0; 7 * BLOCK_BYTES];
            read.read_map(b"T\x05names", 0, &mut data).unwrap();
            data
        };
        assert!(data(&before) == data(&after), "{name}");
    }
}
