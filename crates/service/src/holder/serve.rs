//! The process that keeps a store open for its mounts and for commands that take long.
//!
//! One per store, started on need by [`crate::Client`], detached from any terminal, gone when nothing is
//! mounted and nobody is connected. It never names its own mounts by path: that is left to commands.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tine_store::Options;
use tine_sys::signals::{Signal, Signals};

use crate::holder::context::Context;
use crate::holder::execute::execute;
use crate::holder::reclaim::Reclaim;
use crate::holder::{limits, log};
use crate::machine::cleanup;
use crate::protocol::socket::{self, Socket};
use crate::protocol::wire::{self, Asked, ClientMessage, Hello, PROTOCOL, Reply};
use crate::protocol::{Code, Error, Progress, Request, Response, Result};

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
    tine_sys::process::set_thread_name(c"tine");
    let begun = begin(path, options);
    let told = say(&begun.as_ref().map(|_| ()).map_err(Clone::clone));
    let (context, door) = match begun {
        Ok(begun) => begun,
        // Told once is enough: what standard error takes stays beside the store.
        Err(_) if told.is_ok() => return Ok(1),
        Err(error) => return Err(error),
    };
    serve(path, &context, door);
    if let Err(error) = context.store().reclaim_all() {
        log::write(&error);
    }
    let closed = Arc::into_inner(context).map_or(Ok(()), Context::close);
    // Before the log goes: what it says is why it stays.
    let status = closed.as_ref().map_or_else(
        |error| {
            log::write(error);
            1
        },
        |()| 0,
    );
    log::remove_if_empty(path);
    Ok(status)
}

fn say(said: &Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn begin(path: &Path, options: &Options) -> Result<(Arc<Context>, Door)> {
    // Nothing of this process should keep a directory of the host busy.
    std::env::set_current_dir("/").map_err(|error| Error::io("cannot go to /", error))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let limit = getrlimit(Resource::Nofile);
    // Whatever the limit is, it can only fall short later, with an error that says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let context = Arc::new(Context::open(path, options)?);
    cleanup::detach(path);
    let (listener, socket) = socket::listen(path)?;
    let nonblocking = listener.set_nonblocking(true);
    nonblocking.map_err(|error| Error::io("preparing the socket", error))?;
    close_on_terminate(&context)?;
    Ok((context, Door { listener, socket, spare: spare() }))
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

fn serve(path: &Path, context: &Arc<Context>, mut door: Door) {
    let connections = Arc::new(AtomicUsize::new(0));
    let mut needed = Instant::now();
    let mut expired = Instant::now();
    let mut freeing = Reclaim::new();
    let idle = || connections.load(Ordering::Acquire) == 0 && context.is_idle();
    // One that takes no more writes is of use to its mounts alone.
    let useless = || context.store().is_poisoned() && idle();
    loop {
        if expired.elapsed() >= EXPIRE_EVERY {
            expired = Instant::now();
            if let Err(error) = context.expire() {
                log::write(&error);
            }
        }
        if !idle() {
            needed = Instant::now();
        } else if context.store().is_poisoned()
            || needed.elapsed() >= LINGER && !(path.exists() && freeing.goes_on(context.store()))
        {
            // A command that connects now finds the end of the stream, and looks again.
            let _ = door.socket.remove();
            return;
        }
        let Some(stream) = door.accept() else { continue };
        if useless() || socket::must_be_same_user(&stream, path).is_err() {
            continue;
        }
        needed = Instant::now();
        let guard = Connected::count(&connections);
        let context = context.clone();
        let stream = Arc::new(stream);
        let attend = {
            let stream = stream.clone();
            move || {
                let _guard = guard;
                // A connection that breaks concerns its command alone.
                let _ = attend(&context, &stream);
            }
        };
        if let Err(error) = thread::Builder::new().name("command".into()).spawn(attend) {
            refuse(&stream, limits::no_thread(error));
        }
    }
}

/// Tells a command why it is not taken on. One that has gone meanwhile need not know.
fn refuse(stream: &UnixStream, why: Error) {
    let hello = Hello { refused: Some(why), ..hello(None) };
    let _ = wire::send(stream, &hello, &[]);
}

/// Where commands come in.
struct Door {
    listener: UnixListener,
    socket: Socket,
    /// Given up for the moment in which a command is told that there is no descriptor left for it.
    spare: Option<OwnedFd>,
}

fn spare() -> Option<OwnedFd> {
    std::fs::File::open("/dev/null").ok().map(OwnedFd::from)
}

impl Door {
    /// The next command, if one comes within a moment.
    fn accept(&mut self) -> Option<UnixStream> {
        if !readable(&self.listener, LOOK_EVERY) {
            return None;
        }
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).ok()?;
                Some(stream)
            }
            Err(error) => {
                match Errno::from_io_error(&error) {
                    Some(Errno::MFILE | Errno::NFILE) => self.turn_away(),
                    // The command has gone.
                    Some(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                    // It stays in the queue, and would be found there at once again.
                    _ => thread::sleep(LOOK_EVERY),
                }
                None
            }
        }
    }

    /// Takes a command from the queue to tell it that it cannot be served.
    fn turn_away(&mut self) {
        drop(self.spare.take());
        match self.listener.accept() {
            Ok((stream, _)) => refuse(&stream, limits::no_descriptor()),
            // Another thread was faster to use the descriptor; the command waits.
            Err(_) => thread::sleep(LOOK_EVERY),
        }
        self.spare = spare();
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

fn readable(what: impl AsFd, timeout: Duration) -> bool {
    let timeout =
        Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    let mut fds = [PollFd::new(&what, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&timeout)), Ok(1..))
}

/// Answers one command until it hangs up.
fn attend(context: &Context, stream: &UnixStream) -> io::Result<()> {
    wire::send(stream, &hello(Some(context)), &[])?;
    let mut reserved = Reserved { context, branches: Vec::new() };
    while let Some(Asked { ask, fds, lost }) = wire::receive_ask(stream)? {
        let ClientMessage::Execute(request) = ask else { continue };
        if lost {
            wire::send(stream, &Reply::Done(Err(limits::no_descriptor())), &[])?;
            continue;
        }
        let reserves = matches!(request, Request::Reserve { .. });
        let result = match takes_long(&request) {
            false => execute(context, request, fds, &Progress::default()),
            true => {
                let progress = Progress::default();
                let work = || execute(context, request, fds, &progress);
                while_listening(stream, &progress, work)
            }
        };
        if let Ok(Response::Branch(made)) = &result
            && reserves
        {
            reserved.add(&made.branch);
        }
        wire::send(stream, &Reply::Done(result), &[])?;
    }
    Ok(())
}

fn hello(context: Option<&Context>) -> Hello {
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        store: context.and_then(Context::identity),
        refused: None,
    }
}

/// Branches that a command is filling. They go with its connection, unless they were published.
struct Reserved<'a> {
    context: &'a Context,
    /// The name that each was made under, and its number: once it is published, or gone, the name may be that
    /// of a branch which another command fills.
    branches: Vec<(String, u64)>,
}

impl Reserved<'_> {
    fn add(&mut self, name: &str) {
        if let Ok(branch) = self.context.store().branch(name) {
            self.branches.push((name.into(), branch.id()));
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        for (name, id) in self.branches.drain(..) {
            if self.context.store().branch(&name).is_ok_and(|branch| branch.id() == id) {
                let delete = Request::Delete { names: vec![name], force: true };
                // What cannot be deleted now is swept by the next process that opens the store.
                let _ = execute(self.context, delete, Vec::new(), &Progress::default());
            }
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
        thread::Builder::new()
            .name("copy".into())
            .spawn_scoped(scope, move || {
                // The other side waits for it below.
                let _ = done.send(work());
            })
            .map_err(limits::no_thread)?;
        let mut hung_up = false;
        loop {
            match wait.recv_timeout(TELL_EVERY) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(Code::Io, "the holder failed at the request")
                        .hint("this is a defect of tine; nothing was made"));
                }
            }
            if hung_up {
                continue;
            }
            hung_up = wire::send(stream, &Reply::Progress(progress.step()), &[]).is_err();
            if !hung_up && readable(stream, Duration::ZERO) {
                hung_up = !matches!(
                    wire::receive_ask(stream),
                    Ok(Some(Asked { ask: ClientMessage::Cancel, .. }))
                );
                progress.cancel();
            }
            if hung_up {
                progress.cancel();
            }
        }
    })
}
