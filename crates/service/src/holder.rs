//! The process that keeps a store open for its mounts and for commands that take long.
//!
//! One per store, started on need by [`crate::Client`], detached from any terminal, gone when nothing is
//! mounted and nobody is connected. It never names its own mounts by path: that is left to commands.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tine_store::Options;
use tine_sys::signals::{Signal, Signals};

use crate::client::log_path;
use crate::freeing::Freeing;
use crate::progress::Progress;
use crate::wire::{self, Ask, Hello, PROTOCOL, Reply};
use crate::{Context, Error, Request, Response, Result, execute, socket, stale};

/// How long it stays when nobody needs it: the next command of a script finds it still there.
const LINGER: Duration = Duration::from_millis(300);
/// How often it looks whether it is still needed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it looks for branches whose time has come.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// How often a command hears how far its request is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Opens the store at `path` and serves it until nobody needs it; returns the status to exit with.
///
/// On its standard output it says in one line of JSON whether it could begin; if so, whoever started it may go.
///
/// # Errors
/// When the store cannot be opened, or the socket beside it cannot be made, and nobody is there to be told.
pub fn hold(path: &Path, options: &Options) -> Result<u8> {
    let begun = begin(path, options);
    let told = say(&begun.as_ref().map(|_| ()).map_err(Clone::clone));
    let (context, listener) = match begun {
        Ok(begun) => begun,
        // Told once is enough: what standard error takes stays beside the store.
        Err(_) if told.is_ok() => return Ok(1),
        Err(error) => return Err(error),
    };
    serve(path, &context, &listener);
    drop(listener);
    if let Err(error) = context.store().reclaim_all() {
        log(&error);
    }
    let closed = Arc::into_inner(context).map(Context::close);
    remove_empty_log(path);
    closed.unwrap_or(Ok(())).map(|()| 0)
}

/// Leaves a line in the log. A log that takes nothing, on a full disk for one, is no reason to stop.
fn log(error: &impl Display) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// A log that says nothing is not worth keeping.
fn remove_empty_log(store: &Path) {
    let log = log_path(store);
    if std::fs::metadata(&log).is_ok_and(|meta| meta.len() == 0) {
        // Should it stay, it stays empty.
        let _ = std::fs::remove_file(&log);
    }
}

fn say(said: &Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn begin(path: &Path, options: &Options) -> Result<(Arc<Context>, UnixListener)> {
    // Nothing of this process should keep a directory of the host busy.
    std::env::set_current_dir("/").map_err(|error| Error::io("cannot go to /", error))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let limit = getrlimit(Resource::Nofile);
    // Whatever the limit is, it can only fall short later, with an error that says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let context = Arc::new(Context::open(path, options)?);
    stale::detach(path);
    let listener = socket::listen(path)?;
    let nonblocking = listener.set_nonblocking(true);
    nonblocking.map_err(|error| Error::io("preparing the socket", error))?;
    close_on_terminate(&context)?;
    Ok((context, listener))
}

/// A polite end of the machine or the session loses nothing that was written.
fn close_on_terminate(context: &Arc<Context>) -> Result<()> {
    let failed = |error| Error::io("preparing for signals", error);
    // Blocked for this thread and all that it starts; only the one below takes it.
    let blocked = Signals::block(&[Signal::TERM]).map_err(failed)?;
    let context = Arc::downgrade(context);
    let wait = move || {
        let caught = Signals::block(&[Signal::TERM]).and_then(|signals| signals.wait());
        if caught.is_ok() {
            // The socket stays: it tells the next command that there are mounts to take off.
            let synced = context.upgrade().map(|context| context.store().sync());
            std::process::exit(match synced {
                Some(Err(_)) => 1,
                _ => 0,
            });
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map_err(failed)?;
    // The mask stays as it is until the process ends.
    std::mem::forget(blocked);
    Ok(())
}

fn serve(path: &Path, context: &Arc<Context>, listener: &UnixListener) {
    let connections = Arc::new(AtomicUsize::new(0));
    let mut needed = Instant::now();
    let mut expired = Instant::now();
    let mut freeing = Freeing::new();
    let idle = || connections.load(Ordering::Acquire) == 0 && context.is_idle();
    // One that takes no more writes is of use to its mounts alone.
    let useless = || context.store().is_poisoned() && idle();
    loop {
        if expired.elapsed() >= EXPIRE_EVERY {
            expired = Instant::now();
            if let Err(error) = context.expire() {
                log(&error);
            }
        }
        if !idle() {
            needed = Instant::now();
        } else if context.store().is_poisoned()
            || needed.elapsed() >= LINGER && !(path.exists() && freeing.goes_on(context.store()))
        {
            // A command that connects now finds the end of the stream, and looks again.
            let _ = socket::remove(path);
            return;
        }
        let Some(stream) = accept(listener) else { continue };
        if useless() || socket::must_be_same_user(&stream, path).is_err() {
            continue;
        }
        needed = Instant::now();
        let guard = Connected::count(&connections);
        let context = context.clone();
        let attend = move || {
            let _guard = guard;
            // A connection that breaks concerns nobody but its command.
            let _ = attend(&context, &stream);
        };
        // Without a thread the stream closes, and the command says that the holder is gone.
        let _ = thread::Builder::new().name("command".into()).spawn(attend);
    }
}

struct Connected(Arc<AtomicUsize>);

impl Connected {
    fn count(connections: &Arc<AtomicUsize>) -> Connected {
        connections.fetch_add(1, Ordering::AcqRel);
        Connected(connections.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn accept(listener: &UnixListener) -> Option<UnixStream> {
    if !readable(listener, LOOK_EVERY) {
        return None;
    }
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(false).ok()?;
    Some(stream)
}

fn readable(what: impl AsFd, timeout: Duration) -> bool {
    let timeout =
        Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    let mut fds = [PollFd::new(&what, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&timeout)), Ok(1..))
}

/// Answers one command until it hangs up.
fn attend(context: &Context, stream: &UnixStream) -> io::Result<()> {
    let hello = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
    };
    wire::send(stream, &hello, &[])?;
    let mut reserved = Reserved { context, names: Vec::new() };
    while let Some((ask, carried)) = wire::receive_ask(stream)? {
        let Ask::Execute(request) = ask else { continue };
        let (reserves, publishes) = match &request {
            Request::Reserve { .. } => (true, None),
            Request::Publish { hidden, .. } => (false, Some(hidden.clone())),
            _ => (false, None),
        };
        let result = match takes_long(&request) {
            false => execute(context, request, carried, &Progress::default()),
            true => {
                let progress = Progress::default();
                let work = || execute(context, request, carried, &progress);
                while_listening(stream, &progress, work)
            }
        };
        match &result {
            Ok(Response::Branch(made)) if reserves => reserved.names.push(made.branch.clone()),
            Ok(_) => reserved.names.retain(|name| Some(name) != publishes.as_ref()),
            Err(_) => {}
        }
        wire::send(stream, &Reply::Done(result), &[])?;
    }
    Ok(())
}

/// Branches that a command is filling. They go with its connection.
struct Reserved<'a> {
    context: &'a Context,
    names: Vec<String>,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        for name in self.names.drain(..) {
            let delete = Request::Delete { names: vec![name], force: true };
            // What cannot be deleted now is swept by the next process that opens the store.
            let _ = execute(self.context, delete, Vec::new(), &Progress::default());
        }
    }
}

fn takes_long(request: &Request) -> bool {
    matches!(request, Request::Import { .. } | Request::Export { .. })
}

/// Does the work, tells how far it is, and stops it when the command says so or hangs up.
fn while_listening(
    stream: &UnixStream,
    progress: &Progress,
    work: impl FnOnce() -> Result<Response> + Send,
) -> Result<Response> {
    let (done, wait) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || done.send(work()));
        let mut hung_up = false;
        loop {
            match wait.recv_timeout(TELL_EVERY) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(crate::Code::Io, "the holder failed at the request")
                        .hint("this is a defect of tine; nothing was made"));
                }
            }
            if hung_up {
                continue;
            }
            hung_up = wire::send(stream, &Reply::Progress(progress.step()), &[]).is_err();
            if !hung_up && readable(stream, Duration::ZERO) {
                hung_up = !matches!(wire::receive_ask(stream), Ok(Some((Ask::Cancel, _))));
                progress.cancel();
            }
            if hung_up {
                progress.cancel();
            }
        }
    })
}
