//! What branches promise, seen from outside.

use std::sync::Arc;
use tine_store::{MemoryDevice, Options, Store};

fn quiet() -> Options {
    let mut options = Options::default();
    options.background = false;
    options
}

fn assert_sound(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
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
