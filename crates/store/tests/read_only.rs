//! A store that is opened for reading alone: its file stays as it is, its journal counts, and
//! no process writes it meanwhile.

mod oracle;

use oracle::{numbered, quiet};
use std::path::Path;
use tine_store::{Error, Repair, Store, repair};

/// A store whose last commits are in its journal alone, as a crash leaves it.
fn crashed(path: &Path) {
    let whole = path.with_extension("open");
    let store = Store::create(&whole, &quiet()).unwrap();
    let main = store.create_branch("main").unwrap();
    let mut txn = main.write().unwrap();
    txn.put(b"key", b"value").unwrap();
    txn.map(b"~f", 0, main.stage(&numbered(9, 40)).unwrap()).unwrap();
    txn.commit().unwrap();
    store.checkpoint().unwrap();
    store.fork("main", "fork").unwrap();
    let mut txn = main.write().unwrap();
    txn.put(b"key", b"later").unwrap();
    txn.map(b"~g", 0, main.stage(&numbered(10, 5)).unwrap()).unwrap();
    txn.commit().unwrap();
    store.sync().unwrap();
    std::fs::copy(&whole, path).unwrap();
}

fn key(store: &Store, branch: &str) -> Vec<u8> {
    store.branch(branch).unwrap().read().unwrap().get(b"key").unwrap().unwrap()
}

#[test]
fn what_the_journal_holds_is_read_and_the_file_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    crashed(&path);
    let bytes = std::fs::read(&path).unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    let store = Store::open_read_only(&path, &quiet()).unwrap();
    assert_eq!((key(&store, "main"), key(&store, "fork")), (b"later".to_vec(), b"value".to_vec()));
    assert_eq!(store.check().unwrap().findings, []);
    assert!(store.usage().unwrap().data_bytes > 0);
    // Others read it at the same time; what one of them changes, it alone sees.
    let other = Store::open_read_only(&path, &quiet()).unwrap();
    let scratch = other.fork("main", "scratch").unwrap();
    let mut txn = scratch.write().unwrap();
    txn.put(b"key", b"of the other").unwrap();
    txn.map(b"~h", 0, scratch.stage(&numbered(11, 200)).unwrap()).unwrap();
    txn.commit().unwrap();
    other.checkpoint().unwrap();
    assert_eq!(other.check().unwrap().findings, []);
    assert!(matches!(store.branch("scratch"), Err(Error::BranchNotFound { .. })));
    other.sync().unwrap();
    drop(scratch);
    other.close().unwrap();
    store.close().unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes, "the file was written");
}

#[test]
fn readers_and_a_writer_keep_one_another_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    crashed(&path);
    let reader = Store::open_read_only(&path, &quiet()).unwrap();
    assert!(matches!(Store::open(&path, &quiet()), Err(Error::Locked { .. })));
    repair(&path, &dir.path().join("repaired"), &quiet()).unwrap();
    drop(reader);
    let writer = Store::open(&path, &quiet()).unwrap();
    assert!(matches!(Store::open_read_only(&path, &quiet()), Err(Error::Locked { .. })));
    let again = dir.path().join("again");
    assert!(matches!(repair(&path, &again, &quiet()), Err(Error::Locked { .. })));
    assert!(!again.exists());
    drop(writer);
}

#[test]
fn a_repair_that_is_not_finished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("store"), dir.path().join("repaired"));
    crashed(&path);
    let begun = Repair::begin(&path, &to, &quiet(), |_| true).unwrap();
    assert!(to.exists());
    drop(begun);
    assert!(!to.exists());
}

#[test]
fn what_is_no_store_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    std::fs::write(&other, "something else").unwrap();
    let error = Store::open_read_only(&other, &quiet()).unwrap_err();
    assert!(matches!(&error, Error::NotAStore { what, .. } if what.contains("other")), "{error}");
    assert!(matches!(Store::open_read_only(dir.path(), &quiet()), Err(Error::NotAStore { .. })));
    assert!(matches!(
        Store::open_read_only(&dir.path().join("absent"), &quiet()),
        Err(Error::StoreNotFound { .. })
    ));
}
