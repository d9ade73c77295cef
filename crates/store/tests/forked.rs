//! `fork(2)` of a process that has a store open: the store stays its own, whatever the child does.

mod oracle;

use oracle::{assert_sound, numbered};
use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Bound;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use tine_store::{Branch, Error, ForkOptions, Options, Result, Store, diff};
use tine_sys::process::fork_and_wait;

const CHILD_STORE: &str = "TINE_TEST_STORE";

fn put(branch: &Branch, key: &[u8], value: &[u8]) -> Result<()> {
    let mut txn = branch.write()?;
    txn.put(key, value)?;
    txn.table("table")?.put(key, value)?;
    txn.commit()
}

fn refused<T>(what: &str, result: Result<T>) {
    assert!(matches!(result, Err(Error::NotInherited)), "{what} must be refused in a child");
}

fn item<T>(mut of: impl Iterator<Item = Result<T>>) -> Result<()> {
    of.next().expect("an error is an item").map(drop)
}

fn eprint(panic: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "in a child: {panic}");
}

/// Runs `child` after a fork, and asserts that all it asserted held.
fn in_child(child: impl FnOnce()) {
    let status = fork_and_wait(|| {
        // The test's own hook would keep the words to the end of the test, in the child's memory.
        std::panic::set_hook(Box::new(|panic| eprint(panic)));
        child();
        0
    });
    assert_eq!(status.unwrap().code(), Some(0), "the child says why above");
}

#[test]
fn every_call_in_a_child_is_refused_and_its_parent_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    let store = Store::create(&path, &Options::default()).unwrap();
    let main = store.create_branch("main").unwrap();
    let other = store.create_branch("other").unwrap();
    for n in 0..2000u32 {
        put(&main, &n.to_be_bytes(), b"value").unwrap();
    }
    let mut first = main.write().unwrap();
    first.map(b"map", 0, main.stage(&numbered(1, 4)).unwrap()).unwrap();
    first.commit().unwrap();
    store.fork("main", "trial").unwrap();
    store.checkpoint().unwrap();

    let read = main.read().unwrap();
    let table = read.table("table").unwrap();
    let mut range = read.range(Bound::Unbounded, Bound::Unbounded);
    let (mut rows, mut cursor) = (table.iter(), table.cursor().unwrap());
    let (mut runs, mut changes) =
        (read.extents(b"map", 0), diff(&other.read().unwrap(), &read).unwrap());
    assert!(range.next().is_some() && rows.next().is_some() && changes.next().is_some());
    let mut txn = main.write().unwrap();
    txn.put(b"open", b"at the fork").unwrap();
    txn.map(b"map", 9, main.stage(&numbered(2, 2)).unwrap()).unwrap();
    let mut open = Some(txn);
    let staged = Cell::new(Some(main.stage(&numbered(3, 1)).unwrap()));

    in_child(|| {
        refused("Store::create_branch", store.create_branch("new"));
        refused("Store::fork", store.fork("main", "new"));
        refused("Store::fork_with", store.fork_with("main", "new", &ForkOptions::default()));
        refused("Store::snapshot", store.snapshot("main", "new"));
        refused("Store::delete", store.delete("other"));
        refused("Store::rename", store.rename("other", "new"));
        refused("Store::reset", store.reset("trial", None));
        refused("Store::branch", store.branch("main"));
        refused("Store::branches", store.branches());
        refused("Store::usage", store.usage());
        refused("Store::sync", store.sync());
        refused("Store::checkpoint", store.checkpoint());
        refused("Store::reclaim_all", store.reclaim_all());
        refused("Store::reclaim_some", store.reclaim_some(1));
        refused("Store::check", store.check());
        refused("Store::close", store.clone().close());
        assert!(store.is_poisoned());

        refused("Branch::read", main.read());
        refused("Branch::base", main.fork_point());
        refused("Branch::stage", main.stage(&numbered(5, 1)));
        refused("Branch::write", other.write());
        refused("Branch::sync", main.sync());
        refused("Branch::usage", main.usage());
        assert!(!main.is_durable() && main.sealed() && main.name().is_empty());

        refused("ReadTxn::get", read.get(b"open"));
        refused("ReadTxn::read_map", read.read_map(b"map", 0, &mut [0; 4096]));
        refused("ReadTxn::referenced_bytes", read.referenced_bytes());
        refused("ReadTxn::table", read.table("table"));
        refused("ReadTxn::tables", read.tables());
        refused("ReadTxn::range", item(read.range(Bound::Unbounded, Bound::Unbounded)));
        refused("Range::next", item(&mut range));
        refused("ReadTxn::extents", item(read.extents(b"map", 0)));
        refused("Extents::next", item(&mut runs));
        refused("diff", diff(&read, &read));
        refused("Diff::next", item(&mut changes));

        refused("Table::get", table.get(b"open"));
        refused("Table::iter", item(table.iter()));
        refused("Table::len", table.len());
        refused("Table::is_empty", table.is_empty());
        refused("Table::cursor", table.cursor());
        refused("Table::diff", table.diff(&table));
        refused("TableRange::next", item(&mut rows));
        refused("TableRange::next_back", item(table.iter().rev()));
        refused("TableCursor::next", cursor.next());
        refused("TableCursor::prev", cursor.prev());
        refused("TableCursor::seek", cursor.seek(b""));
        refused("TableCursor::seek_end", cursor.seek_end());

        let txn = open.as_mut().unwrap();
        refused("WriteTxn::get", txn.get(b"open"));
        refused("WriteTxn::put", txn.put(b"key", b"value"));
        refused("WriteTxn::delete", txn.delete(b"key"));
        refused("WriteTxn::map", txn.map(b"map", 20, staged.take().unwrap()));
        refused("WriteTxn::unmap", txn.unmap(b"map", 0..1));
        refused("WriteTxn::share", txn.share(b"map", 0..1, b"copy", 0));
        refused("WriteTxn::table", txn.table("table").map(drop));
        refused("WriteTxn::commit", open.take().unwrap().commit());
    });

    open.unwrap().commit().unwrap();
    assert_eq!(main.read().unwrap().get(b"open").unwrap().as_deref(), Some(&b"at the fork"[..]));
    let number = |entry: &Result<(Vec<u8>, _)>| entry.as_ref().unwrap().0.len() == 4;
    assert_eq!(range.filter(|entry| number(entry)).count(), 2000 - 1, "one was given before");
    assert!(cursor.next().unwrap().is_some() && rows.next().unwrap().is_ok());
    assert_sound(&store);
}

#[test]
fn handles_that_a_child_drops_leave_the_store_to_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    for background in [true, false] {
        let _ = std::fs::remove_file(&path);
        let mut options = Options::default();
        options.background = background;
        let store = Store::create(&path, &options).unwrap();
        let main = store.create_branch("main").unwrap();
        put(&main, b"before", b"the fork").unwrap();
        let (read, staged) = (main.read().unwrap(), main.stage(&numbered(1, 4)).unwrap());
        let range = read.range(Bound::Unbounded, Bound::Unbounded);
        let before = std::fs::read(&path).unwrap();
        let handles = Cell::new(Some((range, read, staged, main, store)));
        in_child(|| {
            drop(handles.take());
            // Where the parent's workers write, too, nothing can be said of the file.
            assert!(background || std::fs::read(&path).unwrap() == before, "a child wrote");
        });
        let (range, read, staged, main, store) = handles.take().unwrap();
        assert!(range.map(|entry| entry.unwrap().0).any(|key| key == b"before"));
        let mut txn = main.write().unwrap();
        txn.map(b"map", 0, staged).unwrap();
        txn.commit().unwrap();
        drop((read, main));
        store.close().unwrap();
        let store = Store::open(&path, &options).unwrap();
        let read = store.branch("main").unwrap().read().unwrap();
        assert_eq!(read.get(b"before").unwrap().as_deref(), Some(&b"the fork"[..]));
        assert_eq!(read.extents(b"map", 0).count(), 1);
        drop(read);
        assert_sound(&store);
    }
}

#[test]
fn a_parent_goes_on_committing_while_children_come_use_their_copies_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    let store = Store::create(&path, &Options::default()).unwrap();
    let main = store.create_branch("main").unwrap();
    let ends = AtomicBool::new(false);
    let committed = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2u32)
            .map(|writer| {
                let (main, ends) = (&main, &ends);
                scope.spawn(move || {
                    let mut n = 0u32;
                    while !ends.load(Ordering::Relaxed) {
                        put(main, &[writer.to_be_bytes(), n.to_be_bytes()].concat(), b"here")
                            .unwrap();
                        if n.is_multiple_of(16) {
                            main.sync().unwrap();
                        }
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        for _ in 0..60 {
            in_child(|| {
                refused("a commit", put(&main, b"child", b"was here"));
                refused("a read", main.read());
                refused("a sync", store.sync());
                drop((main.clone(), store.clone()));
            });
        }
        ends.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).sum::<u32>()
    });
    drop(main);
    store.close().unwrap();
    let store = Store::open(&path, &Options::default()).unwrap();
    let read = store.branch("main").unwrap().read().unwrap();
    assert_eq!(read.table("table").unwrap().len().unwrap(), u64::from(committed));
    assert_eq!(read.get(b"child").unwrap(), None);
    drop(read);
    assert_sound(&store);
}

/// Not a test: opens a store and forks a child that lives until the input ends.
#[test]
#[ignore = "run as a child by the test that kills it"]
fn process_with_a_store_and_a_child() {
    let Some(path) = std::env::var_os(CHILD_STORE) else { return };
    let store = Store::open(path.as_ref(), &Options::default()).unwrap();
    let main = store.branch("main").unwrap();
    put(&main, b"acknowledged", b"yes").unwrap();
    main.sync().unwrap();
    in_child(|| {
        println!("forked");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        refused("a commit of a child without its parent", put(&main, b"child", b"was here"));
        println!("refused");
    });
}

#[test]
fn a_store_is_free_when_its_process_was_killed_though_a_child_of_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.tine");
    Store::create(&path, &Options::default()).unwrap().create_branch("main").unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap());
    parent.args(["--exact", "process_with_a_store_and_a_child", "--ignored", "--nocapture"]);
    parent.env(CHILD_STORE, &path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let input = parent.stdin.take();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let mut says = |what: &str| lines.by_ref().any(|line| line.unwrap().ends_with(what));
    assert!(says("forked"));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let store = Store::open(&path, &Options::default()).expect("the child keeps no lock");
    drop(input);
    assert!(says("refused"));
    let read = store.branch("main").unwrap().read().unwrap();
    assert_eq!(read.get(b"acknowledged").unwrap().as_deref(), Some(b"yes".as_slice()));
    assert_eq!(read.get(b"child").unwrap(), None);
    drop(read);
    assert_sound(&store);
}
