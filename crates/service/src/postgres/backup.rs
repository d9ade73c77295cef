//! Takes in the data of a running server, wherever it runs, through its base-backup protocol.
//!
//! The copy is made by the server's own `pg_basebackup`, with the log that makes it consistent. What
//! lies outside the data directory there comes along: tablespaces are placed inside the new directory,
//! and settings of a configuration file elsewhere are written into one of its own.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::account::Account;
use super::carried::{Given, Settings};
use super::installation::Installation;
use super::uri::split_password;
use crate::progress::Progress;
use crate::{Code, Error, Result};

/// Since this version a tablespace may be a plain directory inside `pg_tblspc`, if a setting allows.
const IN_PLACE_TABLESPACES: u32 = 15;

/// A completed base backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What the server sent, in bytes.
    pub bytes: u64,
    /// The server's major version.
    pub version: String,
}

/// What has to be known of the source before its data is copied.
struct Source {
    version: u32,
    /// Places of tablespaces outside the data directory, by number.
    tablespaces: Vec<(String, PathBuf)>,
    settings: Settings,
}

/// Copies the server behind `uri` into `destination`, an empty directory.
///
/// As root the data will belong to the user `postgres`, else to this user. The files are not flushed
/// one by one; the caller makes the whole durable.
///
/// # Errors
/// `NotPermitted` if the server refuses the login or the replication, `Unsupported` if its version is not
/// installed here, `Io` with the program's own words otherwise, `Interrupted` once `progress` is
/// cancelled. What was copied by then is for the caller to discard.
pub fn base_backup(uri: &str, destination: &Path, progress: &Progress) -> Result<Backup> {
    let account = Account::for_new_cluster()?;
    let newest = Installation::all().into_iter().next().ok_or_else(|| {
        Error::new(Code::Unsupported, "PostgreSQL's programs are not installed here")
            .hint("install the server's package, on Debian `apt-get install postgresql`")
    })?;
    let connection = Connection::new(uri, &account);
    let source = connection.inquire(&newest)?;
    let installation = Installation::for_version(&source.version.to_string())?;
    if !source.tablespaces.is_empty() && source.version < IN_PLACE_TABLESPACES {
        let names: Vec<_> =
            source.tablespaces.iter().map(|(_, place)| place.display().to_string()).collect();
        let message = format!(
            "the server has tablespaces at {}; they are carried from version {IN_PLACE_TABLESPACES} on",
            names.join(", ")
        );
        return Err(Error::new(Code::Unsupported, message)
            .hint("move them into the default tablespace first"));
    }

    account.private_directory(destination)?;
    let bytes = connection.copy(&installation, &source, destination, progress)?;
    place_tablespaces(&source, destination)?;
    source.settings.carry(destination, &account)?;
    Ok(Backup { bytes, version: source.version.to_string() })
}

/// A way to the source, with the password out of sight.
struct Connection<'a> {
    uri: String,
    password: Option<String>,
    account: &'a Account,
}

impl<'a> Connection<'a> {
    fn new(uri: &str, account: &'a Account) -> Self {
        let (uri, password) = split_password(uri);
        Self { uri, password, account }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = self.account.command(program);
        command.env("LC_ALL", "C");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        command
    }

    fn inquire(&self, installation: &Installation) -> Result<Source> {
        let version =
            self.query(installation, "select 'version', current_setting('server_version_num')")?;
        let version = version
            .first()
            .and_then(|(_, number)| number.parse::<u32>().ok())
            .ok_or_else(|| Error::new(Code::Io, "the server does not say its version"))?;
        let tablespaces = self.query(
            installation,
            "select oid, pg_tablespace_location(oid) from pg_tablespace where pg_tablespace_location(oid) like '/%'",
        )?;
        let settings = self.settings(installation)?;
        Ok(Source {
            version: version / 10_000,
            tablespaces: tablespaces.into_iter().map(|(oid, place)| (oid, place.into())).collect(),
            settings,
        })
    }

    /// What the server was given by its files and its command line.
    fn settings(&self, installation: &Installation) -> Result<Settings> {
        let rights = self.query(
            installation,
            "select pg_has_role(current_user, 'pg_read_all_settings', 'usage'), \
             coalesce((select setting from pg_settings where name = 'data_directory'), '')",
        )?;
        let (may_read, data) = rights.into_iter().next().unwrap_or_default();
        let known = |path: String| Some(path).filter(|path| !path.is_empty()).map(PathBuf::from);
        let values = self.query(
            installation,
            "select name, setting from pg_settings where source in \
             ('configuration file', 'command line', 'environment variable') order by name",
        )?;
        let sources = self.query(
            installation,
            "select source <> 'configuration file', coalesce(sourcefile, '') from pg_settings where source in \
             ('configuration file', 'command line', 'environment variable') order by name",
        )?;
        let given = values.into_iter().zip(sources).map(|((name, value), (command, file))| Given {
            name,
            value,
            file: known(file),
            by_command: command == "t",
        });
        Ok(Settings { given: given.collect(), data: known(data), are_complete: may_read == "t" })
    }

    /// Rows of two columns.
    fn query(&self, installation: &Installation, query: &str) -> Result<Vec<(String, String)>> {
        let program = installation.program("psql");
        let mut psql = self.command(&program);
        psql.args(["-X", "-A", "-t", "-w", "-0", "-z", "-c", query, "-d", &self.uri]);
        let output = psql.output().map_err(|error| Error::path("start", &program, error))?;
        if !output.status.success() {
            return Err(refusal(&String::from_utf8_lossy(&output.stderr)));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let cells: Vec<&str> = text.split('\0').collect();
        Ok(cells.chunks_exact(2).map(|row| (row[0].to_owned(), row[1].to_owned())).collect())
    }

    fn copy(
        &self,
        installation: &Installation,
        source: &Source,
        destination: &Path,
        progress: &Progress,
    ) -> Result<u64> {
        let program = installation.program("pg_basebackup");
        let mut command = self.command(&program);
        command.args([
            "-w",
            "-P",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
            "-d",
            &self.uri,
            "-D",
        ]);
        command.arg(destination);
        for (number, place) in &source.tablespaces {
            let incoming = incoming(destination).join(number);
            command.arg("-T").arg(format!("{}={}", escape(place), escape(&incoming)));
        }
        // A group of its own: the process that receives the log must not outlive the one that asked for it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| Error::path("start", &program, error))?;
        let followed = follow(&mut child, progress);
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // Not waited for yet, so that the number is still this group's.
        let _already_gone = group.map(|group| kill_process_group(group, Signal::KILL));
        let status = child.wait().map_err(|error| Error::io("waiting for pg_basebackup", error))?;
        progress.go_on()?;
        let (bytes, said) = followed?;
        if status.success() { Ok(bytes) } else { Err(refusal(&said)) }
    }
}

/// Reads what pg_basebackup says: counts its progress, keeps the rest.
fn follow(child: &mut Child, progress: &Progress) -> Result<(u64, String)> {
    let Some(mut stderr) = child.stderr.take() else {
        return Ok((0, String::new()));
    };
    let (mut done, mut found, mut said) = (0_u64, 0_u64, String::new());
    let mut pending = Vec::new();
    let mut buffer = [0; 4096];
    let failed = |error: io::Error| Error::io("reading from pg_basebackup", error);
    loop {
        progress.go_on()?;
        let ended = has_ended(child).map_err(failed)?;
        let mut count = 0;
        if readable(&stderr).map_err(failed)? {
            count = stderr.read(&mut buffer).map_err(failed)?;
        } else if !ended {
            continue;
        }
        if count == 0 {
            // Its end counts and not that of the pipe, which its own child may keep open.
            await_end(child).map_err(failed)?;
            said.push_str(&String::from_utf8_lossy(&pending));
            return Ok((done, said));
        }
        for &byte in &buffer[..count] {
            if byte != b'\n' && byte != b'\r' {
                pending.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&pending).into_owned();
            pending.clear();
            match parse_progress(&line) {
                Some((now, total)) => {
                    progress.found(total.saturating_sub(found));
                    progress.copied(now.saturating_sub(done));
                    (done, found) = (done.max(now), found.max(total));
                }
                None if !line.trim().is_empty() => {
                    said.push_str(&line);
                    said.push('\n');
                }
                None => {}
            }
        }
    }
}

/// Whether it has ended; it is still to be waited for.
fn has_ended(child: &Child) -> io::Result<bool> {
    ended(child, WaitIdOptions::NOHANG)
}

fn await_end(child: &Child) -> io::Result<bool> {
    ended(child, WaitIdOptions::empty())
}

fn ended(child: &Child, how: WaitIdOptions) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    let how = how | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(pid), how)?.is_some())
}

/// Whether there is something to read, or the end, within a moment.
fn readable(pipe: &impl AsFd) -> io::Result<bool> {
    let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&moment)) {
        Err(Errno::INTR) => Ok(false),
        ready => Ok(ready? > 0),
    }
}

/// `12345/67890 kB (18%), 0/1 tablespace` in bytes.
fn parse_progress(line: &str) -> Option<(u64, u64)> {
    let (counts, rest) = line.trim().split_once(" kB (")?;
    rest.contains("tablespace").then_some(())?;
    let (done, total) = counts.split_once('/')?;
    Some((done.trim().parse::<u64>().ok()? * 1024, total.parse::<u64>().ok()? * 1024))
}

/// The program's words as an error a person can act on.
fn refusal(said: &str) -> Error {
    let reason: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let reason = reason.iter().find(|line| line.contains("error:")).or(reason.first()).copied();
    let reason = reason.unwrap_or("it gave no reason");
    let has = |marks: &[&str]| marks.iter().any(|mark| said.contains(mark));
    let (code, hint) = if has(&[
        "replication connection",
        "REPLICATION",
        "replication role",
        "start walsender",
    ]) {
        let hint = "let the role replicate: `ALTER ROLE … REPLICATION`, and a line `host replication ROLE ADDRESS scram-sha-256` in its pg_hba.conf";
        (Code::NotPermitted, hint)
    } else if has(&[
        "authentication failed",
        "no password supplied",
        "no pg_hba.conf entry",
        "role \"",
    ]) {
        (Code::NotPermitted, "give role and password in the URI, in PGPASSWORD or in ~/.pgpass")
    } else if has(&["max_wal_senders", "wal_level"]) {
        (
            Code::Unsupported,
            "the server needs wal_level = replica and max_wal_senders of at least 2 to spare",
        )
    } else if has(&["No space left on device"]) {
        (Code::NoSpace, "free space on the disk of the store")
    } else {
        (Code::Io, "see whether `psql` reaches the server with the same URI")
    };
    Error::new(code, format!("the server's data could not be taken in: {reason}")).hint(hint)
}

fn incoming(destination: &Path) -> PathBuf {
    destination.join("tine.tablespaces")
}

/// pg_basebackup's own quoting of a tablespace's path.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('=', "\\=")
}

/// Turns each tablespace's link into the directory itself, so that the whole cluster is one tree.
fn place_tablespaces(source: &Source, destination: &Path) -> Result<()> {
    if source.tablespaces.is_empty() {
        return Ok(());
    }
    let incoming = incoming(destination);
    for (number, _) in &source.tablespaces {
        let (from, to) = (incoming.join(number), destination.join("pg_tblspc").join(number));
        fs::remove_file(&to).map_err(|error| Error::path("replace", &to, error))?;
        fs::rename(&from, &to).map_err(|error| Error::path("place", &to, error))?;
    }
    fs::remove_dir(&incoming).map_err(|error| Error::path("remove", &incoming, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_told_from_complaints() {
        assert_eq!(
            parse_progress("   2048/4096 kB (50%), 0/1 tablespace"),
            Some((2 << 20, 4 << 20))
        );
        assert_eq!(parse_progress("pg_basebackup: error: 1/2 kB"), None);
    }

    #[test]
    fn a_refused_replication_says_how_to_allow_it() {
        let error = refusal(
            "pg_basebackup: error: connection to server failed: FATAL:  no pg_hba.conf entry for replication connection from host\n",
        );
        assert_eq!(error.code, Code::NotPermitted);
        assert!(error.hint.unwrap().contains("pg_hba.conf"));
        assert_eq!(refusal("psql: error: password authentication failed").code, Code::NotPermitted);
        assert_eq!(refusal("psql: error: Connection refused").code, Code::Io);
    }
}
