//! `tine run`: a command inside a branch that only it sees.

mod lab;

use std::fs;

use lab::{Lab, can_run, send, wait_until};

#[test]
fn a_command_finds_the_branch_at_the_bases_own_place_and_nobody_else_does() {
    if !can_run("a_command_finds_the_branch_at_the_bases_own_place_and_nobody_else_does") {
        return;
    }
    let lab = Lab::with_main();
    let script = "pwd; cat note; echo new > fresh; rm -r sub; cat fresh";
    let said = lab.run(&["run", "work", "--from", "main", "--", "sh", "-c", script]);
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(said.out, format!("{}\nas it was\nnew\n", lab.text("src")));
    assert!(said.err.contains("added     fresh"), "{said:?}");
    assert!(said.err.contains("deleted   sub/data"), "{said:?}");
    assert!(!lab.path("src/fresh").exists() && lab.path("src/sub/data").exists());
    assert_eq!(lab.names(), ["main", "work"]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
    // The same branch goes on where it was left.
    let said = lab.run(&["run", "work", "--", "cat", "fresh"]);
    assert_eq!((said.status, said.out.as_str()), (0, "new\n"));
}

#[test]
fn the_commands_own_status_is_passed_on() {
    if !can_run("the_commands_own_status_is_passed_on") {
        return;
    }
    let lab = Lab::with_main();
    let status = |words: &[&str]| lab.run(&[&["run", "--"], words].concat()).status;
    assert_eq!(status(&["true"]), 0);
    assert_eq!(status(&["sh", "-c", "exit 7"]), 7);
    assert_eq!(status(&["sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(status(&["no-such-program"]), 127);
    assert_eq!(status(&["./note"]), 126);
    assert_eq!(lab.names(), ["main"], "branches in which nothing changed stay");
}

#[test]
fn a_signal_for_tine_reaches_the_command() {
    if !can_run("a_signal_for_tine_reaches_the_command") {
        return;
    }
    let lab = Lab::with_main();
    let ready = lab.text("ready");
    let script = format!("trap 'exit 42' TERM; touch {ready}; while :; do sleep 0.05; done");
    let child = lab.begin_run(&["--from", "main"], &script);
    send("TERM", child.id());
    assert_eq!(lab::wait(child), 42);
}

#[test]
fn what_becomes_of_a_fresh_branch_is_chosen() {
    if !can_run("what_becomes_of_a_fresh_branch_is_chosen") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["run", "--discard", "--", "touch", "x"]);
    assert_eq!(lab.names(), ["main"]);
    lab.ok(&["run", "--", "true"]);
    assert_eq!(lab.names(), ["main"]);
    lab.ok(&["run", "--", "touch", "x"]);
    assert_eq!(lab.names().len(), 2);
    lab.ok(&["run", "--keep", "--", "true"]);
    assert_eq!(lab.names().len(), 3);
    lab.ok(&["run", "named", "--from", "main", "--", "true"]);
    assert_eq!(lab.names().len(), 4);
    lab.fails(&["run", "named", "--discard", "--", "true"], "usage");
    lab.fails(&["run", "nobody", "--", "true"], "branch-not-found");
    lab.fails(&["run", "named", "--from", "main", "--", "true"], "branch-exists");
}

#[test]
fn a_branch_that_goes_while_its_command_runs_is_not_said_to_be_kept() {
    if !can_run("a_branch_that_goes_while_its_command_runs_is_not_said_to_be_kept") {
        return;
    }
    let lab = Lab::with_main();
    let tine = lab.command(&[]).get_program().to_str().unwrap().to_owned();
    for (script, status) in [
        ("TINE delete --force work; exit 2", 2),
        ("TINE delete --force work", 0),
        // What has no mount any more can be renamed.
        ("cd /; TINE unmount --force work; TINE rename work other", 0),
    ] {
        let script = script.replace("TINE", &tine);
        let said = lab.run(&["run", "work", "--from", "main", "--", "sh", "-c", &script]);
        assert_eq!(said.status, status, "{said:?}");
        assert!(!said.err.contains("kept") && !said.err.contains("error"), "{said:?}");
        assert!(said.err.contains("work was deleted or renamed while"), "{said:?}");
    }
    assert_eq!(lab.names(), ["main", "other"]);
}

#[test]
fn a_command_stands_where_it_was_started_or_where_it_is_told() {
    if !can_run("a_command_stands_where_it_was_started_or_where_it_is_told") {
        return;
    }
    let lab = Lab::with_main();
    let mut command = lab.command(&["run", "--", "pwd"]);
    let said = lab::said(command.current_dir(lab.path("src/sub")).output().unwrap());
    assert_eq!(said.out.trim(), lab.text("src/sub"));
    let at = lab.make_directory("elsewhere");
    let out = lab.ok(&["run", "--at", at.to_str().unwrap(), "--", "sh", "-c", "pwd; ls"]);
    assert_eq!(out, format!("{}\nnote\nsub\n", at.display()));
    let words = lab.fails(&["run", "--at", &lab.text("nowhere"), "--", "true"], "io");
    assert!(words.contains("--at"), "{words}");
    fs::remove_dir_all(lab.path("src")).unwrap();
    assert_eq!(lab.run(&["run", "--", "true"]).status, 1);
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn a_branch_in_use_by_a_command_is_busy() {
    if !can_run("a_branch_in_use_by_a_command_is_busy") {
        return;
    }
    let lab = Lab::with_main();
    let ready = lab.text("ready");
    let script = format!("touch {ready}; exec sleep 60");
    let child = lab.begin_run(&["work", "--from", "main"], &script);
    for arguments in [&["delete", "work"][..], &["reset", "work"], &["run", "work", "--", "true"]] {
        lab.fails(arguments, "branch-busy");
    }
    // What it wrote so far is in a fork of it, although no other process sees its mount.
    lab.ok(&["branch", "copy", "--from", "work"]);
    send("TERM", child.id());
    assert_eq!(lab::wait(child), 128 + 15);
    lab.ok(&["delete", "work"]);
}

#[test]
fn a_command_that_leaves_a_process_behind_keeps_its_status_and_its_branch() {
    if !can_run("a_command_that_leaves_a_process_behind_keeps_its_status_and_its_branch") {
        return;
    }
    let lab = Lab::with_main();
    let pid = lab.text("pid");
    let script = format!(
        "sleep 600 </dev/null >/dev/null 2>&1 & echo $! > {pid}; echo precious > result; exit 3"
    );
    // The working directory of what is left behind may be elsewhere, too.
    let outside = format!("cd /; {}", script.replace("> result", "> $OLDPWD/result"));
    let ways: [(&[&str], &str); 5] = [
        (&["run", "rb", "--from", "main"], &script),
        (&["run", "kept", "--from", "main", "--keep"], &script),
        (&["run", "discarded", "--from", "main", "--discard"], &script),
        (&["run"], &script),
        (&["run", "outside", "--from", "main"], &outside),
    ];
    for (number, (way, script)) in ways.into_iter().enumerate() {
        let said = lab.run(&[way, &["--", "sh", "-c", script]].concat());
        let pid: u32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        assert_eq!(said.status, 3, "{way:?}: {said:?}");
        assert!(said.err.contains(&format!("process {pid} (sleep)")), "{way:?}: {said:?}");
        assert!(said.err.contains("added     result"), "{way:?}: {said:?}");
        assert!(!said.err.contains("error"), "{way:?}: {said:?}");
        assert_eq!(lab.names().len(), 2 + number, "{way:?}");
        let name =
            lab.names().into_iter().find(|name| said.err.contains(&format!(" {name} is kept")));
        let name = name.unwrap_or_else(|| panic!("{way:?}: {said:?}"));
        // It goes on in it, and is named to commands that want the branch for something else.
        assert!(fs::exists(format!("/proc/{pid}")).unwrap());
        let words = lab.fails(&["delete", &name], "branch-busy");
        assert!(words.contains(&format!("process {pid} (sleep)")), "{words}");
        send("TERM", pid);
        wait_until("the branch is free", || {
            lab.list().iter().all(|row| row["mounted_at"].is_null())
        });
        lab.ok(&["export", &name, &lab.text(&format!("out{number}"))]);
        let result = lab.path(&format!("out{number}")).join("result");
        assert_eq!(fs::read_to_string(result).unwrap(), "precious\n");
    }
}

#[test]
fn the_death_of_the_holder_during_a_command_leaves_its_branch() {
    if !can_run("the_death_of_the_holder_during_a_command_leaves_its_branch") {
        return;
    }
    let lab = Lab::with_main();
    let (ready, go) = (lab.text("ready"), lab.text("go"));
    let script = format!(
        "echo precious > result; sync result; touch {ready}; \
         while [ ! -e {go} ]; do sleep 0.05; done; exit 4"
    );
    let child = lab.begin_run(&["--from", "main"], &script);
    lab.kill_holder();
    fs::write(go, "").unwrap();
    assert_eq!(lab::wait(child), 4);
    let names = lab.names();
    assert_eq!(names.len(), 2, "{names:?}");
    let name = names.iter().find(|name| name.starts_with("run-")).unwrap();
    assert_eq!(lab.json(&["diff", name])["changes"][0]["path"], "result");
}

#[test]
fn the_output_of_a_command_is_its_own_even_where_json_is_asked_for() {
    if !can_run("the_output_of_a_command_is_its_own_even_where_json_is_asked_for") {
        return;
    }
    let lab = Lab::with_main();
    assert_eq!(lab.ok(&["run", "--json", "--", "echo", "mine"]), "mine\n");
}
