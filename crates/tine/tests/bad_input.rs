//! What goes wrong before anything is copied or mounted: a code, a sentence, nothing lost, no
//! panic.

mod lab;

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use lab::{Lab, can_run, is_root, object, said, wait_until};
use xxhash_rust::xxh3::xxh3_128;

#[test]
fn a_missing_store_is_named_with_the_way_to_make_one() {
    let lab = Lab::bare();
    lab.make_directory("empty");
    let empty = lab.text("empty");
    for arguments in [
        &["list"][..],
        &["branch", "a"],
        &["check"],
        &["import", "/tmp", "a"],
        &["mount", "a", &empty],
    ] {
        let words = lab.fails(arguments, "store-not-found");
        assert!(words.contains(lab.store().to_str().unwrap()) && words.contains("tine init"));
    }
    assert!(!lab.store().exists());
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    let lab = Lab::bare();
    for content in [&b""[..], b"not a store", &[0; 1 << 20]] {
        fs::write(lab.store(), content).unwrap();
        lab.fails(&["list"], "store-damaged");
        lab.fails(&["import", "/tmp", "a"], "store-damaged");
        lab.fails(&["init"], "store-exists");
        assert_eq!(fs::read(lab.store()).unwrap(), content);
    }
    fs::remove_file(lab.store()).unwrap();
    fs::create_dir(lab.store()).unwrap();
    assert_eq!(lab.run(&["list"]).status, 1);
    lab.fails(&["init"], "store-exists");
}

#[test]
fn a_truncated_store_is_an_error_and_never_a_panic() {
    let lab = Lab::with_main();
    let whole = fs::metadata(lab.store()).unwrap().len();
    for part in [1, 2, 10, 100] {
        let copy = lab.path("cut.tine");
        fs::copy(lab.store(), &copy).unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(&copy)
            .unwrap()
            .set_len(whole / 100 * part)
            .unwrap();
        for verb in ["list", "check"] {
            let said = lab.run(&["--json", verb, "--store", copy.to_str().unwrap()]);
            assert!(!said.err.contains("panicked"), "{said:?}");
            let answer = object(&said.out);
            // A cut in the unused end of the file may do no harm; then the answer must be right.
            match said.status {
                0 => assert!(answer.get("error").is_none()),
                1 if answer.get("error").is_some() => {
                    assert_eq!(answer["error"]["code"], "store-damaged", "{said:?}")
                }
                1 => assert_ne!(answer["findings"], serde_json::json!([]), "{said:?}"),
                _ => panic!("{said:?}"),
            }
        }
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_by_version() {
    let lab = Lab::with_main();
    lab::wait_until("the holder has gone", || lab.holder().is_none());
    // docs/format.md: a superblock is a block that begins with eight bytes of magic and a
    // little-endian version, and ends with the checksum of the rest.
    let file = fs::OpenOptions::new().read(true).write(true).open(lab.store()).unwrap();
    let mut block = [0; 4096];
    let mut changed = 0;
    for at in (0..2 << 20).step_by(4096) {
        file.read_exact_at(&mut block, at).unwrap();
        if block.starts_with(b"tine") {
            block[8..12].copy_from_slice(&7u32.to_le_bytes());
            let sum = xxh3_128(&block[..4080]).to_le_bytes();
            block[4080..].copy_from_slice(&sum);
            file.write_all_at(&block, at).unwrap();
            changed += 1;
        }
    }
    assert!(changed >= 2, "{changed}");
    let words = lab.fails(&["list"], "store-version");
    assert!(words.contains("newer tine"), "{words}");
}

#[test]
fn flipped_bytes_anywhere_are_found_or_harmless_and_never_a_panic() {
    let lab = Lab::with_main();
    let whole = fs::read(lab.store()).unwrap();
    let copy = lab.text("flipped.tine");
    let used: Vec<usize> = (0..whole.len())
        .step_by(4096)
        .filter(|&at| whole[at..].iter().take(4096).any(|&byte| byte != 0))
        .collect();
    for &at in used.iter().step_by(used.len() / 24 + 1) {
        let mut bytes = whole.clone();
        bytes[at + 20] ^= 0x10;
        fs::write(&copy, bytes).unwrap();
        for arguments in [&["list"][..], &["check"], &["branch", "b"]] {
            let said = lab.run(&[arguments, &["--store", &copy]].concat());
            assert!([0, 1].contains(&said.status), "at {at}: {said:?}");
            assert!(!said.err.contains("panicked"), "at {at}: {said:?}");
        }
    }
}

#[test]
fn a_store_that_another_process_keeps_is_reported_as_locked() {
    let lab = Lab::with_main();
    // A process that has the store and answers no command.
    let file = fs::File::open(lab.store()).unwrap();
    file.lock().unwrap();
    let words = lab.fails(&["list"], "store-locked");
    assert!(words.contains("try again"), "{words}");
    drop(file);
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn two_commands_at_once_both_succeed() {
    let lab = Lab::with_main();
    let commands: Vec<_> = (0..8)
        .map(|n| {
            let name = format!("b{n}");
            let mut command = lab.command(&["branch", &name, "--from", "main"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for command in commands {
        let said = said(command.wait_with_output().unwrap());
        assert_eq!(said.status, 0, "{said:?}");
    }
    assert_eq!(lab.names().len(), 9);
}

#[test]
fn the_same_name_asked_for_twice_at_once_is_given_once() {
    let lab = Lab::with_main();
    let commands: Vec<_> = (0..4)
        .map(|_| {
            let mut command = lab.command(&["branch", "same", "--from", "main", "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: Vec<_> =
        commands.into_iter().map(|command| said(command.wait_with_output().unwrap())).collect();
    let done = said.iter().filter(|said| said.status == 0).count();
    assert_eq!(done, 1, "{said:?}");
    for said in said.iter().filter(|said| said.status != 0) {
        assert_eq!(object(&said.out)["error"]["code"], "branch-exists");
    }
}

#[test]
fn names_out_of_rule_are_refused_by_every_command_that_makes_one() {
    let lab = Lab::with_main();
    let long = "a".repeat(129);
    for name in [
        "",
        ".a",
        "a b",
        "ä",
        "a:b",
        "a\nb",
        "tine.unfinished/x",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        long.as_str(),
    ] {
        let src = lab.text("src");
        for arguments in [
            &["branch", name][..],
            &["snapshot", "main", name],
            &["import", &src, name],
            &["rename", "main", name],
        ] {
            lab.fails(arguments, "name-invalid");
        }
    }
    assert_eq!(lab.names(), ["main"]);
    for name in ["a/b", "A.1_2-3", "0"] {
        lab.ok(&["branch", name]);
    }
}

#[test]
fn unreadable_source_files_are_named_and_nothing_is_made() {
    if is_root() {
        println!(
            "skipped: unreadable_source_files_are_named_and_nothing_is_made: root reads everything; the pass as an ordinary user runs it"
        );
        return;
    }
    let lab = Lab::new();
    let src = lab.make_directory("src");
    fs::write(src.join("open"), "x").unwrap();
    for name in ["shut1", "shut2"] {
        fs::write(src.join(name), "x").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        fs::set_permissions(src.join(name), mode).unwrap();
    }
    let words = lab.fails(&["import", src.to_str().unwrap(), "main"], "not-permitted");
    assert!(words.contains("shut1") && words.contains("shut2") && !words.contains("open: "));
    assert_eq!(lab.names(), Vec::<String>::new());
}

#[test]
fn a_source_that_is_no_directory_is_refused() {
    let lab = Lab::new();
    fs::write(lab.path("file"), "x").unwrap();
    let words = lab.fails(&["import", &lab.text("file"), "main"], "io");
    assert!(words.contains("not a directory"), "{words}");
    lab.fails(&["import", &lab.text("nowhere"), "main"], "io");
    assert_eq!(lab.names(), Vec::<String>::new());
    // Opened like a file, a pipe would wait for a writer.
    rustix::fs::mkfifoat(rustix::fs::CWD, lab.path("pipe"), rustix::fs::Mode::RUSR).unwrap();
    lab.fails(&["import", &lab.text("pipe"), "main"], "io");
}

#[test]
fn a_directory_with_the_store_in_it_is_refused() {
    let lab = Lab::new();
    let around = lab.store().parent().unwrap().to_owned();
    let said = lab.fails(&["import", around.to_str().unwrap(), "main"], "unsupported");
    assert!(said.contains("the store itself"), "{said}");
    assert_eq!(lab.list().len(), 0);
}

#[test]
fn an_export_needs_a_new_or_empty_directory() {
    let lab = Lab::with_main();
    fs::write(lab.path("file"), "x").unwrap();
    lab.fails(&["export", "main", &lab.text("src")], "io");
    lab.fails(&["export", "main", &lab.text("file")], "io");
    lab.fails(&["export", "nobody", &lab.text("out")], "branch-not-found");
    assert!(!lab.path("out").exists());
    lab.make_directory("empty");
    lab.ok(&["export", "main", &lab.text("empty")]);
    assert_eq!(fs::read_to_string(lab.path("empty/note")).unwrap(), "as it was\n");
}

#[test]
fn a_store_deep_below_long_directories_is_held_and_reached() {
    let lab = Lab::bare();
    let deep = (0..4).fold(lab.path(""), |path, _| path.join("d".repeat(90)));
    let store = deep.join("store.tine");
    let store = store.to_str().unwrap();
    lab.ok(&["init", "--store", store]);
    let src = lab.make_directory("src");
    lab.ok(&["import", src.to_str().unwrap(), "main", "--store", store]);
    assert_eq!(lab.json(&["usage", "--store", store])["branches"], 2);
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_unless_nobody_listens() {
    let lab = Lab::with_main();
    let answered =
        |arguments: &[&str], to: Stdio| said(lab.command(arguments).stdout(to).output().unwrap());
    for arguments in [
        &["list"][..],
        &["--json", "list"],
        &["branch", "a"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let said = answered(arguments, full.into());
        assert!(said.status == 1 && said.err.contains("cannot be written"), "{said:?}");
    }
    assert_eq!(lab.names(), ["a", "main"], "what was asked is done");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = answered(&["list"], writer.into());
    assert_eq!((said.status, said.err.as_str()), (0, ""));
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_ends_nothing() {
    let lab = Lab::with_main();
    let limited = |kilobytes: u32, arguments: &[&str]| {
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", &format!("ulimit -f {kilobytes}; exec \"$@\""), "sh"]);
        limited.arg(env!("CARGO_BIN_EXE_tine")).args(arguments).env("TINE_STORE", lab.store());
        said(limited.stdin(Stdio::null()).output().unwrap())
    };
    let large = lab.make_directory("large");
    fs::write(large.join("file"), vec![1; 100 << 20]).unwrap();
    // Else a holder that knows no limit would do the work.
    wait_until("the holder goes", || lab.holder().is_none());
    // From the first segment of the store into the second.
    let said = limited(140_000, &["--json", "import", large.to_str().unwrap(), "large"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert_eq!(object(&said.out)["error"]["code"], "no-space", "{said:?}");
    assert!(said.err.contains("larger file"), "{said:?}");
    assert_eq!(lab.names(), ["main"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
    if can_run("a_limit_on_the_size_of_files_is_an_error_and_ends_nothing") {
        let told = ["run", "main", "--", "sh", "-c", "head -c 1000000 /dev/zero > f; echo $?"];
        let said = limited(100, &told);
        assert_eq!(said.out, "153\n", "a command meets the limit as it always does: {said:?}");
    }
}
