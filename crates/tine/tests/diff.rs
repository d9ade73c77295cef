//! What changed, in all its forms: lists, tables, patches, and pages on a terminal.

mod lab;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::terminal::Terminal;
use lab::{Lab, can_mount, can_run, said};
use serde_json::{Value, json};

/// A store with `old` and `new`, both imported.
fn with_two(fill: impl FnOnce(&Path, &Path)) -> Lab {
    let lab = Lab::new();
    let (old, new) = (lab.make_directory("old"), lab.make_directory("new"));
    fill(&old, &new);
    lab.ok(&["import", old.to_str().unwrap(), "old"]);
    lab.ok(&["import", new.to_str().unwrap(), "new"]);
    lab
}

fn numbers(to: u32) -> String {
    (1..=to).map(|n| format!("{n}\n")).collect()
}

fn with_changes() -> Lab {
    with_two(|old, new| {
        fs::create_dir_all(old.join("src/deep")).unwrap();
        fs::create_dir_all(new.join("src/deep")).unwrap();
        fs::write(old.join("src/a"), numbers(20)).unwrap();
        fs::write(new.join("src/a"), numbers(20).replace("\n7\n", "\nseven\n")).unwrap();
        fs::write(old.join("src/deep/data"), b"\0one").unwrap();
        fs::write(new.join("src/deep/data"), b"\0three").unwrap();
        fs::write(old.join("gone"), "1\n2\n").unwrap();
        fs::write(new.join("two words"), "").unwrap();
        symlink("src/a", new.join("link")).unwrap();
        fs::create_dir(new.join("empty")).unwrap();
        fs::write(old.join("same"), "same").unwrap();
        fs::write(new.join("same"), "same").unwrap();
    })
}

fn paths(changes: &Value) -> Vec<&str> {
    let rows = changes["changes"].as_array().unwrap();
    rows.iter().map(|row| row["path"].as_str().unwrap()).collect()
}

fn row<'a>(changes: &'a Value, path: &str) -> &'a Value {
    let rows = changes["changes"].as_array().unwrap();
    rows.iter().find(|row| row["path"] == path).unwrap_or_else(|| panic!("{path}: {changes}"))
}

#[test]
fn stat_counts_lines_of_text_and_bytes_of_anything_else() {
    let lab = with_changes();
    let words =
        lab.ok(&["diff", "old", "new", "--stat", "src/a", "src/deep/data", "gone", "empty"]);
    assert_eq!(
        words,
        " empty/        | added\n \
          gone          |     2 --\n \
          src/a         |     2 +-\n \
          src/deep/data | 4 B -> 6 B\n \
          4 paths changed, 1 line added, 3 removed, 1 file is no text (4 B -> 6 B)\n"
    );
    let rows = lab.json(&["diff", "old", "new", "--stat"]);
    let a = row(&rows, "src/a");
    assert_eq!((&a["lines_added"], &a["lines_removed"]), (&1.into(), &1.into()));
    assert_eq!((&a["bytes_before"], &a["bytes_after"]), (&51.into(), &55.into()));
    let mode = fs::metadata(lab.path("old/src/a")).unwrap().permissions().mode() & 0o7777;
    let mode = format!("{mode:04o}");
    assert_eq!((&a["mode_before"], &a["kind"]), (&mode.into(), &"file".into()));
    let data = row(&rows, "src/deep/data");
    assert!(data.get("lines_added").is_none() && data.get("patch").is_none(), "{data}");
    let digest = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(b"\0three"));
    let rows = lab.json(&["diff", "old", "new", "--patch"]);
    assert_eq!(row(&rows, "src/deep/data")["xxh3_after"], digest);
    assert_eq!(lab.ok(&["diff", "old", "old", "--stat"]), "");
}

#[test]
fn a_patch_makes_one_side_of_the_other() {
    let lab = with_changes();
    // What is no text is in no patch, so it is left out here.
    let filter = ["src/a", "gone", "two words", "link"];
    let patch = lab.ok(&[&["diff", "old", "new", "--patch"][..], &filter].concat());
    for program in [&["git", "apply", "-"][..], &["patch", "-p1", "-s", "-f"]] {
        let work = lab.make_directory(program[0]);
        lab.ok(&["export", "old", work.join("tree").to_str().unwrap()]);
        let tree = work.join("tree");
        let mut command = Command::new(program[0]);
        fs::write(work.join("patch"), &patch).unwrap();
        let input = fs::File::open(work.join("patch")).unwrap();
        // In a repository above, git would look for the paths from its root.
        command.env("GIT_CEILING_DIRECTORIES", &work);
        let applied = command.args(&program[1..]).current_dir(&tree).stdin(input).output();
        let Ok(applied) = applied else {
            println!("skipped: a_patch_makes_one_side_of_the_other: no {}", program[0]);
            continue;
        };
        assert!(applied.status.success(), "{applied:?}\n{patch}");
        assert_eq!(fs::read(tree.join("src/a")).unwrap(), fs::read(lab.path("new/src/a")).unwrap());
        assert!(!tree.join("gone").exists());
        assert_eq!(fs::read(tree.join("two words")).unwrap(), b"");
        assert_eq!(fs::read_link(tree.join("link")).unwrap(), Path::new("src/a"));
    }
}

#[test]
fn a_patch_as_json_is_whole_whatever_the_files_hold() {
    let lab = with_two(|old, new| {
        fs::write(old.join("latin"), b"caf\xe9\n").unwrap();
        fs::write(new.join("latin"), b"caf\xe8\n").unwrap();
        fs::write(new.join("utf"), "ü\n").unwrap();
    });
    let rows = lab.json(&["diff", "old", "new", "--patch"]);
    let utf = row(&rows, "utf");
    assert_eq!(
        utf["patch"],
        "diff --git a/utf b/utf\nnew file mode 100644\n--- /dev/null\n+++ b/utf\n@@ -0,0 +1 @@\n+ü\n"
    );
    assert!(utf.get("patch_bytes").is_none());
    let latin = row(&rows, "latin");
    assert!(latin["patch"].as_str().unwrap().contains("+caf\u{fffd}\n"), "{latin}");
    // `…-caf\xe9\n+caf\xe8\n` in base64.
    assert!(latin["patch_bytes"].as_str().unwrap().ends_with("LWNhZukKK2NhZugK"), "{latin}");
    let bytes = lab.command(&["diff", "old", "new", "--patch"]).output().unwrap().stdout;
    assert!(bytes.windows(12).any(|bytes| bytes == b"-caf\xe9\n+caf\xe8\n".as_slice()));
}

#[test]
fn what_a_patch_does_not_tell_is_noted() {
    let lab = with_two(|old, new| {
        fs::write(old.join("file"), "x").unwrap();
        fs::write(new.join("file"), "x").unwrap();
        fs::create_dir(new.join("empty")).unwrap();
    });
    let said = lab.run(&["diff", "old", "new", "--patch", "empty"]);
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    assert_eq!(said.err, "note: a patch does not tell of 1 change of a directory\n");
    assert_eq!(lab.run(&["diff", "old", "new", "--patch", "empty", "-q"]).err, "");
}

#[test]
fn names_alone_are_escaped_or_end_with_a_nul() {
    let lab = with_two(|_, new| {
        fs::write(new.join(OsStr::from_bytes(b"a\n\xff")), "x").unwrap();
        fs::write(new.join("b"), "x").unwrap();
    });
    let words = lab.ok(&["diff", "old", "new", "--name-only"]);
    assert_eq!(words.lines().filter(|line| *line != ".").collect::<Vec<_>>(), [r"a\n\xff", "b"]);
    let raw =
        lab.command(&["diff", "old", "new", "--name-only", "-z", "--", "b"]).output().unwrap();
    assert_eq!(raw.stdout, b"b\0");
    let raw = lab.command(&["diff", "old", "new", "--name-only", "-z"]).output().unwrap();
    assert!(raw.stdout.ends_with(b"a\n\xff\0b\0"), "{raw:?}");
    for form in [&["--name-only", "-z"][..], &["--name-only"], &["-p"], &["--stat"], &[]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = lab.command(&[&["diff", "old", "new"], form].concat());
        let said = said(command.stdout(full).stderr(Stdio::piped()).output().unwrap());
        assert!(said.status == 1 && said.err.contains("cannot"), "{form:?}: {said:?}");
    }
    lab.fails(&["diff", "old", "new", "-z"], "usage");
    lab.fails(&["diff", "old", "new", "--stat", "--patch"], "usage");
}

#[test]
fn paths_start_where_you_are_below_the_directory_of_the_branch() {
    let lab = with_changes();
    let from = |directory: &str, words: &[&str]| {
        let mut command = lab.command(&[&["diff", "old", "new", "--json"][..], words].concat());
        let said = said(command.current_dir(lab.path(directory)).output().unwrap());
        assert_eq!(said.status, 0, "{said:?}");
        (lab::object(&said.out), said.err)
    };
    // Changes are from `old` to `new`, so the directory is that of `new`.
    let (changes, _) = from("new/src", &["a"]);
    assert_eq!(paths(&changes), ["src/a"]);
    let (changes, _) = from("new/src", &["deep"]);
    assert_eq!(paths(&changes), ["src/deep", "src/deep/data"]);
    let (changes, _) = from("new/src", &["..", "a"]);
    assert!(paths(&changes).contains(&"gone"));
    let (changes, _) = from(".", &["src/a"]);
    assert_eq!(paths(&changes), ["src/a"]);
    let absolute = lab.text("new/src/a");
    let (changes, _) = from(".", &[&absolute, "/gone"]);
    assert_eq!(paths(&changes), ["gone", "src/a"]);
    let (changes, err) = from("new/src", &["a", "nowhere"]);
    assert_eq!(paths(&changes), ["src/a"]);
    assert_eq!(err, "note: neither side has src/nowhere\n");
    lab.fails(&["diff", "old", "new", ".."], "usage");
}

#[test]
fn a_word_is_a_branch_first_and_a_path_behind_dashes() {
    let lab = with_changes();
    lab.ok(&["branch", "gone", "--from", "old"]);
    lab.ok(&["branch", "work", "--from", "old"]);
    // A branch and a path have this name.
    assert_eq!(lab.json(&["diff", "new", "gone", "gone"])["changes"][0]["change"], "added");
    let said = lab.run(&["diff", "work", "--", "gone"]);
    assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, "", ""));
    // A path alone, since no branch has the name.
    assert_eq!(lab.json(&["diff", "work", "src/a"])["changes"], json!([]));
    let words = lab.fails(&["diff", "work", "nothing"], "branch-not-found");
    assert!(words.contains("nothing") && words.contains("`--`"), "{words}");
    lab.fails(&["diff", "nobody", "src"], "branch-not-found");
    lab.fails(&["diff", "nobody", "--patch"], "branch-not-found");
    lab.ok(&["create", "bare"]);
    lab.fails(&["diff", "bare", "--stat"], "unsupported");
}

#[test]
fn points_of_history_can_be_compared_with_one_another() {
    if !can_run("points_of_history_can_be_compared_with_one_another") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "work"]);
    for text in ["one", "two", "three"] {
        let script = format!("echo {text} >> note");
        lab.ok(&["run", "work", "--", "sh", "-c", &script]);
    }
    let added = |from: &str, to: &str| {
        let patch = lab.ok(&["diff", from, to, "--patch"]);
        patch
            .lines()
            .filter(|line| line.starts_with('+'))
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(added("work@1", "work@2"), ["+one"]);
    assert_eq!(added("work@2", "work"), ["+two", "+three"]);
    assert_eq!(added("work@-1", "work"), ["+three"]);
    assert_eq!(added("main", "work@3"), ["+one", "+two"]);
    assert_eq!(lab.ok(&["diff", "work@1", "main"]), "");
    assert_eq!(lab.json(&["diff", "work@2", "--stat"])["changes"][0]["lines_added"], 1);
    assert!(lab.json(&["status", "work"])["points"] == 3);
    let words = lab.fails(&["diff", "work", "work@9"], "branch-not-found");
    assert!(words.contains("no point 9") && words.contains("`tine log work`"), "{words}");
    lab.fails(&["diff", "work@x", "work"], "name-invalid");
}

#[test]
fn a_file_that_an_editor_replaced_is_modified_in_every_form() {
    let test = "a_file_that_an_editor_replaced_is_modified_in_every_form";
    if !can_mount(test) {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "work"]);
    let mounted = lab.mount("work");
    fs::write(mounted.join(".note.tmp"), "as it was\nand more\n").unwrap();
    fs::rename(mounted.join(".note.tmp"), mounted.join("note")).unwrap();
    // Still mounted: what was written last is in it.
    let rows = lab.json(&["diff", "work", "--stat"]);
    assert_eq!(paths(&rows), ["note"]);
    assert_eq!(
        (&rows["changes"][0]["change"], &rows["changes"][0]["lines_added"]),
        (&"modified".into(), &1.into())
    );
    assert!(lab.ok(&["diff", "work", "-p"]).ends_with("@@ -1 +1,2 @@\n as it was\n+and more\n"));
    let mut inside = lab.command(&["diff", "work", "--name-only", "data"]);
    fs::write(mounted.join("sub/data"), "new").unwrap();
    let said = said(inside.current_dir(mounted.join("sub")).output().unwrap());
    assert_eq!(said.out, "sub/data\n", "{said:?}");
}

#[test]
fn times_of_change_alone_are_no_change() {
    if !can_run("times_of_change_alone_are_no_change") {
        return;
    }
    let lab = Lab::with_main();
    let script = "mode=$(stat -c %a note); chmod 777 note; chmod $mode note";
    lab.ok(&["run", "work", "--from", "main", "--", "sh", "-c", script]);
    assert_eq!(lab.ok(&["diff", "work"]), "");
}

#[test]
fn what_is_large_or_hard_to_compare_takes_neither_memory_nor_minutes() {
    let lab = with_two(|old, new| {
        let hard = |odd: u64| -> String {
            (0..500_000u64).map(|n| format!("{}\n", (n * n + odd * n) % 1009)).collect()
        };
        fs::write(old.join("hard"), hard(1)).unwrap();
        fs::write(new.join("hard"), hard(2)).unwrap();
        fs::write(old.join("large"), "0\n".repeat(3 << 20)).unwrap();
        fs::write(new.join("large"), "1\n".repeat(3 << 20)).unwrap();
    });
    let start = Instant::now();
    let rows = lab.json(&["diff", "old", "new", "--stat"]);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(row(&rows, "hard")["lines_added"].as_u64().unwrap() > 0);
    let large = row(&rows, "large");
    assert!(large["bytes_before"].is_u64() && large.get("lines_added").is_none(), "{large}");
    let patch = lab.ok(&["diff", "old", "new", "--patch", "large"]);
    assert!(patch.contains("too large to be compared by lines"), "{patch}");
    // A reader that has seen enough is no failure.
    let mut child =
        lab.command(&["diff", "old", "new", "-p"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_terminal_gets_pages_colours_and_nothing_that_it_obeys() {
    let lab = with_two(|old, new| {
        fs::write(old.join("a"), "1\n").unwrap();
        fs::write(new.join("a"), "2\x1b[2J\n").unwrap();
    });
    let shown = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = lab.command(&[&["diff", "old", "new"], arguments].concat());
        command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("LESS");
        command.env_remove("PAGER").env_remove("TINE_PAGER");
        Terminal::new().run(command.envs(variables.iter().copied()))
    };
    let pager = ("TINE_PAGER", "sed 's/^/> /'");
    let (status, text) = shown(&["--name-only", "a"], &[pager]);
    assert_eq!((status, text.as_str()), (0, "> a\n"));
    let (_, text) = shown(&["-p"], &[pager]);
    assert!(text.contains("> \x1b[32m+2\\u{1b}[2J\x1b[m\n"), "{text:?}");
    let (_, text) = shown(&["-p"], &[pager, ("NO_COLOR", "1")]);
    assert!(text.contains("> +2\\u{1b}[2J\n") && !text.contains('\x1b'), "{text:?}");
    for off in [&["-p", "--no-pager"][..], &["-p", "-q"], &["-p", "--json"]] {
        assert!(!shown(off, &[pager]).1.contains("> "), "{off:?}");
    }
    for off in ["cat", ""] {
        let (status, text) = shown(&["--name-only", "a"], &[("TINE_PAGER", off), ("PAGER", "no")]);
        assert_eq!((status, text.as_str()), (0, "a\n"), "{off:?}");
    }
    let (status, text) = shown(&["--name-only", "a"], &[("PAGER", "sed s/a/b/")]);
    assert_eq!((status, text.as_str()), (0, "b\n"));
    let (status, text) = shown(&["--name-only", "a"], &[("PAGER", "/no/such/pager")]);
    assert_eq!(status, 1);
    assert!(text.contains("error: the pager /no/such/pager cannot be run"), "{text}");
    // What comes with no terminal goes through no pager.
    let piped = lab.command(&["diff", "old", "new", "-p"]).env("TINE_PAGER", "false").output();
    assert!(piped.unwrap().stdout.ends_with(b"-1\n+2\x1b[2J\n"));
}

#[test]
fn a_patch_that_a_person_reads_keeps_no_other_command_waiting() {
    let lab = with_two(|_, new| fs::write(new.join("a"), numbers(500_000)).unwrap());
    let mut command = lab.command(&["diff", "old", "new", "-p"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // It stands before a full pipe by then.
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none());
    let start = Instant::now();
    lab.ok(&["branch", "other", "--from", "old"]);
    lab.ok(&["delete", "new"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // What it compares stays as it was.
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.ends_with(b"+499999\n+500000\n"));
}

#[test]
fn a_pager_that_ends_early_is_no_failure() {
    let lab = with_two(|_, new| fs::write(new.join("a"), numbers(500_000)).unwrap());
    let mut command = lab.command(&["diff", "old", "new", "-p"]);
    let command = command.env("TINE_PAGER", "head -n 1").env("TERM", "dumb");
    let (status, text) = Terminal::new().run(command);
    assert_eq!((status, text.as_str()), (0, "diff --git a/a b/a\n"));
}
