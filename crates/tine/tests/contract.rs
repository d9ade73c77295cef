//! The public contract: each command's JSON fields, words and exit status, without any mount.

mod lab;

use lab::{Lab, said};
use serde_json::Value;

fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn init_makes_a_store_that_only_its_owner_reads_and_says_where() {
    let lab = Lab::bare();
    let made = lab.json(&["init"]);
    assert_eq!(made["store"], lab.store().to_str().unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(lab.store()).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(lab.names(), Vec::<String>::new());
}

#[test]
fn init_leaves_an_existing_store_alone() {
    let lab = Lab::with_main();
    lab.fails(&["init"], "store-exists");
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn import_counts_what_it_copied() {
    let lab = Lab::new();
    let src = lab.make_directory("src");
    std::fs::write(src.join("a"), [1; 5000]).unwrap();
    std::os::unix::fs::symlink("a", src.join("b")).unwrap();
    std::fs::create_dir(src.join("c")).unwrap();
    let imported = lab.json(&["import", src.to_str().unwrap(), "main"]);
    assert_eq!(
        fields(&imported),
        [
            "branch",
            "bytes",
            "directories",
            "elapsed_us",
            "files",
            "outside_links",
            "outside_links_count",
            "version",
            "warnings"
        ]
    );
    assert_eq!((&imported["branch"], &imported["bytes"]), (&"main".into(), &5000.into()));
    assert_eq!((&imported["files"], &imported["directories"]), (&2.into(), &1.into()));
}

#[test]
fn branch_forks_the_only_root_unless_told_otherwise() {
    let lab = Lab::with_main();
    let made = lab.json(&["branch", "a"]);
    let row = &made["created"][0];
    assert_eq!(fields(row), ["elapsed_us", "flush_us", "from", "name"]);
    assert_eq!(
        (&row["name"], &row["from"], &row["flush_us"]),
        (&"a".into(), &"main".into(), &0.into())
    );
    lab.ok(&["branch", "b", "--from", "a"]);
    let rows = lab.list();
    let parents: Vec<_> = rows.iter().map(|row| row["parent"].as_str()).collect();
    assert_eq!(parents, [Some("main"), Some("a"), Some("main@import"), None]);
}

#[test]
fn branch_with_a_count_makes_them_all_or_none() {
    let lab = Lab::with_main();
    let made = lab.json(&["branch", "w", "--count", "3"]);
    let names: Vec<_> =
        made["created"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["w-1", "w-2", "w-3"]);
    lab.ok(&["branch", "x-2"]);
    lab.fails(&["branch", "x", "--count", "3"], "branch-exists");
    assert_eq!(lab.names(), ["main", "w-1", "w-2", "w-3", "x-2"]);
}

#[test]
fn two_roots_ask_for_a_choice() {
    let lab = Lab::with_main();
    lab.ok(&["import", &lab.text("src"), "other"]);
    let words = lab.fails(&["branch", "a"], "usage");
    assert!(words.contains("main") && words.contains("other") && words.contains("--from"));
}

#[test]
fn a_list_has_the_fields_of_the_contract() {
    let lab = Lab::with_main();
    lab.ok(&["snapshot", "main", "s"]);
    let rows = lab.list();
    for field in ["name", "parent", "kind", "created", "expires", "referenced_bytes", "mounted_at"]
    {
        assert!(rows[0].get(field).is_some(), "{field}");
    }
    assert_eq!((&rows[0]["kind"], &rows[1]["kind"]), (&"branch".into(), &"snapshot".into()));
    assert!(rows[0]["referenced_bytes"].as_u64().unwrap() >= 100_000);
    let created = rows[0]["created"].as_str().unwrap();
    assert!(created.len() == 27 && created.ends_with('Z'), "{created}");
}

#[test]
fn a_time_to_live_is_listed() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "a", "--ttl", "2h"]);
    let rows = lab.list();
    assert!(
        rows[0]["expires"].as_str().is_some_and(|time| time > rows[0]["created"].as_str().unwrap())
    );
    assert!(rows[1]["expires"].is_null());
    lab.fails(&["branch", "b", "--ttl", "soon"], "usage");
    lab.ok(&["branch", "c", "--ttl", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(lab.names(), ["a", "main"]);
}

#[test]
fn usage_has_the_fields_of_the_contract() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "a"]);
    let store = lab.json(&["usage"]);
    for field in [
        "file_bytes",
        "data_bytes",
        "metadata_bytes",
        "free_bytes",
        "reclaim_pending_bytes",
        "branches",
        "points",
        "points_bytes",
    ] {
        assert!(store[field].is_u64(), "{field}");
    }
    assert_eq!(store["branches"], 3, "main, what it was made from, and a fork");
    let branch = lab.json(&["usage", "a"]);
    assert!(branch["referenced_bytes"].as_u64().unwrap() >= 100_000);
    assert!(branch["exclusive_bytes"].as_u64().unwrap() < 100_000);
    lab.fails(&["usage", "nobody"], "branch-not-found");
}

#[test]
fn rename_and_delete_do_what_they_say() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "w", "--count", "3"]);
    assert_eq!(lab.json(&["rename", "w-1", "x"])["branch"], "x");
    lab.fails(&["rename", "x", "w-2"], "branch-exists");
    lab.fails(&["rename", "gone", "y"], "branch-not-found");
    assert_eq!(lab.json(&["delete", "w-2", "w-3"])["deleted"], serde_json::json!(["w-2", "w-3"]));
    lab.fails(&["delete", "x", "gone"], "branch-not-found");
    assert_eq!(lab.names(), ["main", "x"], "all or none are deleted");
    // A parent may go before its children.
    lab.ok(&["delete", "main"]);
    assert_eq!(lab.names(), ["x"]);
}

#[test]
fn a_name_given_twice_is_deleted_once() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "w", "--count", "2"]);
    let deleted = lab.json(&["delete", "w-1", "w-1", "w-2", "w-1"]);
    assert_eq!(deleted["deleted"], serde_json::json!(["w-1", "w-2"]));
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn create_makes_an_empty_branch() {
    let lab = Lab::new();
    assert_eq!(lab.json(&["create", "empty"])["branch"], "empty");
    lab.fails(&["create", "empty"], "branch-exists");
    lab.fails(&["create", "a//b"], "name-invalid");
    lab.ok(&["export", "empty", &lab.text("out")]);
    assert_eq!(std::fs::read_dir(lab.path("out")).unwrap().count(), 0);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn no_branch_holds_alone_more_than_it_references() {
    let lab = Lab::with_main();
    lab.ok(&["create", "empty"]);
    lab.ok(&["branch", "fork", "--from", "main"]);
    for row in lab.list() {
        let bytes = |field: &str| row[field].as_u64().unwrap();
        assert!(bytes("exclusive_bytes") <= bytes("referenced_bytes"), "{row}");
        let usage = lab.json(&["usage", row["name"].as_str().unwrap()]);
        assert_eq!(usage["referenced_bytes"], row["referenced_bytes"]);
    }
}

#[test]
fn a_changed_name_that_is_no_text_has_its_bytes_beside_it_and_controls_no_terminal() {
    use std::os::unix::ffi::OsStrExt;
    let lab = Lab::with_main();
    let other = lab.make_directory("other");
    let name = std::ffi::OsStr::from_bytes(b"a\x1b[31m\xff");
    std::fs::write(other.join(name), "x").unwrap();
    lab.ok(&["import", other.to_str().unwrap(), "other"]);
    let changes = lab.json(&["diff", "main", "other"]);
    let added = changes["changes"].as_array().unwrap().iter().find(|row| row["change"] == "added");
    let added = added.unwrap();
    assert_eq!(added["path"], "a\u{1b}[31m\u{fffd}");
    assert_eq!(added["path_bytes"], "YRtbMzFt/w==");
    let words = lab.ok(&["diff", "main", "other"]);
    assert!(words.contains(r"added     a\u{1b}[31m\xff"), "{words}");
    assert!(!words.contains('\u{1b}'), "{words}");
}

#[test]
fn a_shell_is_offered_the_branches_and_no_inner_commands() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "more"]);
    assert_eq!(offered(&lab, &["mount", "m"]), ["main", "more", "main@import"]);
    let verbs = offered(&lab, &[""]);
    assert!(!verbs.contains(&"hold".to_owned()) && !verbs.contains(&"enter".to_owned()));
}

/// What bash would offer for the last of the words.
fn offered(lab: &Lab, words: &[&str]) -> Vec<String> {
    let mut command = lab.command(&[]);
    command.env("_TINE_COMPLETE", "bash").args(["--", "tine"]).args(words);
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", "\n");
    let said = said(command.output().unwrap());
    assert_eq!(said.status, 0, "{said:?}");
    said.out.lines().map(str::to_owned).collect()
}

#[test]
fn a_deleted_store_of_everything_can_be_filled_again() {
    let lab = Lab::with_main();
    lab.ok(&["delete", "main"]);
    let words = lab.fails(&["branch", "a"], "branch-not-found");
    assert!(words.contains("tine import"), "{words}");
    lab.ok(&["import", &lab.text("src"), "main"]);
}

#[test]
fn diff_and_reset_speak_of_the_fork_point() {
    let lab = Lab::with_main();
    let other = lab.make_directory("other");
    std::fs::write(other.join("note"), "different\n").unwrap();
    lab.ok(&["import", other.to_str().unwrap(), "other"]);
    lab.ok(&["branch", "a", "--from", "main"]);
    assert_eq!(lab.json(&["diff", "a"])["changes"], serde_json::json!([]));
    lab.ok(&["reset", "a", "--to", "other"]);
    // What it was reset to is its fork point from then on.
    assert_eq!(lab.json(&["diff", "a"])["changes"], serde_json::json!([]));
    assert_eq!(lab.json(&["diff", "a", "other"])["changes"], serde_json::json!([]));
    assert_ne!(lab.json(&["diff", "a", "main"])["changes"], serde_json::json!([]));
    assert_eq!(lab.json(&["reset", "a"])["branch"], "a");
    assert_eq!(lab.json(&["diff", "a", "other"])["changes"], serde_json::json!([]));
    lab.ok(&["create", "bare"]);
    lab.fails(&["diff", "bare"], "unsupported");
    lab.fails(&["reset", "bare"], "unsupported");
    lab.fails(&["diff", "a", "gone"], "branch-not-found");
}

#[test]
fn check_of_a_sound_store_finds_nothing() {
    let lab = Lab::with_main();
    let checked = lab.json(&["check"]);
    assert_eq!(checked["findings"], serde_json::json!([]));
    assert!(checked["blocks_checked"].is_u64());
}

#[test]
fn wrong_usage_has_status_2_in_words_and_as_json() {
    let lab = Lab::new();
    for arguments in
        [&["branch"][..], &["nonsense"], &["branch", "a", "--count", "0"], &["run", "a"]]
    {
        assert_eq!(lab.run(arguments).status, 2, "{arguments:?}");
        lab.fails(arguments, "usage");
    }
    let words = lab.fails(&["import", "directory"], "usage");
    assert!(words.contains("<NAME>"), "{words}");
    let words = lab.fails(&["run", "main", "ls"], "usage");
    assert!(words.contains("tine run main -- ls"), "{words}");
    assert_eq!(lab.run(&[]).status, 2);
}

#[test]
fn every_other_answer_has_the_fields_of_the_contract_and_no_more() {
    let lab = Lab::with_main();
    let out = lab.text("out");
    let answers = [
        (&["export", "main", &out][..], &["branch", "bytes", "elapsed_us", "files"][..]),
        (&["snapshot", "main", "s"], &["created"]),
        (&["branch", "a", "--from", "s"], &["created"]),
        (&["rename", "a", "b"], &["branch"]),
        (&["diff", "b"], &["changes"]),
        (&["reset", "b"], &["branch"]),
        (
            &["usage", "b"],
            &["branch", "exclusive_bytes", "pinned_by_base_bytes", "referenced_bytes"],
        ),
        (&["undo", "b"], &["branch", "point", "redo", "restored"]),
        (&["undo", "b", "--redo"], &["branch", "point", "redo", "restored"]),
        (&["log", "b"], &["branch", "points"]),
        (&["delete", "b"], &["deleted", "kept_until", "not_kept"]),
        (&["log", "b"], &["branch", "deleted", "points"]),
        (&["list"], &["branches"]),
        (&["check"], &["blocks_checked", "findings"]),
        (&["postgres", "list"], &["servers"]),
    ];
    for (arguments, expected) in answers {
        let answer = lab.json(arguments);
        assert_eq!(fields(&answer), [expected, &["version"]].concat(), "{arguments:?}");
    }
    let other = lab.make_directory("other");
    std::fs::write(other.join("note"), "longer than it was\n").unwrap();
    lab.ok(&["import", other.to_str().unwrap(), "other"]);
    let changes = lab.json(&["diff", "main", "other"])["changes"].clone();
    for change in changes.as_array().unwrap() {
        assert_eq!(fields(change), ["bytes", "change", "kind", "path"], "{changes}");
        let kind = change["change"].as_str().unwrap();
        assert!(["added", "modified", "deleted", "metadata"].contains(&kind), "{kind}");
    }
}

#[test]
fn an_error_is_one_object_with_a_code_a_sentence_and_what_to_do() {
    let lab = Lab::with_main();
    for arguments in [
        &["usage", "nobody"][..],
        &["branch", "main"],
        &["branch", "-.x"],
        &["unmount", "main"],
        &["reset", "main@import"],
        &["import", "/no/such/place", "x"],
        &["postgres", "stop", "main"],
        &["man"],
        &["completions", "bash"],
        &["nonsense"],
    ] {
        let said = lab.run(&[&["--json"], arguments].concat());
        assert_ne!(said.status, 0, "{said:?}");
        let object = lab::object(&said.out);
        assert_eq!(fields(&object), ["error", "version"]);
        let error = &object["error"];
        assert_eq!(fields(error), ["code", "hint", "message"], "{arguments:?}");
        let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        assert_eq!(said.err, format!("error: {message}\nhint: {hint}\n"));
    }
}

#[test]
fn quiet_prints_only_what_was_asked_for() {
    let lab = Lab::with_main();
    assert_eq!(lab.ok(&["branch", "a", "--quiet"]), "");
    assert!(lab.ok(&["list", "--quiet"]).contains("└─ a"));
}

#[test]
fn the_store_is_named_by_flag_before_environment_before_the_desktops_place() {
    let lab = Lab::with_main();
    let other = lab.text("other.tine");
    lab.ok(&["init", "--store", &other]);
    assert_eq!(lab.json(&["usage", "--store", &other])["branches"], 0);
    let mut command = lab.command(&["init", "--json"]);
    command.env_remove("TINE_STORE").env("XDG_DATA_HOME", lab.path("data"));
    assert_eq!(said(command.output().unwrap()).status, 0);
    assert!(lab.path("data/tine/store.tine").exists());
}

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    let lab = Lab::with_main();
    let mut settings = vec![("TINE_CACHE_MIB", "lots"), ("TINE_CACHE_MIB", "0")];
    if cfg!(feature = "testing") {
        settings.push(("TINE_LOSSY", "yes"));
    }
    for (name, value) in settings {
        let said = said(lab.command(&["list"]).env(name, value).output().unwrap());
        assert_eq!(said.status, 2, "{said:?}");
        assert!(said.err.contains(name), "{said:?}");
    }
    let said = said(lab.command(&["list"]).env("TINE_CACHE_MIB", "8").output().unwrap());
    assert_eq!(said.status, 0, "{said:?}");
}

#[test]
fn a_reader_that_hangs_up_is_no_failure() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "w", "--count", "2000"]);
    let mut child = lab.command(&["list"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn help_completions_and_manual_come_from_one_definition() {
    let lab = Lab::bare();
    let help = lab.ok(&["--help"]);
    let man = lab.ok(&["man"]);
    for verb in [
        "init", "import", "export", "branch", "snapshot", "list", "usage", "rename", "delete",
        "reset", "log", "undo", "mount", "unmount", "run", "diff", "postgres", "check",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}");
        assert!(man.contains(&format!(".SS \"tine {verb} ")), "{verb}");
        assert!(offered(&lab, &[""]).contains(&verb.to_owned()), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(lab.ok(&["completions", shell]).contains("_TINE_COMPLETE"), "{shell}");
    }
    for hidden in ["hold", "enter", "adopt", "merge"] {
        assert!(!help.lines().any(|line| line.trim_start().starts_with(hidden)), "{hidden}");
    }
}
