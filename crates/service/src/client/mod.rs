//! How a command reaches a store: in its own process when the store is free, else over the holder's socket.

mod access;
mod connection;
mod locked;
mod read_only;

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tine_store::{Options, Store};
use tine_sys::environment;
use tine_sys::process::detached;

use crate::holder::{Context, log, reclaim};
use crate::machine::cleanup;
use crate::protocol::answers::Made;
use crate::protocol::identity::Identity;
use crate::protocol::socket;
use crate::protocol::socket::{Attempt, Socket};
use crate::protocol::{Code, Error, Request, Response, Result};

pub use access::Access;
pub use connection::{Canceller, Connection, ProgressHooks};

/// How long a command waits for another short one, or a holder that ends, to let go of the store. On an
/// overloaded machine closing took more than five seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// How long a new store waits for the holder of one that was removed, which ends when nobody needs it.
const REMOVED_PATIENCE: Duration = Duration::from_secs(2);
const REMOVED_LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many times as long a holder may take to say its first words, on a machine that is busy with other things.
const HELLO_PATIENCE: u32 = 4;
/// How often it looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the holder finds in its environment, besides what says who it runs as and our own variables. It
/// outlives the command by far, whose environment may hold secrets.
const HOLDER_VARIABLES: [&str; 2] = ["XDG_RUNTIME_DIR", "RUST_BACKTRACE"];

/// The way to one store.
#[derive(Clone, Debug)]
pub struct Client {
    store: PathBuf,
    options: Options,
    patience: Duration,
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
        Ok(Client { store, options, patience: PATIENCE })
    }

    /// The same way for one who does not wait longer than this for another command to let go of the store.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Client {
        self.patience = patience;
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

    /// Makes the store, and the directory it lies in.
    ///
    /// # Errors
    /// `store-exists` when anything is at the path; `store-locked` when a process still serves a store that was
    /// there and has been removed; `no-space`, `not-permitted`, `io`.
    pub fn init(&self) -> Result<Response> {
        let deadline = Instant::now() + REMOVED_PATIENCE;
        // Commands would reach that process, and what they write would be on no disk when it ends.
        while !self.store.exists() && matches!(socket::connect(&self.store)?, Attempt::Reached(_)) {
            if Instant::now() >= deadline {
                let store = self.store.display();
                let what = format!("a process still serves the store that was at {store}");
                return Err(Error::new(Code::StoreLocked, what)
                    .hint("unmount its branches, which ends that process, or use another path"));
            }
            // It goes only after nobody has asked for a while.
            thread::sleep(REMOVED_LOOK_EVERY);
        }
        let made = make_parents(&self.store)?;
        let created = Store::create(&self.store, &self.options).and_then(|store| {
            let identity = Identity::at(&self.store);
            store.close().inspect_err(|_| {
                // Nothing is in it yet, and `init` must be able to try again.
                if identity.is_some() && Identity::at(&self.store) == identity {
                    let _ = std::fs::remove_file(&self.store);
                }
            })
        });
        if let Err(error) = created {
            // The deepest first; one in which something lies by now stays.
            for directory in made.iter().rev() {
                let _ = std::fs::remove_dir(directory);
            }
            return Err(error.into());
        }
        Ok(Response::Made(Made { store: self.store.clone() }))
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
        // One that holds what stood at this path before has nothing to say about what stands there now.
        let here = std::fs::metadata(&self.store).ok().map(|meta| Identity::of(&meta));
        match (held, here) {
            (Some(held), Some(here)) if held != here => Ok(Found::Nothing),
            _ => Ok(Found::Holder(connection)),
        }
    }

    /// Opens the store here, or connects to who holds it.
    ///
    /// # Errors
    /// `store-locked` when another command keeps the store for longer than a few seconds.
    pub fn reach(&self) -> Result<Access> {
        let deadline = Instant::now() + self.patience;
        loop {
            let found = self.find().map_err(|error| self.with_what_works(error))?;
            if let Found::Holder(connection) = found {
                return Ok(Access::Remote(connection));
            }
            match Context::open(&self.store, &self.options) {
                Ok(context) => {
                    if let Found::Dead(socket) = found {
                        cleanup::detach(&self.store);
                        let _ = socket.map(|socket| socket.remove());
                    }
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
        let deadline = Instant::now() + self.patience;
        loop {
            let found = self.find().map_err(|error| self.with_what_works(error))?;
            if let Found::Holder(connection) = found {
                return Ok(connection);
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
    pub fn call(&self, request: Request) -> Result<Response> {
        let mut reach = match request.only_reads() {
            true => self.reach_to_read()?,
            false => self.reach()?,
        };
        let expected = reclaim::follows(&request);
        let response = reach.call(request)?;
        let more = match &reach {
            // What was asked is done; damage that keeps space from being freed shows at `check`.
            Access::Local(context) if !context.is_read_only() => {
                reclaim::begin(context.store(), expected).unwrap_or(false)
            }
            _ => false,
        };
        // What is done is durable by now. What fails at closing, a checkpoint say, leaves a journal to the next opening.
        let _ = reach.leave();
        if more {
            // Should it not start, since another command has the store by now, that one goes on.
            let _ = self.start_holder();
        }
        Ok(response)
    }
}

/// What stands at the place of the socket.
enum Found {
    /// A holder of the store.
    Holder(Connection),
    /// The socket of a holder that died.
    Dead(Option<Socket>),
    /// Nothing, or a holder of another store, which stood at the path before.
    Nothing,
}

/// Makes the directories that a path lies in; returns those that were missing, the outermost first.
fn make_parents(path: &Path) -> Result<Vec<PathBuf>> {
    let Some(parent) = path.parent() else { return Ok(Vec::new()) };
    let mut missing: Vec<PathBuf> =
        parent.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
    missing.reverse();
    std::fs::create_dir_all(parent).map_err(|error| Error::path("make", parent, error))?;
    Ok(missing)
}
