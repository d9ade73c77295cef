//! Makes a copied data directory safe to start while its original goes on.
//!
//! Some state says "I am that server" and has to go: the pid file, standby and recovery signals,
//! replication slots. Some leads out of the directory and is refused by name: tablespaces elsewhere,
//! configuration that includes files this machine does not have. The rest is settings, which go on the
//! command line, where they override every configuration file, `postgresql.auto.conf` included.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::cluster::{Cluster, live_server};
use super::process::start_ticks;
use crate::{Code, Error, Result};

/// Names the branch that the directory was last prepared for. A fork carries its source's.
const MARK: &str = "tine.branch";

/// Readies the directory of branch `identity` for a start. What a fork must lose is removed once, so
/// that slots and standby signals which are made in the branch itself stay.
pub(super) fn prepare(cluster: &Cluster, identity: &str, account: &Account) -> Result<()> {
    let directory = &cluster.directory;
    if let Some(pid) = live_server(directory) {
        let message = format!("a server, process {pid}, already runs on {}", directory.display());
        return Err(Error::new(Code::BranchBusy, message));
    }
    refuse_outside_tablespaces(directory)?;
    refuse_missing_includes(directory)?;

    let mark = directory.join(MARK);
    if fs::read_to_string(&mark).is_ok_and(|last| last == identity) {
        return remove_strangers_pid_file(directory);
    }
    for signal in ["postmaster.pid", "standby.signal", "recovery.signal", "promote"] {
        remove_file(&directory.join(signal))?;
    }
    remove_slots(&directory.join("pg_replslot"))?;
    supply_configuration(directory, account)?;
    write(&mark, identity, account)
}

/// Settings that keep a fork to itself; later ones of the same name win over all files.
pub(super) fn isolating_settings() -> Vec<(&'static str, String)> {
    let off = |names: &[&'static str], value: &str| -> Vec<(&'static str, String)> {
        names.iter().map(|name| (*name, value.to_owned())).collect()
    };
    let mut settings = off(&["archive_mode", "ssl", "logging_collector"], "off");
    settings.extend(off(&["archive_command", "external_pid_file"], ""));
    // Subscriptions would take changes, and answers, away from the original.
    settings.extend(off(&["max_logical_replication_workers"], "0"));
    settings.push(("log_destination", "stderr".to_owned()));
    settings.extend(off(&["primary_conninfo", "primary_slot_name", "restore_command"], ""));
    settings
}

fn refuse_outside_tablespaces(directory: &Path) -> Result<()> {
    for link in entries(&directory.join("pg_tblspc"))? {
        let Ok(target) = fs::read_link(&link) else { continue };
        let place = directory.join("pg_tblspc").join(&target).canonicalize();
        if !place.is_ok_and(|place| place.starts_with(directory)) {
            let message = format!(
                "tablespace {} lies outside the data directory, at {}; a server on the branch would write to the original",
                link.file_name().unwrap_or_default().to_string_lossy(),
                target.display()
            );
            return Err(Error::new(Code::Unsupported, message).hint(
                "take the server in with `tine postgres import`, which carries its tablespaces",
            ));
        }
    }
    Ok(())
}

/// A relative include is carried with the directory; an absolute one works only where the file is.
fn refuse_missing_includes(directory: &Path) -> Result<()> {
    let file = directory.join("postgresql.conf");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    for line in text.lines() {
        let mut words = line.splitn(2, |c: char| c.is_whitespace() || c == '=');
        let directive = words.next().unwrap_or_default().trim().to_lowercase();
        if directive != "include" && directive != "include_dir" {
            continue;
        }
        let value = words.next().unwrap_or_default().trim().trim_start_matches('=').trim();
        let included =
            directory.join(value.trim_start_matches('\'').split('\'').next().unwrap_or_default());
        if !included.exists() {
            let message =
                format!("{} includes {}, which is not here", file.display(), included.display());
            return Err(Error::new(Code::Unsupported, message).hint(
                "copy that file into the data directory, or take the line out, inside the branch",
            ));
        }
    }
    Ok(())
}

/// Debian keeps configuration outside the data directory; such a directory gets a file of its own.
fn supply_configuration(directory: &Path, account: &Account) -> Result<()> {
    let file = directory.join("postgresql.conf");
    if file.exists() {
        return Ok(());
    }
    write(&file, "# Made by tine: the data directory came without a configuration.\n", account)
}

/// After a crash on this same branch PostgreSQL looks by itself, through the pid file, whether processes
/// of the old server still use the data, and must be left to. But it refuses a file whose number now
/// belongs to someone else, and an empty one: a server that ended before it wrote its number, on a full disk
/// for one, which left no process behind.
fn remove_strangers_pid_file(directory: &Path) -> Result<()> {
    let file = directory.join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    let strangers = pid.is_some_and(|pid| start_ticks(pid).is_some());
    if strangers || text.is_empty() { remove_file(&file) } else { Ok(()) }
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

fn write(path: &Path, text: &str, account: &Account) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).map_err(|error| Error::path("write", path, error))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|error| Error::path("close", path, error))?;
    account.own(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork() -> (tempfile::TempDir, Cluster, Account) {
        let tree = tempfile::tempdir().unwrap();
        for directory in ["global", "pg_tblspc", "pg_replslot/standby_1"] {
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
        let account = Account::own_process();
        (tree, cluster, account)
    }

    #[test]
    fn a_fork_loses_its_originals_identity_once() {
        let (tree, cluster, account) = fork();
        prepare(&cluster, "branch-2", &account).unwrap();
        for gone in ["postmaster.pid", "standby.signal", "pg_replslot/standby_1"] {
            assert!(!tree.path().join(gone).exists(), "{gone} is still there");
        }
        // A slot that the branch makes for itself survives its restart, but not the next fork.
        fs::create_dir(tree.path().join("pg_replslot/own")).unwrap();
        prepare(&cluster, "branch-2", &account).unwrap();
        assert!(tree.path().join("pg_replslot/own").exists());
        prepare(&cluster, "branch-3", &account).unwrap();
        assert!(!tree.path().join("pg_replslot/own").exists());
    }

    #[test]
    fn an_empty_pid_file_goes_and_one_of_a_dead_server_stays_for_postgres_to_see() {
        let (tree, cluster, account) = fork();
        prepare(&cluster, "b", &account).unwrap();
        let file = tree.path().join("postmaster.pid");
        fs::write(&file, "").unwrap();
        prepare(&cluster, "b", &account).unwrap();
        assert!(!file.exists());
        // No process can have this number.
        fs::write(&file, "999999999\n/original\n").unwrap();
        prepare(&cluster, "b", &account).unwrap();
        assert!(file.exists());
    }

    #[test]
    fn a_tablespace_elsewhere_is_refused_by_name_and_nothing_is_changed() {
        let (tree, cluster, account) = fork();
        std::os::unix::fs::symlink("/tmp", tree.path().join("pg_tblspc/16400")).unwrap();
        let error = prepare(&cluster, "b", &account).unwrap_err();
        assert!(error.message.contains("16400") && error.message.contains("/tmp"), "{error}");
        assert!(tree.path().join("postmaster.pid").exists());
    }

    #[test]
    fn an_included_file_that_is_not_here_is_refused_by_name() {
        let (tree, cluster, account) = fork();
        let conf = tree.path().join("postgresql.conf");
        fs::write(&conf, "include = '/nowhere/site.conf'\ninclude_if_exists '/nowhere/b.conf'\n")
            .unwrap();
        let error = prepare(&cluster, "b", &account).unwrap_err();
        assert!(error.message.contains("/nowhere/site.conf"), "{error}");
    }

    #[test]
    fn a_directory_without_configuration_gets_one() {
        let (tree, cluster, account) = fork();
        fs::remove_file(tree.path().join("postgresql.conf")).unwrap();
        prepare(&cluster, "b", &account).unwrap();
        assert!(tree.path().join("postgresql.conf").is_file());
    }
}
