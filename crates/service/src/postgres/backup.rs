//! Takes in the data of a running server, wherever it runs, through its base-backup protocol.
//!
//! The copy is made by the server's own `pg_basebackup`, with the log that makes it consistent.
//! What lies outside the data directory there comes along: tablespaces are placed inside the new
//! directory, and settings of a configuration file elsewhere are written into one of its own.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::carried::{Given, Settings};
use super::installation::Installation;
use super::placeholders::unlisted;
use super::refusal::{may_not_replicate, refusal, too_few_senders, too_little_wal};
use super::remembered::Remembered;
use super::source::{Source, Way};
use crate::protocol::progress::Progress;
use crate::protocol::{Code, Error, Result};

/// Since this version a tablespace may be a plain directory inside `pg_tblspc`, if a setting
/// allows.
const IN_PLACE_TABLESPACES: u32 = 15;
/// One sends the files, one the log.
const SENDERS_NEEDED: i64 = 2;

/// Any role that may log in may ask all of this.
const FACTS: &str = "\
    select 'version', current_setting('server_version_num') \
    union all select 'database', current_database()::text \
    union all select 'role', session_user::text \
    union all select 'replicates', (rolsuper or rolreplication)::text \
        from pg_roles where rolname = session_user \
    union all select 'wal_level', current_setting('wal_level') \
    union all select 'senders', current_setting('max_wal_senders') \
    union all select 'senders_taken', count(*)::text from pg_stat_replication \
    union all select 'slots', current_setting('max_replication_slots') \
    union all select 'slots_taken', count(*)::text from pg_replication_slots";

/// A completed base backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What the server sent, in bytes.
    pub bytes: u64,
    /// The server's major version.
    pub version: String,
    /// What of its settings may be missing.
    pub warnings: Vec<String>,
}

/// What has to be known of a server before its data is copied.
struct About {
    version: u32,
    /// Places of tablespaces outside the data directory, by number.
    tablespaces: Vec<(String, PathBuf)>,
    settings: Settings,
    /// The database and the role of the connection, which its URI may have left to defaults.
    database: String,
    role: String,
    /// Whether the copy can have a slot for as long as it takes.
    has_free_slot: bool,
}

/// A server that answered, and lets its data be copied as far as it says.
pub struct Reached {
    way: Way,
    about: About,
}

impl Source {
    /// Asks the server what has to be known of it, and whether it can be copied.
    ///
    /// # Errors
    /// `NotPermitted` if the server refuses the login or the replication, `Unsupported` if it has
    /// no room for a copy, or its version is not installed here, `Io` with the program's own words
    /// otherwise.
    pub fn reach(self) -> Result<Reached> {
        let newest = Installation::newest()?;
        let mut refused = None;
        for mut way in self.ways() {
            match log_in(&mut way, &newest) {
                Ok(facts) => {
                    let about = inquire(&way, &newest, &facts)?;
                    return Ok(Reached { way, about });
                }
                // The first refusal is the one of the name that the caller expects.
                Err(error) if error.code == Code::NotPermitted => {
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(refused.unwrap_or(error)),
            }
        }
        Err(refused.unwrap_or_else(|| refusal("", None, &[])))
    }
}

impl Reached {
    /// Copies the server's data into `destination`, an empty directory.
    ///
    /// As root the data will belong to the user `postgres`, else to this user. The files are not
    /// flushed one by one; the caller makes the whole durable.
    ///
    /// # Errors
    /// As [`Source::reach`], and `Interrupted` once `progress` is cancelled. What was copied by
    /// then is for the caller to discard.
    pub fn copy_into(&self, destination: &Path, progress: &Progress) -> Result<Backup> {
        let Reached { way, about } = self;
        let installation = Installation::for_version(&about.version.to_string())?;
        way.account.private_directory(destination)?;
        let bytes = copy(way, &installation, about, destination, progress)?;
        place_tablespaces(about, destination)?;
        let warnings = about.settings.carry(destination, &way.account)?.into_iter().collect();
        let came_from = Remembered::of_import(&about.database, &about.role);
        came_from.write(destination, &way.account)?;
        Ok(Backup { bytes, version: about.version.to_string(), warnings })
    }
}

/// Reaches the server, and asks what every role may know.
fn log_in(way: &mut Way, installation: &Installation) -> Result<Vec<(String, String)>> {
    if way.has_a_choice() {
        let said = ask(way, installation, &["-c", "\\echo :HOST", "-c", "\\echo :PORT"])?;
        if let [host, port] = said.lines().collect::<Vec<_>>()[..] {
            way.settle(host, port);
        }
    }
    pairs(way, installation, FACTS)
}

/// Asks the rest, and refuses what cannot be copied.
fn inquire(way: &Way, installation: &Installation, facts: &[(String, String)]) -> Result<About> {
    let fact = |name: &str| {
        let found = facts.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let version = fact("version").parse::<u32>();
    let version =
        version.map_err(|_| Error::new(Code::Io, "the server does not say its version"))?;
    if fact("replicates") != "true" {
        return Err(may_not_replicate(fact("role")));
    }
    if fact("wal_level") == "minimal" {
        return Err(too_little_wal(fact("wal_level")));
    }
    let free = |all: &str, taken: &str| {
        Some(fact(all).parse::<i64>().ok()? - fact(taken).parse::<i64>().ok()?)
    };
    if let Some(free) = free("senders", "senders_taken").filter(|free| *free < SENDERS_NEEDED) {
        return Err(too_few_senders(free, fact("senders")));
    }
    let tablespaces = pairs(
        way,
        installation,
        "select oid, pg_tablespace_location(oid) from pg_tablespace where pg_tablespace_location(oid) like '/%'",
    )?;
    let settings = settings(way, installation)?;
    let about = About {
        version: version / 10_000,
        tablespaces: tablespaces.into_iter().map(|(oid, place)| (oid, place.into())).collect(),
        settings,
        database: fact("database").to_owned(),
        role: fact("role").to_owned(),
        has_free_slot: free("slots", "slots_taken").is_some_and(|free| free > 0),
    };
    Installation::for_version(&about.version.to_string())?;
    refuse_tablespaces_of_old(&about)?;
    Ok(about)
}

fn refuse_tablespaces_of_old(about: &About) -> Result<()> {
    if about.tablespaces.is_empty() || about.version >= IN_PLACE_TABLESPACES {
        return Ok(());
    }
    let names: Vec<_> =
        about.tablespaces.iter().map(|(_, place)| place.display().to_string()).collect();
    let message = format!(
        "the server has tablespaces at {}; they are carried from version {IN_PLACE_TABLESPACES} on",
        names.join(", ")
    );
    Err(Error::new(Code::Unsupported, message).hint("move them into the default tablespace first"))
}

/// What the server was given by its files and its command line.
fn settings(way: &Way, installation: &Installation) -> Result<Settings> {
    let rights = rows(
        way,
        installation,
        "select pg_has_role(current_user, 'pg_read_all_settings', 'usage'), \
         coalesce((select setting from pg_settings where name = 'data_directory'), '')",
    )?;
    let [may_read, data] = rights.into_iter().next().unwrap_or_default();
    let known = |path: String| Some(path).filter(|path| !path.is_empty()).map(PathBuf::from);
    let listed = rows(
        way,
        installation,
        "select name, setting, source <> 'configuration file', coalesce(sourcefile, '') from pg_settings \
         where source in ('configuration file', 'command line', 'environment variable') order by name",
    )?;
    let given = |[name, value, by_command, file]: [String; 4]| Given {
        name,
        value,
        file: known(file),
        by_command: by_command == "t",
    };
    let mut given: Vec<Given> = listed.into_iter().map(given).collect();
    let (unlisted, unlisted_are_known) = unlisted(
        &given,
        &|query| rows(way, installation, query),
        &|query| rows(way, installation, query),
        &|query| rows(way, installation, query),
    )?;
    given.extend(unlisted);
    Ok(Settings { given, data: known(data), are_complete: may_read == "t", unlisted_are_known })
}

/// Rows of two columns.
fn pairs(way: &Way, installation: &Installation, query: &str) -> Result<Vec<(String, String)>> {
    Ok(rows(way, installation, query)?.into_iter().map(|[a, b]| (a, b)).collect())
}

fn rows<const COLUMNS: usize>(
    way: &Way,
    installation: &Installation,
    query: &str,
) -> Result<Vec<[String; COLUMNS]>> {
    let text = ask(way, installation, &["-c", query])?;
    // Each cell ends with a zero byte.
    let cells: Vec<&str> = text.split_terminator('\0').collect();
    let row = |row: &[&str]| std::array::from_fn(|at| row[at].to_owned());
    Ok(cells.chunks_exact(COLUMNS).map(row).collect())
}

fn ask(way: &Way, installation: &Installation, what: &[&str]) -> Result<String> {
    let program = installation.program("psql");
    let mut psql = way.command(&program);
    psql.args(["-X", "-A", "-t", "-w", "-0", "-z"]).args(what).arg("-d").arg(way.parameters());
    let output = psql.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::path("start", &program, error))?;
    if !output.status.success() {
        let (said, notes) = way.explain(&String::from_utf8_lossy(&output.stderr));
        return Err(refusal(&said, None, notes));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn copy(
    way: &Way,
    installation: &Installation,
    about: &About,
    destination: &Path,
    progress: &Progress,
) -> Result<u64> {
    let program = installation.program("pg_basebackup");
    let mut command = way.command(&program);
    command.args(["-w", "-P", "-X", "stream", "-c", "fast", "--no-sync"]);
    if !about.has_free_slot {
        // The log is received from the beginning on; a slot only makes sure that none of it is
        // removed before.
        command.arg("--no-slot");
    }
    command.arg("-d").arg(way.parameters()).arg("-D").arg(destination);
    for (number, place) in &about.tablespaces {
        let incoming = incoming(destination).join(number);
        command.arg("-T").arg(format!("{}={}", escape(place), escape(&incoming)));
    }
    // A group of its own: the process that receives the log must not outlive the one that asked for
    // it.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| Error::path("start", &program, error))?;
    let followed = follow(&mut child, progress);
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Not waited for yet, so that the number is still this group's.
    let _already_gone = group.map(|group| kill_process_group(group, Signal::KILL));
    let status = child.wait().map_err(|error| Error::io("waiting for pg_basebackup", error))?;
    progress.go_on()?;
    let (bytes, said) = followed?;
    if status.success() {
        return Ok(bytes);
    }
    let (said, notes) = way.explain(&said);
    Err(refusal(&said, Some(&about.role), notes))
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

fn incoming(destination: &Path) -> PathBuf {
    destination.join("tine.tablespaces")
}

/// pg_basebackup's own quoting of a tablespace's path.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('=', "\\=")
}

/// Turns each tablespace's link into the directory itself, so that the whole cluster is one tree.
fn place_tablespaces(source: &About, destination: &Path) -> Result<()> {
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
}
