//! The history of branches: points, what a name with one means, going back and forth, and deleted
//! branches that come back.

mod lab;

use std::fs;

use lab::disk::{Ballast, SmallDisk};
use lab::{Lab, can_mount, can_run, needs_root, wait_until};
use serde_json::Value;

/// A branch `work` of `main`, and branches of other contents to reset it to.
fn lab_with_work() -> Lab {
    let lab = Lab::with_main();
    lab.ok(&["branch", "work", "--from", "main"]);
    for text in ["one", "two", "three"] {
        let directory = lab.make_directory(text);
        fs::write(directory.join("note"), text).unwrap();
        lab.ok(&["import", directory.to_str().unwrap(), text]);
    }
    lab
}

fn note(lab: &Lab, name: &str) -> String {
    lab.ok(&["cat", name, "note"])
}

fn points(lab: &Lab, name: &str) -> Vec<Value> {
    lab.json(&["log", name])["points"].as_array().unwrap().clone()
}

fn serials(lab: &Lab, name: &str) -> Vec<u64> {
    points(lab, name).iter().map(|row| row["point"].as_u64().unwrap()).collect()
}

#[test]
fn what_follows_an_at_must_make_sense_and_be_there() {
    let lab = Lab::with_main();
    for wrong in ["main@", "main@x", "main@{}", "main@{2}", "@import", "main@1@2", "main@0"] {
        for command in ["usage", "reset", "delete", "log", "undo"] {
            let words = lab.fails(&[command, wrong], "name-invalid");
            assert!(words.contains("NAME@3"), "{words}");
        }
    }
    for gone in ["main@999", "nobody@1", "nobody@import", "main@-1", "main@{2h}"] {
        for arguments in
            [&["usage", gone][..], &["diff", "main", gone], &["branch", "x", "--from", gone]]
        {
            lab.fails(arguments, "branch-not-found");
        }
    }
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn each_change_of_a_whole_branch_leaves_a_point_that_reads_like_a_branch() {
    let lab = lab_with_work();
    assert_eq!(lab.ok(&["log", "work"]), "work has no history yet\n");
    for text in ["one", "two", "three"] {
        lab.ok(&["reset", "work", "--to", text]);
    }
    assert_eq!(serials(&lab, "work"), [3, 2, 1], "the newest first");
    let rows = points(&lab, "work");
    assert_eq!(rows[0]["kind"], "reset");
    assert_eq!((&rows[0]["command"], &rows[0]["status"]), (&"three".into(), &Value::Null));
    for (name, text) in [
        ("work@1", "as it was\n"),
        ("work@2", "one"),
        ("work@3", "two"),
        ("work@-1", "two"),
        ("work@-3", "as it was\n"),
        ("work", "three"),
    ] {
        assert_eq!(note(&lab, name), text, "{name}");
    }
    lab.fails(&["ls", "work@-4"], "branch-not-found");
    // Wherever a branch is read.
    let added = lab.json(&["diff", "work@1", "work@2"])["changes"].to_string();
    assert!(added.contains("note"), "{added}");
    assert_eq!(lab.json(&["usage", "work@-1"])["branch"], "work@3");
    assert!(lab.ok(&["ls", "work@1"]).contains("sub"));
    lab.ok(&["export", "work@1", &lab.text("out")]);
    assert_eq!(fs::read_to_string(lab.path("out/note")).unwrap(), "as it was\n");
    lab.ok(&["snapshot", "work@2", "sealed"]);
    assert_eq!(lab.json(&["branch", "again", "--from", "work@-1"])["created"][0]["from"], "work@3");
    assert_eq!(note(&lab, "again"), "two");
    assert_eq!(lab.json(&["diff", "again"])["changes"], serde_json::json!([]));
    let rows = lab.list();
    for made in ["again", "sealed"] {
        let row = rows.iter().find(|row| row["name"] == made).unwrap();
        assert_eq!(row["parent"], "work", "a point shows as its branch: {rows:?}");
    }
    // Nowhere is it written, and the error says what to do.
    for arguments in [
        &["reset", "work@1"][..],
        &["delete", "work@1"],
        &["rename", "work@1", "x"],
        &["undo", "work@1"],
        &["run", "work@1", "--", "true"],
    ] {
        let words = lab.fails(arguments, "unsupported");
        assert!(words.contains("--from work@1"), "{words}");
    }
    // A rename keeps the points.
    lab.ok(&["rename", "work", "other"]);
    assert_eq!(note(&lab, "other@1"), "as it was\n");
    lab.fails(&["ls", "work@1"], "branch-not-found");
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn a_branch_is_found_as_it_was_at_a_time() {
    let lab = lab_with_work();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    lab.ok(&["reset", "work", "--to", "one"]);
    assert_eq!(note(&lab, "work@{1s}"), "as it was\n");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // Nothing changed it since.
    assert_eq!(note(&lab, "work@{1s}"), "one");
    lab.fails(&["reset", "work@{1s}"], "unsupported");
    lab.fails(&["ls", "work@{1h}"], "branch-not-found");
}

#[test]
fn undo_goes_back_step_by_step_and_redo_returns() {
    let lab = lab_with_work();
    let changed = |name: &str| lab.json(&["diff", name])["changes"].clone();
    for text in ["one", "two", "three"] {
        lab.ok(&["reset", "work", "--to", text]);
    }
    lab.fails(&["undo", "work", "--redo"], "unsupported");
    for text in ["two", "one", "as it was\n"] {
        lab.ok(&["undo", "work"]);
        assert_eq!(note(&lab, "work"), text);
    }
    assert_eq!(changed("work"), serde_json::json!([]), "its fork point is that of then");
    assert_eq!(lab.json(&["diff", "work", "main"])["changes"], serde_json::json!([]));
    let words = lab.fails(&["undo", "work"], "unsupported");
    assert!(words.contains("tine log work"), "{words}");
    for text in ["one", "two", "three"] {
        lab.ok(&["undo", "work", "--redo"]);
        assert_eq!(note(&lab, "work"), text);
    }
    assert_eq!(serials(&lab, "work"), [3, 2, 1], "what is returned from leaves nothing");
    lab.fails(&["undo", "work", "--redo"], "unsupported");
    // A change drops the redo, and what it would have returned to stays a point.
    lab.ok(&["undo", "work"]);
    lab.ok(&["undo", "work"]);
    lab.ok(&["reset", "work", "--to", "three"]);
    lab.fails(&["undo", "work", "--redo"], "unsupported");
    let texts: Vec<String> =
        serials(&lab, "work").iter().map(|serial| note(&lab, &format!("work@{serial}"))).collect();
    assert_eq!(texts, ["one", "two", "three", "two", "one", "as it was\n"]);
    lab.ok(&["undo", "work"]);
    assert_eq!(note(&lab, "work"), "one");
    lab.ok(&["undo", "work"]);
    assert_eq!(note(&lab, "work"), "as it was\n", "the way back skips what was undone");
    // A point of its own as the target of a reset is what it was, and can be undone too.
    lab.ok(&["reset", "work", "--to", "work@3"]);
    assert_eq!(note(&lab, "work"), "two");
    lab.ok(&["undo", "work"]);
    assert_eq!(note(&lab, "work"), "as it was\n");
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn a_run_in_a_branch_leaves_a_point_with_how_it_ended_unless_it_changed_nothing() {
    if !can_run("a_run_in_a_branch_leaves_a_point_with_how_it_ended_unless_it_changed_nothing") {
        return;
    }
    let lab = Lab::with_main();
    let run = |script: &str| lab.run(&["run", "work", "--", "sh", "-c", script]).status;
    assert_eq!(lab.run(&["run", "work", "--from", "main", "--", "touch", "a b"]).status, 0);
    assert_eq!(run("echo new > note; rm -r sub; exit 3"), 3);
    assert_eq!(run("cat note"), 0);
    assert_eq!(run("no-such-program"), 127);
    let rows = points(&lab, "work");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((&rows[0]["status"], &rows[0]["changes"]), (&3.into(), &3.into()), "{rows:?}");
    assert_eq!(rows[0]["command"], "sh -c 'echo new > note; rm -r sub; exit 3'");
    assert_eq!(rows[1]["command"], "touch 'a b'");
    assert_eq!((&rows[1]["status"], &rows[1]["changes"]), (&0.into(), &1.into()));
    let words = lab.ok(&["log", "work"]);
    assert!(words.contains("exit status 3, 3 paths changed"), "{words}");
    lab.ok(&["undo", "work"]);
    assert_eq!(note(&lab, "work"), "as it was\n");
    assert!(lab.ok(&["ls", "work"]).contains("a b"));
    // To its fork point.
    lab.ok(&["undo", "work"]);
    assert_eq!(lab.json(&["diff", "work"])["changes"], serde_json::json!([]));
    // A command that changes nothing leaves the redo alone, one that does drops it.
    assert_eq!(run("cat note"), 0);
    lab.ok(&["undo", "work", "--redo"]);
    lab.ok(&["undo", "work", "--redo"]);
    assert_eq!(note(&lab, "work"), "new\n");
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn what_is_changed_through_a_mount_after_an_undo_is_a_change_of_its_own() {
    if !can_mount("what_is_changed_through_a_mount_after_an_undo_is_a_change_of_its_own") {
        return;
    }
    let lab = lab_with_work();
    lab.ok(&["reset", "work", "--to", "one"]);
    lab.ok(&["undo", "work"]);
    let directory = lab.mount("work");
    fs::write(directory.join("note"), "by hand").unwrap();
    lab.fails(&["undo", "work"], "branch-busy");
    lab.ok(&["undo", "work", "--force"]);
    assert_eq!(note(&lab, "work"), "as it was\n");
    lab.ok(&["undo", "work", "--redo"]);
    assert_eq!(note(&lab, "work"), "by hand", "finished writes of the mount are kept");
    let words = lab.fails(&["undo", "work", "--redo"], "unsupported");
    assert!(words.contains("nothing to return to"), "{words}");
    // What has nothing to go back to keeps its mount.
    lab.ok(&["branch", "fresh", "--from", "main"]);
    let directory = lab.mount("fresh");
    for arguments in [&["undo", "fresh", "--force"][..], &["undo", "fresh", "--redo", "--force"]] {
        lab.fails(arguments, "unsupported");
    }
    assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "as it was\n");
    lab.ok(&["unmount", "fresh"]);
    // What the first undo left is a point.
    let texts: Vec<String> =
        serials(&lab, "work").iter().map(|serial| note(&lab, &format!("work@{serial}"))).collect();
    assert_eq!(texts, ["one", "as it was\n"]);
    // Read-only, as a snapshot is.
    let directory = lab.make_directory("mnt/point");
    assert_eq!(
        lab.json(&["mount", "work@-1", directory.to_str().unwrap()])["branch"],
        "work@1",
        "by its serial"
    );
    assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "as it was\n");
    assert!(fs::write(directory.join("note"), "x").is_err());
    lab.ok(&["unmount", "work@-1"]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
}

#[test]
fn a_deleted_branch_comes_back_with_its_history() {
    let lab = lab_with_work();
    lab.ok(&["reset", "work", "--to", "one"]);
    let deleted = lab.json(&["delete", "work", "two"]);
    assert!(deleted["kept_until"].is_string(), "{deleted}");
    assert_eq!(lab.names(), ["main", "one", "three"]);
    let words = lab.fails(&["ls", "work"], "branch-not-found");
    assert!(words.contains("tine undo work"), "{words}");
    let log = lab.json(&["log", "work"]);
    assert_eq!(
        (&log["deleted"]["kind"], &log["deleted"]["gone"]),
        (&"delete".into(), &Value::Null)
    );
    assert!(lab.ok(&["log", "work"]).contains("brings it back until"));
    assert_eq!(lab.json(&["undo", "work"])["restored"], true);
    assert_eq!(
        (note(&lab, "work").as_str(), note(&lab, "work@1").as_str()),
        ("one", "as it was\n")
    );
    lab.ok(&["undo", "work"]);
    assert_eq!(note(&lab, "work"), "as it was\n");
    // Twice deleted: the last one first.
    lab.ok(&["delete", "work"]);
    lab.ok(&["branch", "work", "--from", "three"]);
    lab.ok(&["delete", "work"]);
    lab.ok(&["undo", "work"]);
    assert_eq!(note(&lab, "work"), "three");
    let words = lab.fails(&["undo", "work"], "unsupported");
    assert!(words.contains("tine rename work"), "{words}");
    lab.ok(&["rename", "work", "newer"]);
    lab.ok(&["undo", "work"]);
    assert_eq!(note(&lab, "work"), "as it was\n");
    // Children go on, whoever is their parent.
    lab.ok(&["branch", "child", "--from", "work"]);
    lab.ok(&["delete", "work"]);
    assert_eq!(note(&lab, "child"), "as it was\n");
    // For good.
    lab.ok(&["delete", "child", "--now"]);
    assert!(!lab.fails(&["undo", "child"], "branch-not-found").contains("brings it back"));
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn what_ends_by_its_time_or_with_its_command_can_be_brought_back_too() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "short", "--from", "main", "--ttl", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(lab.names(), ["main"]);
    assert_eq!(lab.json(&["log", "short"])["deleted"]["kind"], "expire");
    lab.ok(&["undo", "short"]);
    assert_eq!(lab.names(), ["main", "short"], "and it stays");
    assert!(lab.json(&["status", "short"])["expires"].is_null());
    if can_run("what_ends_by_its_time_or_with_its_command_can_be_brought_back_too") {
        lab.ok(&["run", "tried", "--from", "main", "--discard", "--", "touch", "new"]);
        assert_eq!(lab.names(), ["main", "short"]);
        assert_eq!(lab.json(&["log", "tried"])["deleted"]["kind"], "discard");
        lab.ok(&["undo", "tried"]);
        assert!(lab.ok(&["ls", "tried"]).contains("new"));
        let kept = lab.json(&["usage"])["points"].clone();
        lab.ok(&["run", "idle", "--from", "main", "--discard", "--", "true"]);
        lab.fails(&["undo", "idle"], "branch-not-found");
        assert_eq!(lab.json(&["usage"])["points"], kept, "nothing of it is left");
    }
}

#[test]
fn points_count_and_none_is_kept_where_none_is_wanted() {
    let lab = lab_with_work();
    assert_eq!(lab.json(&["usage"])["points"], 0);
    lab.ok(&["reset", "work", "--to", "one"]);
    lab.ok(&["delete", "main"]);
    let usage = lab.json(&["usage"]);
    assert_eq!((&usage["points"], &usage["branches"]), (&2.into(), &7.into()));
    assert!(usage["points_bytes"].as_u64().unwrap() >= 100_000, "{usage}");
    // A process that holds the store has the settings of the command that started it.
    wait_until("the store is free", || lab.holder().is_none());
    let none = |arguments: &[&str]| {
        let said =
            lab::said(lab.command(arguments).env("TINE_POINTS_PERCENT", "0").output().unwrap());
        assert_eq!(said.status, 0, "{said:?}");
    };
    none(&["delete", "one"]);
    assert_eq!(lab.json(&["usage"])["points"], 0);
    let log = lab.json(&["log", "work"]);
    assert_eq!(log["points"][0]["gone"], "budget", "{log}");
    assert!(lab.ok(&["log", "main"]).contains("TINE_POINTS_PERCENT"));
    let words = lab.fails(&["ls", "work@1"], "branch-not-found");
    assert!(words.contains("points held more"), "{words}");
    let words = lab.fails(&["undo", "main"], "branch-not-found");
    assert!(words.contains("tine log main") || words.contains("tine list"), "{words}");
    let said =
        lab::said(lab.command(&["list"]).env("TINE_POINTS_PERCENT", "101").output().unwrap());
    assert_eq!(said.status, 2, "{said:?}");
}

#[test]
fn beyond_their_part_of_the_store_the_oldest_points_go_and_the_last_stays() {
    let test = "beyond_their_part_of_the_store_the_oldest_points_go_and_the_last_stays";
    if !needs_root(test) {
        return;
    }
    let lab = Lab::on_disk(|directory| SmallDisk::in_memory(directory, 400));
    for n in 0..8u8 {
        let directory = lab.make_directory(&format!("src{n}"));
        fs::write(directory.join("data"), vec![n; 10 << 20]).unwrap();
        lab.ok(&["import", directory.to_str().unwrap(), &format!("b{n}")]);
        lab.ok(&["delete", &format!("b{n}")]);
    }
    // A tenth of 400 MB.
    let there: Vec<u8> =
        (0..8).filter(|n| lab.run(&["undo", &format!("b{n}")]).status == 0).collect();
    assert!((2..=4).contains(&there.len()) && there.ends_with(&[7]), "{there:?}");
    let log = lab.json(&["log", "b0"]);
    assert_eq!(log["deleted"]["gone"], "budget", "{log}");
    for n in &there {
        lab.ok(&["delete", &format!("b{n}"), "--now"]);
    }
    // One alone that holds more.
    let directory = lab.make_directory("large");
    fs::write(directory.join("data"), vec![1; 60 << 20]).unwrap();
    lab.ok(&["import", directory.to_str().unwrap(), "large"]);
    lab.ok(&["delete", "large"]);
    lab.ok(&["undo", "large"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn when_space_is_short_points_go_before_a_writer_is_refused() {
    let test = "when_space_is_short_points_go_before_a_writer_is_refused";
    if !needs_root(test) || !can_mount(test) {
        return;
    }
    let mut lab = Lab::on_disk(|directory| SmallDisk::ext4(directory, 300));
    // What they hold is bounded by need alone here.
    lab.set("TINE_POINTS_PERCENT", "100");
    let directory = lab.make_directory("src");
    fs::write(directory.join("data"), vec![1; 1 << 20]).unwrap();
    lab.ok(&["import", directory.to_str().unwrap(), "main"]);
    // The two oldest, of which one is mounted.
    lab.ok(&["create", "empty"]);
    lab.ok(&["branch", "work", "--from", "main"]);
    lab.ok(&["reset", "work", "--to", "empty"]);
    lab.ok(&["reset", "work", "--to", "main"]);
    let held = lab.mount("work@1");
    for n in 0..3u8 {
        let directory = lab.make_directory(&format!("src{n}"));
        fs::write(directory.join("data"), vec![n; 60 << 20]).unwrap();
        lab.ok(&["import", directory.to_str().unwrap(), &format!("b{n}")]);
        lab.ok(&["delete", &format!("b{n}")]);
    }
    assert_eq!(lab.json(&["usage"])["points"], 5);
    // Through a mount, by a copy in, and on a disk that another program filled.
    let mount = lab.mount("main");
    fs::write(mount.join("more"), vec![9; 90 << 20]).unwrap();
    fs::File::open(mount.join("more")).unwrap().sync_all().unwrap();
    lab.ok(&["unmount", "main"]);
    let left = lab.json(&["usage"])["points"].as_u64().unwrap();
    assert!((1..4).contains(&left), "{left} points are left");
    let gone: Vec<Value> = points(&lab, "work").iter().map(|row| row["gone"].clone()).collect();
    assert_eq!(gone, ["space".into(), Value::Null], "what is mounted stays");
    assert_eq!(fs::read(held.join("data")).unwrap(), vec![1; 1 << 20]);
    let directory = lab.make_directory("last");
    fs::write(directory.join("data"), vec![5; 60 << 20]).unwrap();
    lab.ok(&["import", directory.to_str().unwrap(), "last"]);
    let log = lab.json(&["log", "b0"]);
    assert_eq!(log["deleted"]["gone"], "space", "{log}");
    assert!(lab.ok(&["log", "b0"]).contains("its space was needed"));
    let words = lab.fails(&["undo", "b0"], "branch-not-found");
    assert!(words.contains("its space was needed"), "{words}");
    // Deleting works when there is no room to keep anything.
    let free = rustix::fs::statvfs(lab.path("disk")).unwrap().f_bavail;
    let ballast = (free > 0).then(|| lab.disk().fill_up_to(0));
    lab.ok(&["delete", "last"]);
    ballast.into_iter().for_each(Ballast::remove);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn a_process_that_dies_between_two_steps_leaves_no_half_of_a_point() {
    let test = "a_process_that_dies_between_two_steps_leaves_no_half_of_a_point";
    if !can_run(test) {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "work", "--from", "main"]);
    let ready = lab.text("ready");
    // In the middle of a command: its point is there, and says that the command did not end.
    let mut child =
        lab.begin_run(&["work"], &format!("echo new > note; sync note; touch {ready}; sleep 60"));
    lab.kill_holder();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("nothing is mounted", || lab.mounts().is_empty());
    let rows = points(&lab, "work");
    assert_eq!((rows.len(), &rows[0]["status"]), (1, &Value::Null), "{rows:?}");
    assert_eq!(note(&lab, "work@1"), "as it was\n");
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}
