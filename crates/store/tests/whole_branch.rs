//! Changes of a whole branch during transactions, readers and handles that are open meanwhile.

mod oracle;

use oracle::{Content, assert_sound, numbered, quiet, read_branches, read_content};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tine_store::{
    Branch, Error, ForkOptions, MemoryDevice, Options, ReadTxn, Result, Store, WriteTxn, diff,
};

/// What a change of `branch` means for what is open of it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    /// It goes on, under this name.
    Stays(&'static str),
    Reset,
    Deleted,
}
use Outcome::{Deleted, Reset, Stays};

type Change = fn(&Store) -> Result<()>;

const CHANGES: &[(&str, Change, Outcome)] = &[
    ("a reset to the fork point", |s| s.reset("branch", None), Reset),
    ("a reset to another branch", |s| s.reset("branch", Some("other")), Reset),
    ("a reset to a snapshot of it", |s| s.reset("branch", Some("then")), Reset),
    (
        "two resets, the second to what it was",
        |s| {
            s.fork("branch", "kept")?;
            s.reset("branch", Some("other"))?;
            s.reset("branch", Some("kept"))
        },
        Reset,
    ),
    (
        "a return to a copy of it",
        |s| copy(s, "branch", "copy").and_then(|()| s.restore("branch", "copy")),
        Reset,
    ),
    ("a return to what was made empty", |s| s.restore("branch", "other"), Reset),
    ("a return of another one to it", |s| s.restore("other", "branch"), Stays("branch")),
    ("a reset to itself", |s| s.reset("branch", Some("branch")), Stays("branch")),
    ("a reset of another one to it", |s| s.reset("other", Some("branch")), Stays("branch")),
    ("a reset of its origin", |s| s.reset("origin", Some("other")), Stays("branch")),
    ("a deletion", |s| s.delete("branch"), Deleted),
    (
        "a deletion, and a new one of the name",
        |s| {
            s.delete("branch")?;
            s.create_branch("branch").map(drop)
        },
        Deleted,
    ),
    (
        "a deletion, and a fork of the name",
        |s| {
            s.delete("branch")?;
            s.fork("other", "branch").map(drop)
        },
        Deleted,
    ),
    (
        "a deletion that is taken apart",
        |s| {
            s.delete("branch")?;
            s.checkpoint()?;
            s.reclaim_all()
        },
        Deleted,
    ),
    ("the deletion of its origin", |s| s.delete("origin"), Stays("branch")),
    ("a new name", |s| s.rename("branch", "renamed"), Stays("renamed")),
    (
        "a new name, and another one of the old",
        |s| {
            s.rename("branch", "renamed")?;
            s.rename("other", "branch")
        },
        Stays("renamed"),
    ),
    (
        "a new name, and a reset under it",
        |s| {
            s.rename("branch", "renamed")?;
            s.reset("renamed", None)
        },
        Reset,
    ),
    ("a fork of it", |s| s.fork("branch", "new").map(drop), Stays("branch")),
    ("a snapshot of it", |s| s.snapshot("branch", "new").map(drop), Stays("branch")),
    ("a checkpoint", Store::checkpoint, Stays("branch")),
];

/// What a transaction does before the change and commits after it.
type Work = fn(&Branch, &mut WriteTxn<'_>) -> Result<()>;

const WORKS: &[(&str, Work)] = &[
    ("only reads", |_, txn| txn.get(b"key").map(drop)),
    ("puts", |_, txn| txn.put(b"key", b"late")),
    ("deletes", |_, txn| txn.delete(b"key")),
    ("puts into a table", |_, txn| txn.table("table")?.put("key", "late")),
    ("deletes from a table", |_, txn| txn.table("table")?.delete("key")),
    ("maps", |branch, txn| txn.map(b"map", 2, branch.stage(&numbered(70, 3))?)),
    ("unmaps", |_, txn| txn.unmap(b"map", 1..3)),
    ("shares", |_, txn| txn.share(b"map", 0..4, b"copy", 0)),
    ("does it all", |branch, txn| {
        WORKS[1..WORKS.len() - 1].iter().try_for_each(|(_, work)| work(branch, txn))
    }),
];

fn fill(branch: &Branch, value: &[u8], first: u64) {
    let mut txn = branch.write().unwrap();
    for n in 0..200u32 {
        txn.put(&n.to_be_bytes(), value).unwrap();
    }
    txn.put(b"key", value).unwrap();
    txn.table("table").unwrap().put("key", value).unwrap();
    txn.map(b"map", 0, branch.stage(&numbered(first, 8)).unwrap()).unwrap();
    txn.commit().unwrap();
}

/// Seals what a branch is, with its fork point.
fn copy(store: &Store, of: &str, name: &str) -> Result<()> {
    let how = ForkOptions { sealed: true, same_fork_point: true, ..ForkOptions::default() };
    store.fork_with(of, name, &how).map(drop)
}

/// `branch`, forked from `origin` and changed since; `other`; and `then`, a snapshot of `branch`
/// before its last change.
fn store() -> (Arc<MemoryDevice>, Store) {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    fill(&store.create_branch("origin").unwrap(), b"origin", 10);
    fill(&store.create_branch("other").unwrap(), b"other", 30);
    let branch = store.fork("origin", "branch").unwrap();
    fill(&branch, b"then", 40);
    store.checkpoint().unwrap();
    store.snapshot("branch", "then").unwrap();
    fill(&branch, b"now", 50);
    (disk, store)
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn all(txn: &ReadTxn) -> (Content, Rows) {
    let rows = txn.table("table").unwrap().iter();
    let rows = rows.map(|row| row.unwrap()).map(|row| (row.key().to_vec(), row.value().to_vec()));
    (read_content(txn).unwrap(), rows.collect())
}

fn content(store: &Store, name: &str) -> (Content, Rows) {
    all(&store.branch(name).unwrap().read().unwrap())
}

#[test]
fn a_transaction_that_is_open_at_a_change_of_the_whole_branch_is_committed_to_what_it_saw_or_refused()
 {
    for (change_name, change, outcome) in CHANGES {
        for (work_name, work) in WORKS {
            let what = format!("{change_name}, beside a transaction that {work_name}");
            let (disk, store) = store();
            // What the transaction makes of the state at which it begins, had nothing come between.
            let alone = store.fork("branch", "alone").unwrap();
            let mut txn = alone.write().unwrap();
            work(&alone, &mut txn).unwrap();
            txn.commit().unwrap();
            let committed = content(&store, "alone");
            drop(alone);

            let branch = store.branch("branch").unwrap();
            let mut txn = branch.write().unwrap();
            work(&branch, &mut txn).unwrap();
            change(&store).unwrap();
            let before = read_branches(&store).unwrap();
            let result = txn.commit();
            match outcome {
                Stays(name) => {
                    result.unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert!(content(&store, name) == committed, "{what}");
                }
                Reset => {
                    assert!(
                        matches!(&result, Err(Error::BranchReset { .. })),
                        "{what}: {result:?}"
                    );
                    assert!(read_branches(&store).unwrap() == before, "{what} changed something");
                }
                Deleted => {
                    let gone = matches!(&result, Err(Error::BranchNotFound { .. }));
                    assert!(gone, "{what}: {result:?}");
                    assert!(read_branches(&store).unwrap() == before, "{what} changed something");
                }
            }
            // The next one is none of the change's business.
            if *outcome != Deleted {
                let mut txn = branch.write().unwrap();
                txn.put(b"next", b"one").unwrap();
                txn.commit().unwrap_or_else(|error| panic!("after {what}: {error}"));
            }
            drop(branch);
            assert_sound(&store);
            let lived = read_branches(&store).unwrap();
            store.close().unwrap();
            let store = Store::open_on(disk, &quiet()).unwrap();
            assert!(read_branches(&store).unwrap() == lived, "{what}, after opening anew");
            assert_sound(&store);
        }
    }
}

#[test]
fn readers_cursors_and_differences_that_are_open_at_a_change_of_the_whole_branch_see_what_they_saw()
{
    for (what, change, outcome) in CHANGES {
        let (_disk, store) = store();
        let branch = store.branch("branch").unwrap();
        let other = store.branch("other").unwrap().read().unwrap();
        let read = branch.read().unwrap();
        let table = read.table("table").unwrap();
        let seen = all(&read);
        let wanted: Vec<_> = diff(&other, &read).unwrap().map(Result::unwrap).collect();
        let base = branch.fork_point().unwrap().unwrap();
        let at_fork_point = all(&base);
        let mut range = read.range(Bound::Unbounded, Bound::Unbounded);
        let first = range.next().unwrap().unwrap();
        let mut changes = diff(&other, &read).unwrap();
        let first_change = changes.next().unwrap().unwrap();
        let mut cursor = table.cursor().unwrap();
        let mut runs = read.extents(b"map", 0);
        let run = runs.next().unwrap().unwrap();
        let staged = branch.stage(&numbered(90, 2)).unwrap();

        change(&store).unwrap();
        // What was freed by the change is written over if it may be.
        let filler = store.create_branch("filler").unwrap();
        for n in 0..20 {
            fill(&filler, b"filler", n);
            store.checkpoint().unwrap();
        }

        assert!(all(&read) == seen && all(&base) == at_fork_point, "{what}");
        let rest: Vec<_> = range.map(Result::unwrap).collect();
        let again: Vec<_> =
            read.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap).collect();
        assert!(again[0] == first && again[1..] == rest, "{what}");
        let rest: Vec<_> = changes.map(Result::unwrap).collect();
        assert!(wanted[0] == first_change && wanted[1..] == rest, "{what}");
        assert_eq!(cursor.next().unwrap().unwrap().value(), b"now", "{what}");
        assert_eq!((run.block, run.blocks, runs.next().is_none()), (0, 8, true), "{what}");

        // A handle names the branch and not its name.
        let gone = |result: Result<()>| matches!(result, Err(Error::BranchNotFound { .. }));
        let mut results = vec![
            branch.read().map(drop),
            branch.write().map(drop),
            branch.stage(&numbered(1, 1)).map(drop),
        ];
        branch.sync().unwrap();
        if *outcome == Deleted {
            assert!(results.drain(..).all(gone), "{what}");
            drop(staged);
        } else {
            results.into_iter().for_each(|result| result.unwrap());
            let mut txn = branch.write().unwrap();
            txn.map(b"new", 0, staged).unwrap();
            txn.commit().unwrap();
            assert_eq!(branch.read().unwrap().extents(b"new", 0).count(), 1, "{what}");
        }
        assert_sound(&store);
    }
}

#[test]
fn a_deleted_branch_keeps_no_space_ready_for_handles_of_it() {
    let store = Store::create_on(Arc::new(MemoryDevice::new()), &quiet()).unwrap();
    let used = |store: &Store| {
        store.reclaim_all().unwrap();
        store.usage().unwrap().data_bytes
    };
    let branch = store.create_branch("branch").unwrap();
    store.delete("branch").unwrap();
    let before = used(&store);
    assert!(matches!(branch.stage(&numbered(1, 4)), Err(Error::BranchNotFound { .. })));
    assert_eq!(used(&store), before);
}

/// A branch holds a counter, and an entry for each number below it. Resets empty it, or give it the
/// state of another.
#[test]
fn what_resets_and_commits_side_by_side_leave_is_one_of_their_orders_and_comes_back_after_a_crash()
{
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    let zero = store.create_branch("zero").unwrap();
    let mut txn = zero.write().unwrap();
    txn.put(b"counter", &0u64.to_be_bytes()).unwrap();
    txn.commit().unwrap();
    let count = |branch: &Branch| -> Result<()> {
        let mut txn = branch.write()?;
        let n = u64::from_be_bytes(txn.get(b"counter")?.unwrap().try_into().unwrap());
        txn.put(b"counter", &(n + 1).to_be_bytes())?;
        txn.put(&n.to_be_bytes(), b"counted")?;
        txn.commit()
    };
    for name in ["a", "b"] {
        store.fork("zero", name).unwrap();
    }
    let ends = AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let writers: Vec<_> = ["a", "a", "b"]
            .into_iter()
            .map(|name| {
                let (store, ends, count) = (&store, &ends, &count);
                scope.spawn(move || {
                    let branch = store.branch(name).unwrap();
                    let mut refused = 0;
                    while !ends.load(Ordering::Relaxed) {
                        match count(&branch) {
                            Ok(()) => {}
                            Err(Error::BranchReset { .. }) => refused += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    refused
                })
            })
            .collect();
        for n in 0..4000 {
            match n % 3 {
                0 => store.reset("a", Some("zero")).unwrap(),
                1 => store.reset("b", Some("a")).unwrap(),
                _ => store.reset("b", None).unwrap(),
            }
            if n % 500 == 0 {
                store.checkpoint().unwrap();
            }
        }
        ends.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).sum::<u32>()
    });
    let whole = |store: &Store| {
        for name in ["a", "b"] {
            let content = content(store, name).0;
            let n = u64::from_be_bytes(content[&b"counter"[..]].as_slice().try_into().unwrap());
            assert_eq!(content.len() as u64, n + 1, "{name} was counted and reset at once");
        }
    };
    whole(&store);
    store.sync().unwrap();
    // The journal tells it as it was.
    let after_a_crash = Arc::new(disk.clone_contents());
    let lived = read_branches(&store).unwrap();
    let store = Store::open_on(after_a_crash, &quiet()).unwrap();
    whole(&store);
    assert!(read_branches(&store).unwrap() == lived, "the journal tells of another order");
    assert_sound(&store);
    println!("{refused} transactions were refused");
}

#[test]
fn a_writer_goes_on_after_a_reset_that_came_between() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("s.tine"), &Options::default()).unwrap();
    let branch = store.create_branch("branch").unwrap();
    fill(&branch, b"origin", 10);
    store.fork("branch", "trial").unwrap();
    let trial = store.branch("trial").unwrap();
    for _ in 0..100 {
        let mut txn = trial.write().unwrap();
        txn.put(b"key", b"late").unwrap();
        store.reset("trial", None).unwrap();
        let error = txn.commit().unwrap_err().to_string();
        assert!(error.contains("\"trial\" was reset"), "{error}");
        let mut txn = trial.write().unwrap();
        txn.put(b"key", b"again").unwrap();
        txn.commit().unwrap();
    }
    assert_sound(&store);
}

#[test]
fn a_branch_returns_to_a_copy_of_itself_with_its_fork_point_and_so_it_is_after_a_crash() {
    let base = |store: &Store, name: &str| {
        store.branch(name).unwrap().fork_point().unwrap().map(|txn| all(&txn))
    };
    for checkpoints in 0..8 {
        let (disk, store) = store();
        let checkpoint = |number: u32| {
            if checkpoints & number != 0 {
                store.checkpoint().unwrap();
            }
        };
        // `branch` has changed since its fork, `origin` was made empty, and `same` is what it was
        // forked from.
        store.fork("other", "same").unwrap();
        let names = ["branch", "origin", "same"];
        let before = names.map(|name| (content(&store, name), base(&store, name)));
        checkpoint(1);
        for name in names {
            copy(&store, name, &format!("copy-of-{name}")).unwrap();
        }
        checkpoint(2);
        for name in names {
            store.reset(name, Some("then")).unwrap();
            fill(&store.branch(name).unwrap(), b"later", 60);
            copy(&store, name, &format!("later-{name}")).unwrap();
            store.restore(name, &format!("copy-of-{name}")).unwrap();
        }
        checkpoint(4);
        let later = fork_of(&store, "later-branch");
        store.sync().unwrap();
        let crashed = Store::open_on(Arc::new(disk.clone_contents()), &quiet()).unwrap();
        for store in [&store, &crashed] {
            for (name, before) in names.iter().zip(&before) {
                assert_eq!((content(store, name), base(store, name)), *before, "{name}");
                let copy = format!("copy-of-{name}");
                assert_eq!((content(store, &copy), base(store, &copy)), *before, "{copy}");
            }
            assert_eq!(base(store, "later-branch"), Some(content(store, "then")));
            // A fork of a copy has the copy for its fork point.
            assert_eq!(base(store, &later), Some(content(store, "later-branch")));
            for name in names {
                store.delete(&format!("copy-of-{name}")).unwrap();
                store.delete(name).unwrap();
            }
            store.reclaim_all().unwrap();
            assert_sound(store);
        }
    }
}

fn fork_of(store: &Store, name: &str) -> String {
    let fork = format!("fork-of-{name}");
    store.fork(name, &fork).unwrap();
    fork
}
