//! A PostgreSQL data directory whose server runs cannot be copied file by file: the pieces would
//! not fit together.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, fstat, statat};

use super::host;
use crate::postgres::process_runs;

/// The process of the server that runs on a data directory, if one does.
pub fn running_on(directory: impl AsFd) -> Option<u32> {
    let read = |name: &str| -> Option<String> {
        // The directory may be anyone's: a pipe of the name is not waited for, and no link is
        // followed.
        let file = host::open_file(directory.as_fd(), name.as_bytes()).ok()?;
        FileType::from_raw_mode(fstat(&file).ok()?.st_mode).is_file().then_some(())?;
        let mut text = String::new();
        File::from(file).take(4096).read_to_string(&mut text).ok()?;
        Some(text)
    };
    read("PG_VERSION")?;
    let pid: u32 = read("postmaster.pid")?.lines().next()?.trim().parse().ok()?;
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    // The number may have gone to another program since the server died, or still be kept by a
    // parent that has not waited for it.
    let runs = matches!(program.trim(), "postgres" | "postmaster") && process_runs(pid);
    runs.then_some(pid)
}

/// Returns `true` if it is a data directory of PostgreSQL, and not a part of one.
pub fn is_cluster(directory: impl AsFd) -> bool {
    let is_file = |name: &str| {
        let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
    };
    // `global` may be a link.
    is_file("PG_VERSION") && is_file("global/pg_control")
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pid_file_left_by_a_dead_server_is_no_server() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
        let pid_file = dir.path().join("postmaster.pid");
        for content in ["999999999\n/data\n", "not a number", ""] {
            std::fs::write(&pid_file, content).unwrap();
            assert_eq!(running_on(File::open(dir.path()).unwrap()), None);
        }
        std::fs::remove_file(&pid_file).unwrap();
        mknodat(CWD, &pid_file, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(running_on(File::open(dir.path()).unwrap()), None);
        std::fs::remove_file(&pid_file).unwrap();
        // This test's own process is alive, and no server.
        std::fs::write(&pid_file, std::process::id().to_string()).unwrap();
        assert_eq!(running_on(File::open(dir.path()).unwrap()), None);
    }
    #[test]
    fn a_dead_server_that_its_parent_has_not_waited_for_is_no_server() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("postgres");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
        std::fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
        std::fs::write(dir.path().join("postmaster.pid"), child.id().to_string()).unwrap();
        assert_eq!(running_on(File::open(dir.path()).unwrap()), Some(child.id()));
        child.kill().unwrap();
        while process_runs(child.id()) {
            std::thread::yield_now();
        }
        assert_eq!(running_on(File::open(dir.path()).unwrap()), None);
        child.wait().unwrap();
    }
}
