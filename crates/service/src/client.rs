//! How a command reaches a store: in its own process when the store is free, else over the holder's socket.

mod read_only;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tine_store::{Options, Store};
use tine_sys::environment;
use tine_sys::process::detached;

use crate::progress::Progress;
use crate::response::Made;
use crate::socket::{self, Attempt};
use crate::wire::{self, Ask, Hello, PROTOCOL, Reply, Step};
use crate::{Code, Context, Error, Request, Response, Result, execute, freeing, locked, stale};

/// How long a command waits for another short one, or a holder that ends, to let go of the store. On an
/// overloaded machine closing took more than five seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// How long a new store waits for the holder of one that was removed, which ends when nobody needs it.
const REMOVED_PATIENCE: Duration = Duration::from_secs(2);
const REMOVED_LOOK_EVERY: Duration = Duration::from_millis(500);
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
        if let Some(parent) = self.store.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::path("make", parent, e))?;
        }
        Store::create(&self.store, &self.options)?.close()?;
        Ok(Response::Made(Made { store: self.store.clone() }))
    }

    /// Opens the store here, or connects to who holds it.
    ///
    /// # Errors
    /// `store-locked` when another command keeps the store for longer than a few seconds.
    pub fn reach(&self) -> Result<Reach> {
        let deadline = Instant::now() + self.patience;
        loop {
            let attempt = socket::connect(&self.store)?;
            let dead = matches!(attempt, Attempt::Dead);
            if let Attempt::Reached(stream) = attempt
                && let Some(connection) = Connection::begin(stream)?
            {
                return Ok(Reach::There(connection));
            }
            match Context::open(&self.store, &self.options) {
                Ok(context) => {
                    if dead {
                        stale::detach(&self.store);
                        let _ = socket::remove(&self.store);
                    }
                    return Ok(Reach::Here(Box::new(context)));
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
            if let Attempt::Reached(stream) = socket::connect(&self.store)?
                && let Some(connection) = Connection::begin(stream)?
            {
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
        let log = self.log().map_or_else(|_| Stdio::null(), Stdio::from);
        let mut command = Command::new("/proc/self/exe");
        environment::of_this_user(&mut command);
        environment::carry_all(environment::carry(&mut command, &HOLDER_VARIABLES), "TINE_");
        command.arg("hold").arg("--store").arg(&self.store);
        detached(&mut command).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        serde_json::from_str(&line).unwrap_or_else(|_| {
            let log = log_path(&self.store);
            let what = "the holder of the store ended before it began";
            Err(Error::new(Code::Io, what).hint(format!("see {}", log.display())))
        })
    }

    fn log(&self) -> io::Result<File> {
        let path = log_path(&self.store);
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
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
        let expected = freeing::follows(&request);
        let response = reach.call(request)?;
        let more = match &reach {
            // What was asked is done; damage that keeps space from being freed shows at `check`.
            Reach::Here(context) if !context.is_read_only() => {
                freeing::begin(context.store(), expected).unwrap_or(false)
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

/// Where the holder writes what it cannot tell anybody.
pub fn log_path(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_os_string();
    name.push(".log");
    store.with_file_name(name)
}

/// A store within reach.
pub enum Reach {
    /// Open in this process.
    Here(Box<Context>),
    /// Held by another.
    There(Connection),
}

impl Reach {
    /// Answers a request.
    ///
    /// # Errors
    /// Those of the request, and `io` when the holder is gone.
    pub fn call(&mut self, request: Request) -> Result<Response> {
        match self {
            Reach::Here(context) => execute(context, request, Vec::new(), &Progress::default()),
            Reach::There(connection) => connection.call(request),
        }
    }

    /// Lets go of the store.
    ///
    /// # Errors
    /// When closing it cleanly fails.
    pub fn leave(self) -> Result<()> {
        match self {
            Reach::Here(context) => context.close(),
            Reach::There(_) => Ok(()),
        }
    }
}

/// A line to the holder.
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Hears the holder's first words; `None` when it ended instead.
    fn begin(stream: UnixStream) -> Result<Option<Connection>> {
        let Ok(hello) = wire::receive::<Hello>(&stream) else { return Ok(None) };
        if hello.protocol != PROTOCOL {
            let what = format!(
                "the store is held by tine {} (process {}), which this version cannot talk to",
                hello.version, hello.pid
            );
            return Err(Error::new(Code::StoreLocked, what)
                .hint("unmount its branches with that version, then try again"));
        }
        Ok(Some(Connection { stream }))
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Those of the request, and `io` when the holder is gone.
    pub fn call(&mut self, request: Request) -> Result<Response> {
        self.call_with(request, &[], &mut |_| {})
    }

    /// Answers a request that takes descriptors, or long.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn call_with(
        &mut self,
        request: Request,
        carried: &[BorrowedFd<'_>],
        progress: &mut dyn FnMut(Step),
    ) -> Result<Response> {
        wire::send(&self.stream, &Ask::Execute(request), carried).map_err(gone)?;
        loop {
            match wire::receive(&self.stream).map_err(gone)? {
                Reply::Progress(step) => progress(step),
                Reply::Done(result) => return result,
            }
        }
    }

    /// A handle by which another thread can stop the request under way.
    ///
    /// # Errors
    /// When no descriptor is to be had.
    pub fn canceller(&self) -> Result<Canceller> {
        let stream = self.stream.try_clone().map_err(|e| Error::io("preparing to cancel", e))?;
        Ok(Canceller(Worker::Holder(stream)))
    }
}

/// Stops the request under way.
pub struct Canceller(Worker);

/// Who works on a request.
enum Worker {
    Holder(UnixStream),
    ThisProcess(Arc<Progress>),
}

impl From<Arc<Progress>> for Canceller {
    fn from(progress: Arc<Progress>) -> Canceller {
        Canceller(Worker::ThisProcess(progress))
    }
}

impl Canceller {
    /// Asks who works on it to stop and undo it; the call then ends with `interrupted`.
    pub fn cancel(&self) {
        match &self.0 {
            // A holder that is gone has stopped already.
            Worker::Holder(stream) => drop(wire::send(stream, &Ask::Cancel, &[])),
            Worker::ThisProcess(progress) => progress.cancel(),
        }
    }
}

fn gone(error: io::Error) -> Error {
    let what = format!("the holder of the store went away: {error}");
    Error::new(Code::Io, what).hint("try again: what was acknowledged is kept")
}
