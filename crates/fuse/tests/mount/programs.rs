//! Real programs on a mounted branch.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::branch::Workshop;
use crate::{Test, tests};

pub const TESTS: &[Test] = tests!(programs:
    pjdfstest_finds_no_fault
    fsx_finds_no_fault_in_two_hundred_thousand_operations
    sqlite_in_wal_mode_serves_several_processes
    git_works_on_a_tree_that_was_unpacked
);

/// Tests that take too long for every day.
pub const SOAK: &[Test] = tests!(programs: fsx_finds_no_fault_in_five_million_operations);

/// A program on the search path.
fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .ok_or(format!("{name} is not installed"))
}

pub fn pjdfstest_finds_no_fault() -> Result<(), String> {
    let pjdfstest = program("pjdfstest")?;
    if !rustix::process::geteuid().is_root() {
        return Err("pjdfstest acts as several users, which only root can".to_owned());
    }
    let workshop = Workshop::new();
    let configuration = workshop.aside().join("pjdfstest.toml");
    // Renaming a file changes its status here, so that this is promised too.
    let text = "[features]\nposix_fallocate = {}\nrename_ctime = {}\nutime_now = {}\nutimensat = {}\n\
                [settings]\nnaptime = 0.01\nallow_remount = false\n\
                [dummy_auth]\nentries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"]]\n";
    fs::write(&configuration, text).unwrap();
    fs::set_permissions(workshop.aside(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let secondary = workshop.aside().join("secondary");
    fs::create_dir(&secondary).unwrap();
    let mounted = workshop.mount("main");
    let output = Command::new(pjdfstest)
        .arg("-c")
        .arg(&configuration)
        .arg("-p")
        .arg(mounted.path("."))
        .arg("-s")
        .arg(&secondary)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints: Vec<&str> = text
        .lines()
        .filter(|line| line.to_lowercase().contains("failed") || line.contains("assert"))
        .collect();
    println!("{}", text.lines().last().unwrap_or("no output"));
    assert!(output.status.success(), "{}", complaints.join("\n"));
    mounted.close();
    Ok(())
}

pub fn fsx_finds_no_fault_in_two_hundred_thousand_operations() -> Result<(), String> {
    exercise(200_000, &[1])
}

pub fn fsx_finds_no_fault_in_five_million_operations() -> Result<(), String> {
    // With other seeds fsx 0.3 may come to allocate nothing at all, which every kernel refuses: 11
    // is one.
    exercise(1_000_000, &[2, 3, 5, 7, 13])
}

/// Random reads, writes, mappings, holes and copies of one file, each compared with what must be
/// there.
fn exercise(operations: u32, seeds: &[u32]) -> Result<(), String> {
    let fsx = program("fsx")?;
    // fsx 0.3 leaves each mapping that it reads in place: with more of them than some thousands it
    // and the kernel spend their time on them, and at some 65,000 the kernel refuses.
    let mapread = 200_000.0 / f64::from(operations);
    let workshop = Workshop::new();
    let configuration = workshop.aside().join("fsx.toml");
    let text = format!(
        "flen = 262144\n[weights]\nclose_open = 1\nread = 10\nwrite = 10\nmapread = {mapread}\n\
                mapwrite = 10\ninvalidate = 1\ntruncate = 5\nfsync = 0.1\nfdatasync = 0.1\n\
                posix_fallocate = 1\npunch_hole = 3\nsendfile = 1\nposix_fadvise = 1\n\
                copy_file_range = 3\n"
    );
    fs::write(&configuration, text).unwrap();
    let mounted = workshop.mount("main");
    for seed in seeds {
        let output = Command::new(&fsx)
            .args(["-N", &operations.to_string(), "-S", &seed.to_string(), "-f"])
            .arg(&configuration)
            .arg("-P")
            .arg(workshop.aside())
            .arg(mounted.path(&format!("exercised-{seed}")))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "seed {seed}: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    mounted.close();
    Ok(())
}

pub fn sqlite_in_wal_mode_serves_several_processes() -> Result<(), String> {
    program("sqlite3")?;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted
        .sh("sqlite3 db 'PRAGMA journal_mode=WAL; CREATE TABLE t(who INT, n INT);' | grep -q wal");
    // A reader that stays keeps the shared index mapped while four writers come and go.
    mounted.sh(
        r#"
        reader() { for n in $(seq 40); do sqlite3 -cmd '.timeout 60000' db 'SELECT count(*) FROM t' > /dev/null; done; }
        writer() { for n in $(seq 40); do sqlite3 -cmd '.timeout 60000' db "INSERT INTO t VALUES($1, $n)"; done; }
        reader & pids=$!
        for who in 1 2 3 4; do writer $who & pids="$pids $!"; done
        for pid in $pids; do wait $pid; done
        "#,
    );
    mounted.sh("sync -f .");
    workshop.store.fork("main", "fork").unwrap();
    let fork = workshop.mount("fork");
    for place in [&mounted, &fork] {
        assert_eq!(place.sh("sqlite3 db 'PRAGMA integrity_check'"), "ok");
        assert_eq!(place.sh("sqlite3 db 'SELECT count(*), count(DISTINCT who) FROM t'"), "160|4");
    }
    fork.sh("sqlite3 db 'DELETE FROM t WHERE who = 1'");
    assert_eq!(mounted.sh("sqlite3 db 'SELECT count(*) FROM t'"), "160");
    fork.close();
    mounted.close();
    Ok(())
}

pub fn git_works_on_a_tree_that_was_unpacked() -> Result<(), String> {
    program("git")?;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh(
        r#"
        mkdir tree && cd tree
        for d in $(seq 20); do mkdir d$d; for f in $(seq 30); do echo "$d $f" > d$d/f$f; done; done
        ln -s d1/f1 link; chmod +x d2/f2
        tar cf ../tree.tar . && mkdir ../copy && tar xf ../tree.tar -C ../copy && diff -r . ../copy
        cd ../copy && git init -q . && git add . && git -c user.name=t -c user.email=t commit -q -m t
        git status --porcelain | wc -l | grep -qx 0
        echo changed >> d3/f3 && rm d4/f4
        git gc -q && git fsck --strict 2>&1 | (! grep -i error)
        "#,
    );
    assert_eq!(mounted.sh("cd copy && git status --porcelain"), " M d3/f3\n D d4/f4");
    mounted.close();
    let mounted = workshop.mount("main");
    assert_eq!(mounted.sh("cd copy && git status --porcelain"), " M d3/f3\n D d4/f4");
    mounted.close();
    Ok(())
}
