//! Imports that follow their directories.

mod lab;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lab::{Lab, can_run};
use serde_json::json;

/// After this long a change has another time than what was there before.
fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

/// A directory with two files, imported as `project`.
fn imported() -> Lab {
    let lab = Lab::new();
    let project = lab.make_directory("project");
    fs::create_dir(project.join("src")).unwrap();
    fs::write(project.join("src/main"), "one\n").unwrap();
    fs::write(project.join("notes"), "two\n").unwrap();
    settle();
    lab.ok(&["import", &lab.text("project"), "project"]);
    lab
}

fn paths(changes: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let changes = changes["changes"].as_array().unwrap().iter();
    changes.map(|change| (text(&change["change"]), text(&change["path"]))).collect()
}

#[test]
fn an_import_is_listed_above_the_branch_that_was_made_of_it() {
    let lab = imported();
    let rows = lab.list();
    let names: Vec<_> = rows.iter().map(|row| (&row["name"], &row["parent"])).collect();
    let wanted =
        [(json!("project"), json!("project@import")), (json!("project@import"), json!(null))];
    assert_eq!(names, wanted.iter().map(|(name, parent)| (name, parent)).collect::<Vec<_>>());
    assert_eq!(lab.json(&["branch", "fork"])["created"][0]["from"], "project");
    lab.fails(&["reset", "project@import", "--to", "fork"], "unsupported");
    lab.fails(&["rename", "project@import", "x"], "unsupported");
    lab.fails(&["run", "project@import", "--", "true"], "unsupported");
}

#[test]
fn a_refresh_reads_what_changed_and_a_branch_without_changes_follows() {
    let lab = imported();
    let nothing = lab.json(&["refresh", "project"]);
    let told =
        ["read", "changed", "deleted", "bytes"].map(|field| nothing[field].as_u64().unwrap());
    assert_eq!(told, [0, 0, 0, 0]);
    fs::write(lab.path("project/src/main"), "three\n").unwrap();
    fs::remove_file(lab.path("project/notes")).unwrap();
    fs::write(lab.path("project/new"), "four\n").unwrap();
    let some = lab.json(&["refresh", "project"]);
    let told = ["read", "changed", "deleted", "bytes"].map(|field| some[field].as_u64().unwrap());
    assert_eq!((some["branch"].as_str(), told), (Some("project@import"), [2, 2, 1, 11]));
    assert_eq!(some["follower"], json!({"branch": "project", "state": "current"}));
    assert_eq!(lab.ok(&["cat", "project", "src/main"]), "three\n");
    assert_eq!(paths(&lab.json(&["diff", "project"])), []);
    // It can be taken back like any change of a whole branch.
    lab.ok(&["undo", "project"]);
    assert_eq!(lab.ok(&["cat", "project", "src/main"]), "one\n");
    assert_eq!(lab.ok(&["cat", "project@import@-1", "notes"]), "two\n");
    lab.json(&["check"]);
}

#[test]
fn a_branch_with_changes_of_its_own_stays_as_it_is() {
    if !can_run("a_branch_with_changes_of_its_own_stays_as_it_is") {
        return;
    }
    let lab = imported();
    lab.ok(&["run", "project", "--", "sh", "-c", "echo mine > mine"]);
    fs::write(lab.path("project/notes"), "changed\n").unwrap();
    let refreshed = lab.json(&["refresh", "project"]);
    assert_eq!(refreshed["follower"], json!({"branch": "project", "state": "changed"}));
    assert_eq!(lab.ok(&["cat", "project", "notes"]), "two\n");
    assert_eq!(lab.ok(&["cat", "project@import", "notes"]), "changed\n");
    let own = [("added".to_owned(), "mine".to_owned())];
    assert_eq!(paths(&lab.json(&["diff", "project"])), own);
    // Any fork of an import leads to it.
    lab.ok(&["branch", "fork", "--from", "project"]);
    fs::write(lab.path("project/notes"), "again\n").unwrap();
    assert_eq!(lab.json(&["refresh", "fork"])["changed"], 1);
    assert_eq!(lab.json(&["refresh", "project@import"])["changed"], 0);
}

#[test]
fn what_cannot_be_refreshed_says_why_and_stays_as_it_is() {
    let lab = imported();
    lab.ok(&["create", "bare"]);
    lab.fails(&["refresh", "bare"], "unsupported");
    lab.fails(&["refresh", "nobody"], "branch-not-found");
    lab.fails(&["refresh", "nobody@import"], "branch-not-found");
    lab.fails(&["refresh", "project@x"], "name-invalid");
    fs::rename(lab.path("project"), lab.path("moved")).unwrap();
    lab.fails(&["refresh", "project"], "io");
    fs::write(lab.path("project"), "a file").unwrap();
    lab.fails(&["refresh", "project"], "io");
    fs::remove_file(lab.path("project")).unwrap();
    assert_eq!(lab.ok(&["cat", "project", "notes"]), "two\n");
    // Another directory at the same place is what the import follows from then on.
    fs::create_dir(lab.path("project")).unwrap();
    fs::write(lab.path("project/other"), "x").unwrap();
    let refreshed = lab.json(&["refresh", "project"]);
    assert_eq!((&refreshed["changed"], &refreshed["deleted"]), (&json!(1), &json!(3)));
    lab.fails(&["import", &lab.text("moved"), "project"], "branch-exists");
}

#[test]
fn an_import_goes_with_the_last_branch_that_was_made_of_it() {
    let lab = imported();
    lab.ok(&["rename", "project", "p"]);
    let names = |lab: &Lab| {
        let rows = lab.list();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&lab), ["p", "p@import"]);
    fs::write(lab.path("project/notes"), "changed\n").unwrap();
    assert_eq!(lab.json(&["refresh", "p"])["changed"], 1);
    lab.ok(&["delete", "p"]);
    assert_eq!(names(&lab), Vec::<String>::new());
    lab.ok(&["undo", "p"]);
    assert_eq!(names(&lab), ["p"]);
    lab.fails(&["refresh", "p"], "unsupported");
    lab.ok(&["delete", "p", "--now"]);
    lab.ok(&["import", &lab.text("project"), "p"]);
    // While other forks of it are there, it stays for them.
    lab.ok(&["branch", "fork", "--from", "p@import"]);
    lab.ok(&["delete", "p", "--now"]);
    assert_eq!(names(&lab), ["fork", "p@import"]);
    assert_eq!(lab.json(&["refresh", "fork"])["changed"], 0);
    lab.ok(&["delete", "fork", "p@import", "--now"]);
    assert_eq!(names(&lab), Vec::<String>::new());
}

/// Runs git in a directory.
fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.untrackedCache=false"]);
    let output = git.args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn git_trusts_a_fresh_branch_opens_no_tracked_file_and_changes_nothing() {
    let test = "git_trusts_a_fresh_branch_opens_no_tracked_file_and_changes_nothing";
    if !can_run(test) || Command::new("git").arg("--version").output().is_err() {
        return;
    }
    let lab = Lab::new();
    let project = lab.make_directory("project");
    for number in 0..50 {
        fs::write(project.join(format!("file{number}")), format!("{number}\n")).unwrap();
    }
    git(&project, &["init", "-q"]);
    git(&project, &["add", "."]);
    git(&project, &["commit", "-qm", "all"]);
    // Files that are as young as the index are looked at once more, here too.
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(git(&project, &["status", "--short"]), "");
    settle();
    lab.ok(&["import", &lab.text("project"), "project"]);
    let seen = fs::metadata(project.join("file7")).unwrap();
    // An index that is written anew is a change; a file that is read has another number or time.
    let script = "git status --short && git diff-files --quiet && stat -c '%i %Y %Z' file7";
    let said = lab.run(&["run", "--from", "project", "--", "sh", "-c", script]);
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(said.out, format!("{} {} {}\n", seen.ino(), seen.mtime(), seen.ctime()));
    assert!(said.err.contains("nothing changed"), "{said:?}");
}
