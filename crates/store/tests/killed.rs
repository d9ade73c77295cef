//! A process that is killed on a disk that forgets what was not flushed: nothing acknowledged is
//! lost, and on a disk that ignores flushes it is, which shows that the test can fail.

mod oracle;

use oracle::{numbered, quiet, read_content};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use tine_store::{Lossy, Options, Result, Store};

const CHILD_STORE: &str = "TINE_TEST_STORE";
const CHILD_IGNORES_FLUSHES: &str = "TINE_TEST_IGNORES_FLUSHES";

/// Not a test: the process that the next test kills. Prints each number that it was promised is
/// durable.
#[test]
#[ignore = "run as a child by the test that kills it"]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD_STORE) else { return };
    let mut options = Options::default();
    let ignores = std::env::var_os(CHILD_IGNORES_FLUSHES).is_some();
    options.lossy = Some(if ignores { Lossy::IgnoresFlushes } else { Lossy::Honest });
    let store = Store::open(path.as_ref(), &options).unwrap();
    let main = store.branch("main").unwrap();
    for n in 1u64.. {
        let staged = main.stage(&numbered(n, 1 + n % 20)).unwrap();
        let mut txn = main.write().unwrap();
        txn.put(&n.to_be_bytes(), b"here").unwrap();
        txn.map(b"~f", n % 100, staged).unwrap();
        txn.commit().unwrap();
        if n % 50 == 0 {
            store.checkpoint().unwrap();
        }
        main.sync().unwrap();
        println!("durable {n}");
    }
}

/// Runs the child, kills it after `count` acknowledgements; the last one seen, and what came back.
fn kill_after(count: usize, ignores_flushes: bool) -> (u64, Result<(u64, bool)>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::create(&path, &quiet()).unwrap();
    store.create_branch("main").unwrap();
    store.close().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_that_commits_until_it_is_killed", "--ignored", "--nocapture"]);
    child.env(CHILD_STORE, &path).stdout(Stdio::piped()).stderr(Stdio::null());
    if ignores_flushes {
        child.env(CHILD_IGNORES_FLUSHES, "1");
    }
    let mut child = child.spawn().unwrap();
    let mut last = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    while seen < count {
        let line = lines.next().expect("the child goes on").unwrap();
        if let Some((_, n)) = line.rsplit_once("durable ") {
            last = n.parse().unwrap();
            seen += 1;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let found = Store::open(&path, &quiet()).and_then(|store| {
        let read = store.branch("main")?.read()?;
        let numbers =
            (1..).take_while(|n: &u64| matches!(read.get(&n.to_be_bytes()), Ok(Some(_)))).count();
        read_content(&read)?;
        Ok((numbers as u64, store.check()?.findings.is_empty()))
    });
    (last, found)
}

#[test]
fn a_killed_process_on_a_disk_that_forgets_loses_nothing_acknowledged() {
    for count in [1, 7, 49, 51, 160] {
        let (last, found) = kill_after(count, false);
        let (numbers, sound) = found.unwrap();
        assert!(numbers >= last && sound, "{last} commits were acknowledged, {numbers} came back");
    }
}

#[test]
fn a_killed_process_on_a_disk_that_ignores_flushes_does_lose_what_it_acknowledged() {
    let (last, found) = kill_after(20, true);
    assert!(
        !matches!(found, Ok((numbers, _)) if numbers >= last),
        "the test of crash safety cannot fail"
    );
}
