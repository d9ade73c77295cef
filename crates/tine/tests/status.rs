//! How a store and its branches stand.

mod lab;

use std::fs;

use lab::{Lab, can_mount, said};
use serde_json::{Value, json};

#[test]
fn a_branch_says_what_it_stands_on_and_where_it_comes_from() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "work", "--ttl", "2h"]);
    lab.ok(&["snapshot", "work", "sealed"]);
    let work = lab.json(&["status", "work"]);
    assert_eq!((&work["branch"], &work["kind"]), (&"work".into(), &"branch".into()));
    assert_eq!(work["base"]["branch"], "main");
    assert_eq!(work["base"]["forked"], work["created"]);
    assert_eq!(work["directory"], lab.text("src"));
    assert!(work["expires"].is_string());
    assert_eq!(
        (&work["drift"], &work["mounts"], &work["servers"]),
        (&json!([]), &json!([]), &json!([]))
    );
    assert!(work["referenced_bytes"].as_u64().unwrap() >= 100_000);
    assert_eq!(lab.json(&["status", "sealed"])["kind"], "snapshot");
    assert_eq!(lab.json(&["status", "main"])["base"]["branch"], "main@import");
    assert_eq!(lab.json(&["status", "main@import"])["base"], Value::Null);
    let words = lab.ok(&["status", "work"]);
    assert!(words.contains("stands on  main, since "), "{words}");
    assert!(words.contains("expires    "), "{words}");
    lab.ok(&["delete", "main"]);
    assert!(lab.ok(&["status"]).contains("history  1 point or deleted branch"));
    let orphan = lab.json(&["status", "work"]);
    assert!(orphan["base"]["branch"].is_null() && orphan["base"]["forked"].is_string(), "{orphan}");
    assert!(lab.ok(&["status", "work"]).contains("a branch that is gone"));
}

#[test]
fn a_branch_says_where_it_is_mounted() {
    if !can_mount("a_branch_says_where_it_is_mounted") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "work"]);
    let directory = lab.mount("work");
    let mounts = lab.json(&["status", "work"])["mounts"].clone();
    assert_eq!(mounts[0]["directory"], directory.to_str().unwrap());
    assert_eq!((&mounts[0]["read_only"], &mounts[0]["private_to"]), (&false.into(), &Value::Null));
    assert_eq!(lab.json(&["status"])["mounts"], mounts);
    let words = lab.ok(&["status"]);
    assert!(words.contains(&format!("mounted  work at {}\n", directory.display())), "{words}");
    lab.ok(&["unmount", "work"]);
    assert_eq!(lab.json(&["status", "work"])["mounts"], json!([]));
}

#[test]
fn the_store_says_which_branches_come_from_here() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "work"]);
    let other = lab.make_directory("other");
    lab.ok(&["import", other.to_str().unwrap(), "other"]);
    let from = |directory: &str| {
        let mut command = lab.command(&["status", "--json"]);
        let said = said(command.current_dir(lab.path(directory)).output().unwrap());
        assert_eq!(said.status, 0, "{said:?}");
        let here = lab::object(&said.out)["here"].clone();
        let names = here.as_array().unwrap().iter().map(|row| row["branch"].as_str().unwrap());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(from("src"), ["main", "main@import", "work"]);
    assert_eq!(from("src/sub"), ["main", "main@import", "work"]);
    assert_eq!(from("other"), ["other", "other@import"]);
    assert_eq!(from("."), Vec::<String>::new());
    let status = lab.json(&["status"]);
    assert_eq!(
        (&status["branches"], &status["store"]),
        (&5.into(), &lab.text("store.tine").into())
    );
    assert!(lab.ok(&["status"]).contains("no branch comes from this directory"));
}

#[test]
fn what_is_not_there_is_said() {
    let lab = Lab::with_main();
    assert!(lab.fails(&["status", "nobody"], "branch-not-found").contains("nobody"));
    lab.fails(&["status", "main", "more"], "usage");
    let bare = Lab::bare();
    assert!(bare.fails(&["status"], "store-not-found").contains("tine init"));
    assert!(bare.fails(&["status", "main"], "store-not-found").contains("tine init"));
    fs::write(bare.store(), "no store").unwrap();
    bare.fails(&["status"], "store-damaged");
}

#[test]
fn a_directory_controls_no_terminal() {
    let lab = Lab::new();
    let directory = lab.make_directory("caf\u{e9}\u{1b}[2J");
    lab.ok(&["import", directory.to_str().unwrap(), "main"]);
    assert_eq!(lab.json(&["status", "main"])["directory"], directory.to_str().unwrap());
    let words = lab.ok(&["status", "main"]);
    assert!(words.contains("caf\u{e9}\\u{1b}[2J") && !words.contains('\u{1b}'), "{words}");
}
