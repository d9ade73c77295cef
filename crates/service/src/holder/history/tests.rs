//! What a process that dies leaves, what a hostile hand writes, and what the days end.

use std::sync::Arc;
use std::time::Duration;

use tine_store::{Branch, MemoryDevice, Options, Store};

use super::kept::{KEEP_DELETED, content};
use super::record::{Deleted, Item, Moment};
use super::records::{self, Change, Records};
use crate::holder::context::Context;
use crate::holder::{Call, Execute, find, names};
use crate::protocol::branches::{Delete, Reset};
use crate::protocol::history::{Gone, Log, Logged, PointKind, Undo};
use crate::protocol::usage::MeasureStore;
use crate::protocol::{Code, Progress, Result};

fn quiet() -> Options {
    let mut options = Options::default();
    options.background = false;
    options
}

/// A store with the branches `main` and `other`, in which `key` has these values.
fn store() -> (Arc<MemoryDevice>, Store) {
    let disk = Arc::new(MemoryDevice::new());
    let store = Store::create_on(disk.clone(), &quiet()).unwrap();
    for name in ["main", "other"] {
        let branch = store.create_branch(name).unwrap();
        let mut txn = branch.write().unwrap();
        txn.put(b"key", name.as_bytes()).unwrap();
        txn.commit().unwrap();
    }
    (disk, store)
}

fn ask<A: Execute>(context: &Context, ask: A) -> Result<A::Answer> {
    Call::new(context, Vec::new(), &Progress::default()).answer(ask)
}

fn reset(context: &Context) {
    let (name, to) = ("main".into(), Some("other".into()));
    ask(context, Reset { name, to, force: false }).unwrap();
}

fn undo(context: &Context, name: &str, redo: bool) -> Result<()> {
    ask(context, Undo { name: name.into(), redo, force: false }).map(drop)
}

fn delete(context: &Context, name: &str, now: bool) -> Result<()> {
    let (names, kind) = (vec![name.into()], PointKind::Delete);
    ask(context, Delete { names, force: false, now, kind }).map(drop)
}

fn log(context: &Context, name: &str) -> Logged {
    ask(context, Log { name: name.into() }).unwrap()
}

fn value(context: &Context, name: &str) -> Vec<u8> {
    let named = find::find(context.store(), name).unwrap();
    context.store().branch(&named.stored).unwrap().read().unwrap().get(b"key").unwrap().unwrap()
}

/// The names that no person sees, apart from the records.
fn hidden(store: &Store) -> Vec<String> {
    let names = store.branches().unwrap().into_iter().map(|info| info.name);
    names.filter(|name| names::is_kept(name)).collect()
}

/// Changes records as a process does that dies afterwards.
fn half(store: &Store, change: impl FnOnce(&mut Change<'_>) -> Result<()>) {
    let branch = records::branch(store).unwrap();
    let mut records = Change::begin(&branch).unwrap();
    change(&mut records).unwrap();
    records.commit().unwrap();
}

/// Sweeps, after which records and content agree.
fn sweep_and_compare(store: &Store, what: &str) {
    super::sweep(store).unwrap();
    let records = Records::read(store).unwrap();
    let kept = records.oldest().map(|entry| content(entry.unwrap().1));
    let mut kept: Vec<String> = kept.collect();
    kept.sort();
    assert_eq!(kept, hidden(store), "{what}");
    assert_eq!(records.under_way().count(), 0, "{what}");
    assert_eq!(store.check().unwrap().findings, [], "{what}");
}

#[test]
fn a_process_that_dies_between_any_two_steps_leaves_what_was_before_or_what_comes_after() {
    let (_, store) = store();
    let context = Context::over(store);
    let store = context.store();
    reset(&context);
    let id = store.branch("main").unwrap().id();
    let (point, branch) = (Item { branch: id, serial: Some(2) }, Item { branch: id, serial: None });

    // A point, without content and with it, but without its record.
    half(store, |change| change.begin_way(point));
    sweep_and_compare(store, "a mark");
    half(store, |change| change.begin_way(point));
    store.snapshot("main", &content(point)).unwrap();
    sweep_and_compare(store, "a content without a record");
    reset(&context);
    assert_eq!(log(&context, "main").points.len(), 2);

    // A point that goes: its content is still there.
    let order = Records::read(store).unwrap().point(id, 2).unwrap().unwrap().order;
    half(store, |change| {
        change.begin_way(point)?;
        change.drop_order(order)?;
        change.drop_point(id, 2)
    });
    sweep_and_compare(store, "a content that was to go");

    // A branch that is deleted: not renamed yet, and renamed.
    let deleted = |change: &mut Change<'_>| {
        change.begin_way(branch)?;
        let order = change.next_order(branch)?;
        let (name, time, kind) = ("main".into(), Moment::now(), PointKind::Delete);
        change.put_deleted(id, &Deleted { name, time, kind, order, gone: None })
    };
    half(store, deleted);
    sweep_and_compare(store, "not renamed yet");
    assert_eq!(value(&context, "main"), b"other");
    half(store, deleted);
    store.rename("main", &content(branch)).unwrap();
    sweep_and_compare(store, "renamed");
    assert!(log(&context, "main").deleted.is_some_and(|row| row.until.is_some()));

    // One that comes back: not renamed yet, and renamed.
    half(store, |change| change.begin_way(branch));
    sweep_and_compare(store, "not back yet");
    half(store, |change| change.begin_way(branch));
    store.rename(&content(branch), "main").unwrap();
    sweep_and_compare(store, "back");
    assert_eq!(value(&context, "main@1"), b"main");

    // One that ends: its content is still there.
    delete(&context, "main", false).unwrap();
    let kept = Records::read(store).unwrap().deleted(id).unwrap().unwrap();
    half(store, |change| {
        change.begin_way(branch)?;
        change.drop_order(kept.order)?;
        change.put_deleted(id, &Deleted { gone: Some((Gone::Age, Moment::now())), ..kept.clone() })
    });
    sweep_and_compare(store, "an end");
    assert_eq!(undo(&context, "main", false).unwrap_err().code, Code::BranchNotFound);
}

#[test]
fn after_its_days_a_deleted_branch_is_gone_with_its_points_and_the_log_says_so() {
    let (_, store) = store();
    let context = Context::over(store);
    reset(&context);
    let id = context.store().branch("main").unwrap().id();
    delete(&context, "main", false).unwrap();
    context.expire().unwrap();
    assert_eq!(hidden(context.store()).len(), 2);
    let kept = Records::read(context.store()).unwrap().deleted(id).unwrap().unwrap();
    let time = Moment::now().before(KEEP_DELETED + Duration::from_secs(1));
    half(context.store(), |change| change.put_deleted(id, &Deleted { time, ..kept }));
    context.expire().unwrap();
    sweep_and_compare(context.store(), "its days are over");
    assert_eq!(hidden(context.store()), Vec::<String>::new());
    let row = log(&context, "main").deleted.unwrap();
    assert_eq!((row.until, row.gone), (None, Some(Gone::Age)));
}

#[test]
fn a_history_of_a_hostile_hand_is_an_error_and_keeps_no_branch_from_being_deleted() {
    for (key, value) in [
        (&b"v"[..], &b"9"[..]),
        (b"c", b"\xff"),
        (b"o", b"{}"),
        (b"o\0\0\0\0\0\0\0\0", b"{\"branch\":-1}"),
        (b"w\0\0\0\0\0\0\0\x01", b""),
        (b"d\0\0\0\0\0\0\0\x01", b"[]"),
        (b"b\0\0\0\0\0\0\0\x01", b"{\"last\":18446744073709551615,\"place\":{\"head\":9}}"),
        (b"b\0\0\0\0\0\0\0\x01", b"nonsense"),
        (b"p\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01", b"{}"),
    ] {
        let (_, store) = store();
        let context = Context::over(store);
        reset(&context);
        let records = context.store().branch(names::HISTORY).unwrap();
        let mut txn = records.write().unwrap();
        txn.put(key, value).unwrap();
        txn.commit().unwrap();
        super::sweep(context.store()).unwrap();
        // Whatever they answer, they do not panic, and what they say is no other failure.
        let codes =
            [Code::StoreDamaged, Code::StoreVersion, Code::Unsupported, Code::BranchNotFound];
        let known = |done: Result<()>| match done {
            Ok(()) => true,
            Err(error) => codes.contains(&error.code),
        };
        let what = String::from_utf8_lossy(key).into_owned();
        assert!(known(ask(&context, Log { name: "main".into() }).map(drop)), "{what}");
        assert!(known(ask(&context, Log { name: "main@-1".into() }).map(drop)), "{what}");
        assert!(known(undo(&context, "main", false)), "{what}");
        assert!(known(undo(&context, "main", true)), "{what}");
        assert!(known(context.expire()), "{what}");
        ask(&context, MeasureStore).unwrap();
        delete(&context, "main", false).unwrap();
        delete(&context, "other", true).unwrap();
        assert!(
            context.store().branch("main").is_err() && context.store().branch("other").is_err()
        );
    }
}

/// Writes a MiB over what the branch has.
fn write(branch: &Branch, value: u8) -> tine_store::Result<()> {
    let staged = branch.stage(&vec![value; 1 << 20])?;
    let mut txn = branch.write()?;
    txn.map(b"file", 0, staged)?;
    txn.commit()
}

#[test]
fn writers_and_requests_that_need_the_space_of_points_at_once_wait_for_no_other() {
    const ROUNDS: u8 = 60;
    let disk = Arc::new(MemoryDevice::with_capacity(48 << 20));
    let store = Store::create_on(disk, &Options::default()).unwrap();
    for name in ["one", "two", "main", "other"] {
        write(&store.create_branch(name).unwrap(), 1).unwrap();
    }
    let context = Context::over(store);
    let refused = |done: Result<()>| match done {
        Ok(()) => {}
        // What it wanted to go back to gave way, or the disk is full of what is not history.
        Err(error) => assert!(
            matches!(error.code, Code::NoSpace | Code::BranchNotFound | Code::Unsupported),
            "{error:?}"
        ),
    };
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let context = &context;
            scope.spawn(move || {
                let branch = context.store().branch(name).unwrap();
                for round in 0..ROUNDS {
                    let named = find::find(context.store(), name).unwrap();
                    refused(context.history().mark(&named, PointKind::Run, None).map(drop));
                    // There is a point to give way at any time, so that no writer is refused.
                    write(&branch, round).unwrap_or_else(|why| panic!("{name}, {round}: {why}"));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let (name, to) = ("main".into(), Some("one".into()));
                refused(ask(&context, Reset { name, to, force: false }));
                refused(undo(&context, "main", false));
                refused(undo(&context, "main", true));
            }
        });
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                refused(delete(&context, "other", false));
                refused(undo(&context, "other", false));
                context.tend(Duration::from_millis(5)).unwrap();
                if context.store().branch("other").is_err() {
                    refused(context.store().create_branch("other").map(drop).map_err(Into::into));
                }
            }
        });
    });
    context.tend(Duration::from_secs(10)).unwrap();
    sweep_and_compare(context.store(), "after all");
}
