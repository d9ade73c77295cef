//! What `tine run` says after its command.

mod lab;

use std::fs;

use lab::{Lab, can_run};

#[test]
fn every_deletion_is_named_however_much_was_added() {
    if !can_run("every_deletion_is_named_however_much_was_added") {
        return;
    }
    let lab = Lab::new();
    let src = lab.make_directory("src");
    let lost: Vec<String> = (0..7).map(|n| format!("z-lost-{n}")).collect();
    for name in &lost {
        fs::write(src.join(name), "x").unwrap();
    }
    fs::create_dir(src.join("vendor")).unwrap();
    lab.ok(&["import", src.to_str().unwrap(), "main"]);
    let script = "rm z-lost-*; rmdir vendor; mkdir vendor; \
                  i=0; while [ $i -lt 500 ]; do echo x > new-$i; i=$((i+1)); done";
    let said = lab.run(&["run", "work", "--from", "main", "--", "sh", "-c", script]);
    assert_eq!(said.status, 0, "{said:?}");
    for name in &lost {
        assert!(said.err.contains(&format!("deleted   {name}  (")), "{said:?}");
    }
    assert!(said.err.contains("modified  vendor\n"), "{said:?}");
    assert!(said.err.contains(" added (--verbose shows all)\n"), "{said:?}");
    assert!(said.err.lines().count() < 40, "{said:?}");
    assert!(said.err.contains("`tine diff work --patch`"), "{said:?}");
    assert!(said.err.contains("`tine delete work`"), "{said:?}");
    let all = lab.run(&["run", "more", "--from", "main", "-v", "--", "sh", "-c", script]);
    assert!(all.err.lines().count() > 500, "{all:?}");
    let quiet = lab.run(&["run", "still", "--from", "main", "-q", "--", "sh", "-c", script]);
    assert_eq!(quiet.err, "");
}

#[test]
fn a_summary_is_of_this_command_alone() {
    if !can_run("a_summary_is_of_this_command_alone") {
        return;
    }
    let lab = Lab::with_main();
    let run = |script| {
        let said = lab.run(&["run", "work", "--", "sh", "-c", script]);
        assert_eq!(said.status, 0, "{said:?}");
        said.err
    };
    lab.ok(&["branch", "work"]);
    assert!(run("echo 1 > first").contains("added     first"));
    let second = run("echo 2 > second; rm note");
    assert!(second.contains("tine: 2 paths changed in work"), "{second}");
    assert!(second.contains("added     second") && second.contains("deleted   note"), "{second}");
    assert!(!second.contains("first"), "{second}");
    assert!(second.contains("`tine undo work` takes work back"), "{second}");
    // What the summary advises works.
    let patch = lab.ok(&["diff", "work@-1", "work", "--patch"]);
    assert!(patch.contains("+++ b/second") && !patch.contains("first"), "{patch}");
    assert!(run("true").contains("tine: nothing changed in work"));
    lab.ok(&["undo", "work"]);
    let changes = lab.json(&["diff", "work"])["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 1, "{changes}");
    lab.ok(&["snapshot", "work", "sealed"]);
    let said = lab.run(&["run", "sealed", "--", "true"]);
    assert!(said.err.contains("nothing changed in sealed"), "{said:?}");
}

#[test]
fn names_in_a_summary_control_no_terminal() {
    if !can_run("names_in_a_summary_control_no_terminal") {
        return;
    }
    let lab = Lab::with_main();
    let script = "touch \"$(printf 'a\\033[2J\\nb')\"";
    let said = lab.run(&["run", "work", "--from", "main", "--", "sh", "-c", script]);
    assert!(said.err.contains(r"added     a\u{1b}[2J\nb"), "{said:?}");
}
