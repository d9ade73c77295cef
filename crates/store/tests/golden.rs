//! Stores made by each version of the format, kept byte for byte: every later version reads them.
//!
//! The image holds the blocks that are not zero: for each, its number (64 bits, little-endian) and
//! its 4096 bytes. `cargo test -p tine-store --test golden -- --ignored` writes the last one in
//! [`IMAGES`] anew. So add a path to that list first, together with a new format number or feature.

mod oracle;

use oracle::{assert_sound, numbered, quiet, read_branches, read_content};
use std::sync::Arc;
use tine_store::{BLOCK_BYTES, Device, MemoryDevice, Store};

/// Version 1 without features, and with thin chunks. The last one is today's.
const IMAGES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/format-1.image"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/format-1-thin-chunks.image"),
];
const RECORD_BYTES: usize = 8 + BLOCK_BYTES;

/// A bit of everything: inner nodes, shared and private extents, a fork point, a snapshot, counts,
/// and a journal with records of each kind after the last checkpoint.
fn build(disk: &Arc<MemoryDevice>) {
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    let mut txn = main.write().unwrap();
    for n in 0..120u64 {
        txn.put(format!("entry {n:03}").as_bytes(), &n.to_le_bytes().repeat(12)).unwrap();
    }
    txn.map(b"~f", 0, main.stage(&numbered(1, 12)).unwrap()).unwrap();
    txn.share(b"~f", 2..5, b"~g", 0).unwrap();
    txn.commit().unwrap();
    store.snapshot("main", "then").unwrap();
    store.fork("main", "trial").unwrap();
    store.checkpoint().unwrap();
    let trial = store.branch("trial").unwrap();
    let mut txn = trial.write().unwrap();
    txn.put(b"entry 007", b"changed").unwrap();
    txn.delete(b"entry 008").unwrap();
    txn.map(b"~f", 5, trial.stage(&numbered(50, 2)).unwrap()).unwrap();
    txn.unmap(b"~g", 1..2).unwrap();
    txn.share(b"~f", 5..7, b"~h", 9).unwrap();
    txn.commit().unwrap();
    store.create_branch("empty").unwrap();
    store.fork("trial", "gone").unwrap();
    store.delete("gone").unwrap();
    store.rename("empty", "renamed").unwrap();
    store.fork("main", "reset").unwrap();
    store.reset("reset", Some("trial")).unwrap();
    store.sync().unwrap();
    drop((main, trial));
    store.close().unwrap();
}

fn load(image: &str) -> Arc<MemoryDevice> {
    let image = std::fs::read(image).expect("the golden image is part of the repository");
    assert_eq!(image.len() % RECORD_BYTES, 0);
    let disk = MemoryDevice::new();
    let mut len = 0;
    for record in image.chunks(RECORD_BYTES) {
        let (number, block) = record.split_at(8);
        let number = u64::from_le_bytes(number.try_into().unwrap());
        // The last record only says how long the file is.
        len = number * BLOCK_BYTES as u64;
        if block.iter().any(|b| *b != 0) {
            disk.write_at(len, block).unwrap();
        }
    }
    disk.set_len(len).unwrap();
    Arc::new(disk)
}

#[test]
fn every_format_reads_as_it_was_written() {
    IMAGES.into_iter().for_each(reads_as_it_was_written);
}

fn reads_as_it_was_written(image: &str) {
    let store = Store::open_on(load(image), &quiet()).unwrap();
    let fresh = Arc::new(MemoryDevice::new());
    build(&fresh);
    let expected = Store::open_on(fresh, &quiet()).unwrap();
    let names = |store: &Store| -> Vec<_> {
        store
            .branches()
            .unwrap()
            .into_iter()
            .map(|info| (info.name, info.parent, info.sealed, info.id))
            .collect()
    };
    assert_eq!(names(&store), names(&expected));
    assert_eq!(names(&store).len(), 5);
    assert_eq!(read_branches(&store).unwrap(), read_branches(&expected).unwrap());
    let base = |store: &Store| {
        let base = store.branch("reset").unwrap().fork_point().unwrap().unwrap();
        read_content(&base).unwrap()
    };
    assert_eq!(base(&store), base(&expected));
    let changed = store.branch("trial").unwrap().read().unwrap().get(b"entry 007").unwrap();
    assert_eq!(changed, Some(b"changed".to_vec()));
    assert_sound(&store);
}

#[test]
fn every_format_can_be_written_on() {
    IMAGES.into_iter().for_each(can_be_written_on);
}

fn can_be_written_on(image: &str) {
    let disk = load(image);
    let store = Store::open_on(disk.clone(), &quiet()).unwrap();
    let trial = store.branch("trial").unwrap();
    let mut txn = trial.write().unwrap();
    txn.put(b"later", b"on").unwrap();
    txn.commit().unwrap();
    drop(trial);
    store.delete("main").unwrap();
    store.delete("then").unwrap();
    store.reclaim_all().unwrap();
    assert_sound(&store);
    store.close().unwrap();
    let store = Store::open_on(disk, &quiet()).unwrap();
    assert_eq!(
        store.branch("trial").unwrap().read().unwrap().get(b"later").unwrap(),
        Some(b"on".to_vec())
    );
    assert_sound(&store);
}

#[test]
#[ignore = "writes the image anew"]
fn write_the_image() {
    let disk = Arc::new(MemoryDevice::new());
    build(&disk);
    let mut image = Vec::new();
    let mut block = vec![0; BLOCK_BYTES];
    let blocks = disk.len().unwrap() / BLOCK_BYTES as u64;
    for number in 0..blocks {
        disk.read_at(number * BLOCK_BYTES as u64, &mut block).unwrap();
        if block.iter().any(|b| *b != 0) {
            image.extend_from_slice(&number.to_le_bytes());
            image.extend_from_slice(&block);
        }
    }
    image.extend_from_slice(&blocks.to_le_bytes());
    image.extend_from_slice(&[0; BLOCK_BYTES]);
    std::fs::write(IMAGES[IMAGES.len() - 1], image).unwrap();
}
