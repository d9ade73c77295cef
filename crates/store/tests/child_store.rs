//! A child of `fork(2)` opens stores of its own. Alone in its program: no other test starts a
//! thread while it forks.

mod oracle;

use oracle::assert_sound;
use std::io::Write;
use std::path::Path;
use tine_store::{Branch, Error, Options, Store};
use tine_sys::process::fork_and_wait;

fn put(branch: &Branch, key: &[u8], value: &[u8]) {
    let mut txn = branch.write().unwrap();
    txn.put(key, value).unwrap();
    txn.commit().unwrap();
}

/// Runs `child` after a fork, and asserts that all it asserted held.
fn in_child(child: impl FnOnce()) {
    let status = fork_and_wait(|| {
        // The test's own hook would keep the words to the end of the test, in the child's memory.
        std::panic::set_hook(Box::new(|panic| {
            let _ = writeln!(std::io::stderr(), "in a child: {panic}");
        }));
        child();
        0
    });
    assert_eq!(status.unwrap().code(), Some(0), "the child says why above");
}

#[test]
fn a_child_has_stores_of_its_own_and_its_parents_once_that_closed_it() {
    let dir = tempfile::tempdir().unwrap();
    let [path, own] = ["s.tine", "own.tine"].map(|name| dir.path().join(name));
    // A thread that starts while the process is forked would leave a lock of the standard library
    // taken in the child, which then starts no thread of its own.
    let mut alone = Options::default();
    alone.background = false;
    let store = Store::create(&path, &alone).unwrap();
    put(&store.create_branch("main").unwrap(), b"parent", b"was here");
    let held = |path: &Path| match Store::open(path, &Options::default()) {
        Err(Error::Locked { here, .. }) => Some(here),
        _ => None,
    };
    assert_eq!(held(&path), Some(true));
    in_child(|| {
        assert_eq!(held(&path), Some(false), "another process has it open");
        let mine = Store::create(&own, &Options::default()).unwrap();
        put(&mine.create_branch("main").unwrap(), b"child", b"was here");
        mine.close().unwrap();
    });
    store.close().unwrap();
    in_child(|| {
        let store = Store::open(&path, &Options::default()).unwrap();
        put(&store.branch("main").unwrap(), b"child", b"was here");
        store.close().unwrap();
    });
    for path in [path, own] {
        let store = Store::open(&path, &Options::default()).unwrap();
        let found = store.branch("main").unwrap().read().unwrap().get(b"child").unwrap();
        assert_eq!(found.as_deref(), Some(b"was here".as_slice()));
        assert_sound(&store);
    }
}
