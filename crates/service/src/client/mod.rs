//! How a command reaches a store: in its own process when the store is free, else over the holder's
//! socket.

mod access;
mod connection;
mod found;
mod init;
mod locked;
mod read_only;
mod removed;
mod warnings;

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tine_store::Options;
use tine_sys::environment;
use tine_sys::process::detached;

use crate::holder::{Context, Execute, POINTS_PERCENT, log, reclaim};
use crate::machine::cleanup;
use crate::protocol::mounts::LetGo;
use crate::protocol::socket::{self, Attempt};
use crate::protocol::{Code, Error, Hint, Result};

use found::{Found, Purpose};
use warnings::Warnings;

pub use access::Access;
pub use connection::{Canceller, Connection, ProgressHooks};

/// How long a command waits for another short one, or a holder that ends, to let go of the store.
/// On an overloaded machine closing took more than five seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// How many times as long a holder may take to say its first words, on a machine that is busy with
/// other things.
const HELLO_PATIENCE: u32 = 4;
/// How often it looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the holder finds in its environment, besides the variables of its user and our own. It
/// outlives the command by far, whose environment may hold secrets.
const HOLDER_VARIABLES: [&str; 2] = ["XDG_RUNTIME_DIR", "RUST_BACKTRACE"];

/// The way to one store.
#[derive(Clone, Debug)]
pub struct Client {
    store: PathBuf,
    options: Options,
    patience: Duration,
    points_percent: u8,
    warnings: Warnings,
}

impl Client {
    /// The way to the store at `path`.
    ///
    /// # Errors
    /// When the current directory, which a relative path starts from, is gone.
    pub fn new(path: &Path, options: Options) -> Result<Client> {
        let absolute = std::path::absolute(path).map_err(|e| Error::path("find", path, e))?;
        // One store has one name, whatever links lead to it: the socket's place depends on it.
        let store = absolute.canonicalize().unwrap_or(absolute);
        let (points_percent, warnings) = (POINTS_PERCENT, Warnings::default());
        Ok(Client { store, options, patience: PATIENCE, points_percent, warnings })
    }

    /// The same way to the store at another path.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn with_store(&self, path: &Path) -> Result<Client> {
        let other = Client::new(path, self.options.clone())?;
        Ok(Client { store: other.store, ..self.clone() })
    }

    /// What came to light on the way, and was no reason to fail; each is reported once.
    pub fn take_warnings(&self) -> Vec<Error> {
        self.warnings.take()
    }

    /// The same way, with the time that it waits for another command to let go of the store.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// The same way, with the part of the store that points may hold.
    #[must_use]
    pub fn with_points_percent(mut self, percent: u8) -> Client {
        self.points_percent = percent;
        self
    }

    /// The path of the store, absolute.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// How the store is opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Asks whether a holder of this store is there.
    fn find(&self) -> Result<Found> {
        let stream = match socket::connect(&self.store)? {
            Attempt::Reached(stream) => stream,
            Attempt::Absent => return Ok(Found::Nothing),
            Attempt::Dead(socket) => return Ok(Found::Dead(socket)),
        };
        let Some((connection, held)) = Connection::begin(stream, self.patience * HELLO_PATIENCE)?
        else {
            return Ok(Found::Nothing);
        };
        match held {
            Some(held) => removed::compare(&self.store, &self.warnings, connection, held),
            None => Ok(Found::Holder(connection)),
        }
    }

    /// As [`Client::find`]; an error says what still works.
    fn find_or_say_what_works(&self) -> Result<Found> {
        self.find().map_err(|error| match locked::is_held(&self.store) {
            // Then it can neither be changed nor read.
            true => error,
            false => self.with_what_works(error),
        })
    }

    /// Opens the store here, or connects to the process that holds it.
    ///
    /// # Errors
    /// `store-locked` when another command keeps the store for longer than a few seconds;
    /// `store-not-found` also for one whose file was removed from its path while it is served.
    pub fn reach(&self) -> Result<Access> {
        self.reach_for(Purpose::Change)
    }

    fn reach_for(&self, purpose: Purpose) -> Result<Access> {
        let deadline = Instant::now() + self.patience;
        loop {
            let found = self.find_or_say_what_works()?;
            match found {
                Found::Holder(connection) => return Ok(Access::Remote(connection)),
                Found::OfRemoved(removed) => {
                    return removed::use_of(&self.store, &self.warnings, removed, purpose)
                        .map(Access::Remote);
                }
                _ => {}
            }
            match Context::open(&self.store, &self.options) {
                Ok(context) => {
                    if let Found::Dead(socket) = found {
                        cleanup::detach(&self.store);
                        let _ = socket.map(|socket| socket.remove());
                    }
                    let context = context.with_points_percent(self.points_percent);
                    return Ok(Access::Local(Box::new(context)));
                }
                Err(error) if error.code == Code::StoreLocked && self.may_wait(deadline) => {
                    thread::sleep(LOOK_EVERY);
                }
                Err(error) => {
                    let error = locked::explained(error, &self.store);
                    return Err(self.with_what_works(error));
                }
            }
        }
    }

    /// Connects to the holder, started if there is none.
    ///
    /// # Errors
    /// As [`Client::reach`], and when the holder cannot be started.
    pub fn hold(&self) -> Result<Connection> {
        self.hold_for(Purpose::Change)
    }

    fn hold_for(&self, purpose: Purpose) -> Result<Connection> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.find_or_say_what_works()? {
                Found::Holder(connection) => return Ok(connection),
                Found::OfRemoved(removed) => {
                    return removed::use_of(&self.store, &self.warnings, removed, purpose);
                }
                _ => {}
            }
            match self.start_holder() {
                Ok(()) => {}
                Err(error) if error.code == Code::StoreLocked && self.may_wait(deadline) => {
                    thread::sleep(LOOK_EVERY);
                }
                Err(error) => {
                    let error = locked::explained(error, &self.store);
                    return Err(self.with_what_works(error));
                }
            }
        }
    }

    /// Has a holder that has no mounts let go of the store.
    ///
    /// # Errors
    /// `branch-busy` when branches are mounted; those of reaching the holder.
    pub(crate) fn ask_holder_to_end(&self) -> Result<()> {
        let Found::Holder(mut holder) = self.find_or_say_what_works()? else { return Ok(()) };
        // One that cannot answer has ended meanwhile.
        let mounted = holder.ask(LetGo).unwrap_or_default();
        let Some(first) = mounted.first() else { return Ok(()) };
        let store = self.store.display();
        let what = match mounted.len() {
            1 => format!("the store {store} is in use: branch {} is mounted", first.branch),
            count => format!("the store {store} is in use: {count} branches are mounted"),
        };
        Err(Error::new(Code::BranchBusy, what)
            .hint(Hint::UnmountAll { branch: first.branch.clone() }))
    }

    /// An error of a locked store, with the process that has it open.
    pub(crate) fn explained(&self, error: Error) -> Error {
        locked::explained(error, &self.store)
    }

    /// Returns `true` if the store may be let go of before the deadline.
    fn may_wait(&self, deadline: Instant) -> bool {
        Instant::now() < deadline && !locked::is_held_elsewhere(&self.store)
    }

    /// Starts this program again as the holder, and hears from it whether it has the store.
    fn start_holder(&self) -> Result<()> {
        if !self.store.exists() {
            return Err(tine_store::Error::StoreNotFound { path: self.store.clone() }.into());
        }
        let failed = |error: io::Error| Error::io("cannot start the holder of the store", error);
        // A holder without a log serves as well.
        let log = log::open(&self.store);
        let logged = log.is_ok();
        let mut command = Command::new("/proc/self/exe");
        environment::of_this_user(&mut command);
        environment::carry_all(environment::carry(&mut command, &HOLDER_VARIABLES), "TINE_");
        // Else it is listed as `exe`.
        command.arg0("tine").arg("hold").arg("--store").arg(&self.store);
        let stderr = log.map_or_else(|_| Stdio::null(), Stdio::from);
        detached(&mut command).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        serde_json::from_str(&line).unwrap_or_else(|_| {
            let error = Error::new(Code::Io, "the holder of the store ended before it began");
            let log = log::path(&self.store);
            Err(match logged {
                true => error.hint(format!("see {}", log.display())),
                false => error.hint(format!(
                    "{} would say why, but it is not a file of this user's own: remove it, and try again",
                    log.display()
                )),
            })
        })
    }

    /// Answers a request by whichever way there is.
    ///
    /// # Errors
    /// Those of the way, and those of the request.
    pub fn ask<A: Execute>(&self, ask: A) -> Result<A::Answer> {
        let mut access = match A::ONLY_READS {
            true => self.reach_to_read()?,
            false => self.reach()?,
        };
        let answer = access.ask(ask)?;
        let more = match &access {
            // What was asked is done; damage that keeps space from being freed shows at `check`.
            Access::Local(context) if !context.is_read_only() => {
                reclaim::begin(context.store(), A::FREES).unwrap_or(false)
            }
            _ => false,
        };
        // What is done is durable by now. What fails at closing, a checkpoint say, leaves a journal
        // to the next opening.
        let _ = access.leave();
        if more {
            // Should it not start, since another command has the store by now, that one goes on.
            let _ = self.start_holder();
        }
        Ok(answer)
    }
}
