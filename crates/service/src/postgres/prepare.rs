//! Makes a copied data directory safe to start while its original goes on.
//!
//! What leads out of the directory is refused by name ([`Boundary`]). Some state says "I am that
//! server" and has to go: the pid file, standby and recovery signals, replication slots. The rest
//! is settings, which go on the command line.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::account::Account;
use super::boundary::Boundary;
use super::cluster::live_server;
use super::configuration::Configuration;
use super::data_file;
use super::process::wait_until_reaped;
use crate::protocol::{Code, Error, Result};

/// Names the branch that the directory was last prepared for. A fork carries its source's.
const MARK: &str = "tine.branch";
/// Follows the name until the first server has done its part.
const UNFINISHED: &str = "\nunfinished\n";

/// How long an ended server's parent may take to wait for it. tine does at once; the first process
/// of a container may never.
const REAPED_WITHIN: Duration = Duration::from_secs(2);

/// Readies the directory of branch `identity` for a start, and returns its configuration. What a
/// fork must lose is removed once, so that slots and standby signals which are made in the branch
/// itself stay.
pub(super) fn prepare(boundary: &Boundary<'_>, identity: &str) -> Result<Configuration> {
    let (directory, account) = (&boundary.cluster.directory, boundary.account);
    let last_server = data_file::read_own_text(&directory.join("postmaster.pid"));
    if let Some(pid) = last_server.ok().and_then(|text| pid_in(&text)) {
        wait_until_reaped(pid, REAPED_WITHIN);
    }
    if let Some(pid) = live_server(directory) {
        let message = format!("a server, process {pid}, already runs on {}", directory.display());
        return Err(Error::new(Code::BranchBusy, message));
    }
    let configuration = boundary.check()?;

    let mark = directory.join(MARK);
    let last = data_file::read_own_text(&mark).unwrap_or_default();
    if last.strip_suffix(UNFINISHED).unwrap_or(&last) == identity {
        remove_strangers_pid_file(directory)?;
        return Ok(configuration);
    }
    for signal in ["postmaster.pid", "standby.signal", "recovery.signal", "promote"] {
        remove_file(&directory.join(signal))?;
    }
    remove_slots(&directory.join("pg_replslot"))?;
    write_mark(directory, &format!("{identity}{UNFINISHED}"), account)?;
    Ok(configuration)
}

/// Returns `true` if the fork's first server has still to do its part: what can only be removed by
/// a server.
pub(super) fn is_new(directory: &Path, identity: &str) -> bool {
    data_file::read_own_text(&directory.join(MARK)).map_or(true, |last| last != identity)
}

/// Writes down that the first server has done its part.
pub(super) fn finish(directory: &Path, identity: &str, account: &Account) -> Result<()> {
    write_mark(directory, identity, account)
}

fn write_mark(directory: &Path, text: &str, account: &Account) -> Result<()> {
    // Whole or not at all: without it the next start would take the branch for a new fork.
    let (mark, unfinished) = (directory.join(MARK), directory.join(format!("{MARK}.new")));
    let mut file = account.create(&unfinished)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&unfinished, &mark));
    written.map_err(|error| Error::path("write", &mark, error))
}

/// After a crash on this same branch PostgreSQL looks by itself, through the pid file, whether
/// processes of the old server still use the data, and must be left to. But it refuses a file whose
/// number is in use, be it by another program or by a dead server that its parent does not wait
/// for; and an empty one, of a server that ended before it wrote its number, on a full disk for
/// one, which left no process behind.
fn remove_strangers_pid_file(directory: &Path) -> Result<()> {
    let file = directory.join("postmaster.pid");
    let text = data_file::read_own_text(&file).unwrap_or_default();
    let in_use = pid_in(&text).is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists());
    if in_use || text.is_empty() { remove_file(&file) } else { Ok(()) }
}

/// The process that a pid file names: the last server's, or by now another one.
fn pid_in(text: &str) -> Option<u32> {
    text.lines().next()?.trim().parse().ok()
}

fn remove_slots(directory: &Path) -> Result<()> {
    for slot in entries(directory)? {
        if slot.is_dir() {
            fs::remove_dir_all(&slot).map_err(|error| Error::path("remove", &slot, error))?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::path("read", directory, error)),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::path("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode};

    use super::*;
    use crate::postgres::cluster::Cluster;
    use crate::postgres::installation::Installation;

    /// A fork of an original that serves, as far as files can tell.
    struct Fork {
        tree: tempfile::TempDir,
        cluster: Cluster,
        account: Account,
        installation: Installation,
    }

    impl Fork {
        fn new() -> Self {
            let tree = tempfile::tempdir().unwrap();
            for directory in ["global", "pg_tblspc", "pg_replslot/standby_1", "base/5"] {
                fs::create_dir_all(tree.path().join(directory)).unwrap();
            }
            for (file, text) in [
                ("PG_VERSION", "15\n"),
                ("global/pg_control", ""),
                ("postmaster.pid", "1\n/original\n"),
                ("standby.signal", ""),
                ("postgresql.conf", "port = 5432\n"),
            ] {
                fs::write(tree.path().join(file), text).unwrap();
            }
            let cluster = Cluster::open(tree.path()).unwrap();
            let installation = Installation {
                programs: "/usr/lib/postgresql/15/bin".into(),
                version: "15".into(),
            };
            Self { tree, cluster, account: Account::own_process(), installation }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.tree.path().join(name)
        }

        fn configure(&self, text: &str) {
            fs::write(self.path("postgresql.conf"), text).unwrap();
        }

        fn prepare(&self, identity: &str) -> Result<Configuration> {
            let Self { cluster, account, installation, .. } = self;
            prepare(&Boundary { cluster, account, installation }, identity)
        }

        /// The message of a refusal that changed nothing.
        fn refusal(&self) -> String {
            let error = self.prepare("b").unwrap_err();
            assert_eq!(error.code, Code::Unsupported, "{error}");
            assert!(error.hint.is_some() && self.path("postmaster.pid").exists());
            error.message
        }
    }

    #[test]
    fn a_fork_loses_its_originals_identity_once() {
        let fork = Fork::new();
        fork.prepare("branch-2").unwrap();
        for gone in ["postmaster.pid", "standby.signal", "pg_replslot/standby_1"] {
            assert!(!fork.path(gone).exists(), "{gone} is still there");
        }
        // A slot that the branch makes for itself survives its restart, but not the next fork.
        fs::create_dir(fork.path("pg_replslot/own")).unwrap();
        assert!(is_new(fork.tree.path(), "branch-2"));
        fork.prepare("branch-2").unwrap();
        assert!(is_new(fork.tree.path(), "branch-2") && fork.path("pg_replslot/own").exists());
        finish(fork.tree.path(), "branch-2", &fork.account).unwrap();
        fork.prepare("branch-2").unwrap();
        assert!(!is_new(fork.tree.path(), "branch-2") && fork.path("pg_replslot/own").exists());
        fork.prepare("branch-3").unwrap();
        assert!(!fork.path("pg_replslot/own").exists());
    }

    #[test]
    fn an_empty_pid_file_goes_and_one_of_a_dead_server_stays_for_postgres_to_see() {
        let fork = Fork::new();
        fork.prepare("b").unwrap();
        let file = fork.path("postmaster.pid");
        fs::write(&file, "").unwrap();
        fork.prepare("b").unwrap();
        assert!(!file.exists());
        // No process can have this number.
        fs::write(&file, "999999999\n/original\n").unwrap();
        fork.prepare("b").unwrap();
        assert!(file.exists());
    }

    #[test]
    fn a_dead_server_is_waited_for_until_its_number_is_free() {
        let fork = Fork::new();
        fork.prepare("b").unwrap();
        let file = fork.path("postmaster.pid");
        let end_of = |child: &std::process::Child| {
            let has_ended = || !crate::postgres::process::runs(child.id());
            while !has_ended() {
                std::thread::sleep(Duration::from_millis(1));
            }
            fs::write(&file, format!("{}\n{}\n", child.id(), fork.tree.path().display())).unwrap();
        };

        let mut child = std::process::Command::new("true").spawn().unwrap();
        end_of(&child);
        let reaper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            child.wait().unwrap();
        });
        fork.prepare("b").unwrap();
        assert!(file.exists(), "the number is free: PostgreSQL looks for itself");
        reaper.join().unwrap();

        // This one is not waited for, as in a container whose first process does not.
        let mut child = std::process::Command::new("true").spawn().unwrap();
        end_of(&child);
        fork.prepare("b").unwrap();
        assert!(!file.exists());
        child.wait().unwrap();
    }

    #[test]
    fn a_link_that_leads_out_is_refused_wherever_it_is() {
        let outside = tempfile::tempdir().unwrap();
        for name in ["pg_wal", "base/5/16384", "pg_replslot", "postgresql.auto.conf", "log", "new"]
        {
            let fork = Fork::new();
            let _nothing_there = fs::remove_dir_all(fork.path(name));
            symlink(outside.path().join("x"), fork.path(name)).unwrap();
            let message = fork.refusal();
            let target = outside.path().join("x").display().to_string();
            assert!(message.contains(name) && message.contains(&target), "{message}");
        }
        // By a chain, and relatively.
        let fork = Fork::new();
        symlink("base/wal", fork.path("pg_wal")).unwrap();
        symlink("../../elsewhere", fork.path("base/wal")).unwrap();
        let message = fork.refusal();
        assert!(message.contains("base/wal to ../../elsewhere"), "{message}");
        assert!(message.contains("pg_wal to base/wal"), "{message}");
    }

    #[test]
    fn a_pipe_that_the_server_would_wait_for_is_refused_by_name() {
        let make = |path: &Path| {
            rustix::fs::mknodat(CWD, path, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        };
        for name in ["backup_label", "base/5/16384", "PG_VERSION.old", "tablespace_map"] {
            let fork = Fork::new();
            make(&fork.path(name));
            assert!(fork.refusal().contains(&format!("{name} is a pipe")));
        }
        // What tine reads itself is not waited for either.
        let fork = Fork::new();
        fs::remove_file(fork.path("postmaster.pid")).unwrap();
        make(&fork.path("postmaster.pid"));
        assert_eq!(live_server(fork.tree.path()), None);
    }

    #[test]
    fn links_within_the_branch_and_unread_files_are_no_hindrance() {
        let fork = Fork::new();
        symlink("base/5", fork.path("pg_wal")).unwrap();
        symlink("/etc/ssl/private/x.key", fork.path("server.key")).unwrap();
        fork.prepare("b").unwrap();
    }

    #[test]
    fn a_tablespace_elsewhere_is_refused_by_name_and_nothing_is_changed() {
        let fork = Fork::new();
        symlink("/tmp", fork.path("pg_tblspc/16400")).unwrap();
        let message = fork.refusal();
        assert!(message.contains("tablespace 16400") && message.contains("/tmp"), "{message}");

        // The server would make the link itself.
        let fork = Fork::new();
        fs::write(fork.path("tablespace_map"), "16401 /srv/far\n").unwrap();
        let message = fork.refusal();
        assert!(message.contains("tablespace 16401") && message.contains("/srv/far"), "{message}");
    }

    #[test]
    fn an_included_file_that_is_not_in_the_branch_is_refused_by_name() {
        let outside = tempfile::tempdir().unwrap();
        let here = outside.path().join("site.conf");
        fs::write(&here, "").unwrap();
        let fork = Fork::new();
        for (line, named) in [
            ("include = '/nowhere/site.conf'", "/nowhere/site.conf"),
            ("include'/nowhere/site.conf'", "/nowhere/site.conf"),
            ("Include_Dir 'conf.d' # none", "conf.d"),
            ("include_if_exists 'HERE'", "site.conf"),
            ("include 'missing/../../x.conf'", "x.conf"),
        ] {
            fork.configure(&format!("\n{}\n", line.replace("HERE", here.to_str().unwrap())));
            let message = fork.refusal();
            assert!(message.contains(named) && message.contains("line 2"), "{line}: {message}");
        }
        fork.configure("include_if_exists '/nowhere/b.conf'\n");
        fork.prepare("b").unwrap();
    }

    #[test]
    fn a_setting_by_which_the_server_could_write_elsewhere_is_refused_by_name() {
        let fork = Fork::new();
        for (line, named) in [
            ("shared_preload_libraries = '/tmp/lib/x'", "/tmp"),
            ("dynamic_library_path = '$libdir:/tmp'", "/tmp"),
            ("dynamic_library_path = '$libdir/../../../../../tmp'", "/tmp"),
            ("jit_provider = '../../../../../tmp/x'", "/tmp"),
            ("jit_provider = '../../../../../../../../tmp/x'", "/tmp"),
            ("extension_control_path = '$system:/tmp'", "/tmp"),
            ("shared_preload_libraries = '$libdir/../../../../../../../../tmp/x'", "/tmp"),
            ("shared_preload_libraries = '$libdir/x/../../../../../../../../../tmp/x'", "/tmp"),
            ("session_preload_libraries = 'a, $libdir/../../../../../tmp/x'", "/tmp"),
            ("local_preload_libraries = '$libdir/plugins/../../../../../../tmp/x'", "/tmp"),
            ("shared_preload_libraries = 'x/../../../../../../tmp/x'", "/tmp"),
            ("basic_archive.archive_directory = '/tmp/archive'", "/tmp/archive"),
            ("my.place = '../../tmp'", "tmp"),
            ("cron.host = '/tmp'", "/tmp"),
            ("shared_preload_libraries = 'citus'", "citus"),
        ] {
            fork.configure(&format!("\n{line}\n"));
            let message = fork.refusal();
            assert!(
                message.contains(named) && message.contains("postgresql.conf line 2"),
                "{message}"
            );
        }
        fork.configure(
            "my.place = 'base/x'\nmy.url = 'https://h/p'\narchive_command = 'cp %p /tmp/%f'\n\
             data_directory = '/tmp'\nshared_preload_libraries = '$libdir/auto_explain, base/x'\n\
             dynamic_library_path = '$libdir'\njit_provider = 'llvmjit'\n",
        );
        fork.prepare("b").unwrap();
    }

    #[test]
    fn a_directory_without_configuration_is_refused_with_the_place_it_had() {
        let fork = Fork::new();
        fs::remove_file(fork.path("postgresql.conf")).unwrap();
        assert!(fork.refusal().contains("no postgresql.conf"));
        let options =
            "/bin/postgres \"-D\" \"/d\" \"-c\" \"config_file=/etc/pg/15/postgresql.conf\"";
        fs::write(fork.path("postmaster.opts"), options).unwrap();
        assert!(fork.refusal().contains("/etc/pg/15/postgresql.conf"));
    }

    #[test]
    fn a_tree_beside_the_data_directory_belongs_to_the_branch() {
        let fork = Fork::new();
        fs::create_dir(fork.path("base/data")).unwrap();
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        fs::rename(fork.tree.path(), &data).unwrap();
        fs::create_dir(root.path().join("wal")).unwrap();
        symlink("../wal", data.join("pg_wal")).unwrap();
        let Fork { account, installation, .. } = &fork;
        let cluster = Cluster::open_in(root.path(), &data).unwrap();
        prepare(&Boundary { cluster: &cluster, account, installation }, "b").unwrap();
        let alone = Cluster::open(&data).unwrap();
        prepare(&Boundary { cluster: &alone, account, installation }, "c").unwrap_err();
        // Named by a link that leads out.
        let error = Cluster::open_in(&data.join("base"), &data).unwrap_err();
        assert!(error.message.contains("out of the branch"), "{error}");
    }
}
