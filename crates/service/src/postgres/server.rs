//! A server on a cluster: started until it takes connections, asked whether it lives, stopped.

use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::boundary::Boundary;
use super::cluster::Cluster;
use super::command_line::Start;
use super::complaint::reason;
use super::configuration::Configuration;
use super::data_file;
use super::installation::Installation;
use super::over_socket::{Known, OverSocket};
use super::prepare::{finish, is_new, prepare};
use super::process::{Process, owner, runs_postgres, start_ticks};
use super::reaper::Reaper;
use super::remembered::Remembered;
use super::roles::superusers;
use super::stop::{Ended, Haste};
use super::subscriptions::stand_alone;
use super::{ports, stop, uri};
use crate::protocol::{Code, Error, Hint, Result};

/// Bytes of a Unix socket's path, its end mark left out (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Between choosing a free port and binding it another program may take it.
const PORT_ATTEMPTS: usize = 5;

/// What a start needs to know.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// The data directory, in the place where the server shall see it.
    pub cluster: &'a Cluster,
    /// What tells this branch from its source for ever, such as the branch's number: a directory
    /// that carries another identity is a fresh fork.
    pub identity: &'a str,
    /// What the process list shows.
    pub label: &'a str,
    /// A directory of this server's own for its socket, log and rules of access; made if missing.
    /// The server's user must be able to reach it.
    pub runtime: &'a Path,
    /// The TCP port on 127.0.0.1; unless given the one that the branch had last, or a free one.
    pub port: Option<u16>,
    /// How long recovery may take.
    pub patience: Duration,
}

/// A running server; the record outlives the process that started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The postmaster's process.
    pub pid: u32,
    /// When that process began, in clock ticks since boot (field 22 of proc(5)'s `stat`): with the
    /// pid it names the process for ever.
    pub start_ticks: u64,
    /// The TCP port on 127.0.0.1.
    pub port: u16,
    /// How to connect, over the Unix socket.
    pub uri: String,
    /// The data directory.
    pub directory: PathBuf,
    /// Where the server writes its messages.
    pub log: PathBuf,
}

impl Launch<'_> {
    /// Prepares the directory, starts the server, and waits until it takes connections.
    ///
    /// # Errors
    /// `BranchBusy` if a server runs on the directory, `NotPermitted` if this user can't be its
    /// owner, `Unsupported` for a version that is not installed or state outside the directory;
    /// `Io` with the server's own last words if it does not come up.
    pub fn start(&self) -> Result<Server> {
        self.start_telling(&mut |_| Ok(()))
    }

    /// Starts as [`Launch::start`] does, and hands each process over to `began` before it is waited
    /// for. The record has no URI yet: it is for the next command, should this process be killed
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Launch::start`], and those of `began`.
    pub fn start_telling(&self, began: &mut dyn FnMut(Server) -> Result<()>) -> Result<Server> {
        let installation = Installation::for_version(&self.cluster.version)?;
        let account = Account::of_directory(&self.cluster.directory)?;
        self.check_socket_path()?;
        let boundary =
            Boundary { cluster: self.cluster, account: &account, installation: &installation };
        let configuration = prepare(&boundary, self.identity)?;
        account.private_directory(self.runtime)?;
        self.write_rules(&account)?;

        // What would keep a server from being waited for is found before there is one.
        let reaper = Reaper::new()?;
        let sockets = |port| OverSocket {
            installation: &installation,
            account: &account,
            directory: self.runtime,
            port,
        };
        let mut remembered = Remembered::read(&self.cluster.directory);
        for attempt in 1.. {
            let port = self.choose_port(&remembered, attempt)?;
            if remembered.port(self.identity) != Some(port) {
                remembered.set_port(self.identity, port);
                remembered.write(&self.cluster.directory, &account)?;
            }
            let log = account.create(&self.log_path())?;
            let mut child = self.spawn(&installation, &account, &configuration, port, log)?;
            // One that has ended by now is reported below.
            let told = self.record(&child, port).map_or(Ok(()), &mut *began);
            let ready = told.and_then(|()| self.wait_until_ready(&mut child));
            match ready.and_then(|()| self.get_to_know(&sockets(port), &remembered)) {
                Ok(known) => {
                    let mut server = self.record(&child, port).ok_or_else(|| {
                        not_started("the server ended at once", &self.last_words())
                    })?;
                    server.uri =
                        uri::of_socket(self.runtime, port, known.role.as_deref(), &known.database);
                    reaper.take(child);
                    return Ok(server);
                }
                Err(error) => {
                    // Only one that was not waited for yet has its number for sure.
                    if matches!(child.try_wait(), Ok(None)) {
                        if let Some(process) = Process::open(child.id())? {
                            stop::end(&process, Haste::Orderly)?;
                        }
                        let _reaped = child.wait();
                    }
                    // Another program may have been quicker. The server's words are in its own
                    // language.
                    match self.port {
                        Some(asked) if ports::is_taken(asked) => return Err(port_taken(asked)),
                        Some(asked) if ports::is_for_root(asked) => {
                            let hint = format!(
                                "port {asked} is for root alone, which no server runs as: name another"
                            );
                            return Err(error.hint(hint));
                        }
                        None if attempt < PORT_ATTEMPTS && ports::is_taken(port) => {}
                        _ => return Err(error),
                    }
                }
            }
        }
        unreachable!("the loop returns at its last attempt")
    }

    /// The port that is asked for, or that the branch had last, or a free one: an address that is
    /// written down somewhere goes on to lead here.
    fn choose_port(&self, remembered: &Remembered, attempt: usize) -> Result<u16> {
        let last = remembered.port(self.identity).filter(|port| ports::is_free(*port));
        match (self.port, last) {
            (Some(asked), _) if ports::is_taken(asked) => Err(port_taken(asked)),
            (Some(asked), _) => Ok(asked),
            (None, Some(last)) if attempt == 1 => Ok(last),
            _ => ports::free(self.identity),
        }
    }

    fn check_socket_path(&self) -> Result<()> {
        let longest = self.runtime.join(".s.PGSQL.65535");
        if longest.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(());
        }
        let message = format!(
            "{} is too long for a Unix socket, which takes {SOCKET_PATH_BYTES_MAX} bytes",
            longest.display()
        );
        Err(Error::new(Code::Unsupported, message)
            .hint("set XDG_RUNTIME_DIR to a shorter directory"))
    }

    /// A user who may enter the socket's directory may be any role, as with a server's own files;
    /// over TCP, which every local user reaches, the roles' own passwords count.
    fn write_rules(&self, account: &Account) -> Result<()> {
        let rules = "local all all trust\nhost all all 127.0.0.1/32 md5\n";
        for (path, text) in [(self.rules(), rules), (self.names(), "")] {
            let mut file = account.create(&path)?;
            let written = file.write_all(text.as_bytes());
            written.map_err(|error| Error::path("write", &path, error))?;
        }
        Ok(())
    }

    fn rules(&self) -> PathBuf {
        self.runtime.join("pg_hba.conf")
    }

    fn names(&self) -> PathBuf {
        self.runtime.join("pg_ident.conf")
    }

    fn log_path(&self) -> PathBuf {
        self.runtime.join("server.log")
    }

    fn spawn(
        &self,
        installation: &Installation,
        account: &Account,
        configuration: &Configuration,
        port: u16,
        log: File,
    ) -> Result<Child> {
        let directory = &self.cluster.directory;
        let settings = Start {
            version: self.cluster.version.parse().unwrap_or_default(),
            data: directory,
            runtime: self.runtime,
            rules: &self.rules(),
            names: &self.names(),
            port,
            label: self.label,
        }
        .settings(configuration);
        let program = installation.program("postgres");
        let mut command = account.command(&program);
        command.arg("-D").arg(directory);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let second = log.try_clone().map_err(|error| Error::io("the server's log", error))?;
        tine_sys::process::detached(&mut command).stdout(log).stderr(second);
        command.spawn().map_err(|error| Error::path("start", &program, error))
    }

    /// Ready is what the pid file's eighth line says, as pg_ctl reads it.
    fn wait_until_ready(&self, child: &mut Child) -> Result<()> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let status =
                child.try_wait().map_err(|error| Error::io("waiting for the server", error))?;
            if let Some(status) = status {
                let what = format!("the server did not start ({status})");
                return Err(not_started(&what, &self.last_words()));
            }
            if pid_file_says_ready(&self.cluster.directory, child.id()) {
                return Ok(());
            }
            if begun.elapsed() > self.patience {
                let seconds = self.patience.as_secs();
                let what = format!("the server took no connections within {seconds} s");
                return Err(not_started(&what, &self.last_words()));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn last_words(&self) -> String {
        reason(&self.log_path(), &self.cluster.root)
    }

    /// What is known of a process; `None` if it has ended.
    fn record(&self, child: &Child, port: u16) -> Option<Server> {
        let pid = child.id();
        Some(Server {
            pid,
            start_ticks: start_ticks(pid)?,
            port,
            uri: String::new(),
            directory: self.cluster.directory.clone(),
            log: self.log_path(),
        })
    }

    /// Asks a server that takes connections what its URI needs, and frees a fork from the
    /// original's publishers.
    fn get_to_know(&self, socket: &OverSocket<'_>, remembered: &Remembered) -> Result<Known> {
        let directory = &self.cluster.directory;
        let known = socket.role_and_database(&superusers(directory), remembered);
        if is_new(directory, self.identity) {
            stand_alone(directory, socket, known.role.as_deref())?;
            finish(directory, self.identity, socket.account)?;
        }
        Ok(known)
    }
}

impl Server {
    /// Returns `true` if the process that was started still runs.
    pub fn is_alive(&self) -> bool {
        // A record that another hand has changed must not lead to a process that is no server, or
        // another user's.
        start_ticks(self.pid) == Some(self.start_ticks)
            && runs_postgres(self.pid)
            && self.owner_of_log().is_none_or(|it| owner(self.pid) == Some(it))
    }

    /// Stops the server as [`Server::end`] does, in good order.
    ///
    /// # Errors
    /// As [`Server::end`].
    pub fn stop(&self) -> Result<()> {
        self.end(Haste::Orderly).map(drop)
    }

    /// Stops the server: politely to its clients' work (fast), then at once (immediate), and kills
    /// it if it does not react; from both the next start recovers. Nothing to do if it has ended
    /// already.
    ///
    /// # Errors
    /// `Io` if not even a kill ends it, `NotPermitted` if it is another user's.
    pub fn end(&self, haste: Haste) -> Result<Ended> {
        // Opened before it is looked at: what is found out then is of this process.
        match Process::open(self.pid)? {
            Some(process) if self.is_alive() => stop::end(&process, haste),
            _ => Ok(Ended::ByItself),
        }
    }

    /// The log belongs to the user that the server runs as; `None` if it is not there.
    fn owner_of_log(&self) -> Option<u32> {
        Some(std::fs::symlink_metadata(&self.log).ok()?.uid())
    }
}

/// The error of a start that failed, with the server's own words as the reason.
fn not_started(what: &str, words: &str) -> Error {
    let (code, hint) = if words.contains("No space left on device") {
        (
            Code::NoSpace,
            "free space on the disk of the store, or delete branches; nothing acknowledged is lost",
        )
    } else {
        (
            Code::Io,
            "its files and settings are in the branch: mount it to see to them, then try again",
        )
    };
    Error::new(code, format!("{what}: {words}")).hint(hint)
}

fn port_taken(port: u16) -> Error {
    let message = format!("port {port} of 127.0.0.1 is taken by another program");
    Error::new(Code::Io, message).hint(Hint::NamePort)
}

fn pid_file_says_ready(directory: &Path, pid: u32) -> bool {
    let text = data_file::read_own_text(&directory.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    let same = lines.next().is_some_and(|line| line.trim() == pid.to_string());
    same && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::geteuid;

    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let tree = tempfile::tempdir().unwrap();
        // Only what is called like the server is taken for it.
        let program = tree.path().join("postgres");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let mut child = Command::new(&program).arg("60").spawn().unwrap();
        let server = Server {
            pid: child.id(),
            start_ticks: start_ticks(child.id()).unwrap(),
            port: 1,
            uri: String::new(),
            directory: PathBuf::new(),
            log: tree.path().join("log"),
        };
        assert!(server.is_alive());
        std::os::unix::fs::symlink(tree.path(), &server.log).unwrap();
        assert!(server.is_alive(), "its log is its own");
        let elsewhere = Server { log: PathBuf::from("/proc/1/stat"), ..server.clone() };
        assert_eq!(elsewhere.is_alive(), geteuid().is_root(), "another user's is not the server");
        let another = Server { start_ticks: server.start_ticks + 1, ..server.clone() };
        assert!(!another.is_alive(), "a process that took over the number is not the server");
        another.stop().unwrap();
        assert!(server.is_alive(), "a stop of the old one must not reach it");
        server.stop().unwrap();
        assert!(!server.is_alive());
        child.wait().unwrap();

        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let start_ticks = start_ticks(other.id()).unwrap();
        let forged = Server { pid: other.id(), start_ticks, ..server };
        assert_eq!(forged.end(Haste::Forced).unwrap(), Ended::ByItself);
        assert!(other.try_wait().unwrap().is_none(), "what is no server is never stopped");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
