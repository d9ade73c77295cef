//! The process that keeps a store open for its mounts and for commands that take long.
//!
//! One per store, started on need by [`crate::Client`], detached from any terminal, gone when
//! nothing is mounted and no command is connected. It never names its own mounts by path: that is
//! left to commands.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tine_store::Options;
use tine_sys::signals::{Signal, Signals};

use crate::holder::context::Context;
use crate::holder::listener::Listener;
use crate::holder::reclaim::Reclaim;
use crate::holder::{connection, limits, log};
use crate::machine::cleanup;
use crate::protocol::socket;
use crate::protocol::{Error, Result};

/// How long it stays when it is not needed: the next command of a script finds it still there.
const LINGER: Duration = Duration::from_millis(300);
/// How long it may count what points hold, once in a while and after each that was made; commands
/// that connect wait meanwhile.
const TEND_FOR: Duration = Duration::from_secs(1);
const TEND_NEW_FOR: Duration = Duration::from_millis(100);
/// How often it looks for branches whose time has come.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Opens the store at `path` and serves it until it is not needed. Points hold at most
/// `points_percent` of it. Returns the status to exit with.
///
/// On its standard output it says in one line of JSON whether it could begin; if so, the command
/// that started it may end.
///
/// # Errors
/// When the store cannot be opened, or the socket next to it cannot be made, and the command that
/// started it is gone.
pub fn hold(path: &Path, options: &Options, points_percent: u8) -> Result<u8> {
    tine_sys::process::set_thread_name(c"tine");
    let begun = begin(path, options, points_percent);
    let told = say(&begun.as_ref().map(|_| ()).map_err(Clone::clone));
    let (context, listener) = match begun {
        Ok(begun) => begun,
        // Reported once is enough: standard error is the log next to the store.
        Err(_) if told.is_ok() => return Ok(1),
        Err(error) => return Err(error),
    };
    serve(path, &context, listener);
    if !context.is_awaited()
        && let Err(error) = context.store().reclaim_all()
    {
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

fn begin(path: &Path, options: &Options, points_percent: u8) -> Result<(Arc<Context>, Listener)> {
    // Nothing of this process should keep a directory of the host busy.
    std::env::set_current_dir("/").map_err(|error| Error::io("cannot go to /", error))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let limit = getrlimit(Resource::Nofile);
    // Whatever the limit is, it can only fall short later, with an error that says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let context = Context::open(path, options)?.with_points_percent(points_percent).served();
    let context = Arc::new(context);
    cleanup::detach(path);
    let listener = Listener::new(path)?;
    close_on_terminate(&context)?;
    Ok((context, listener))
}

/// On SIGTERM, syncs before exiting: the end of a session loses nothing that was written.
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

fn serve(path: &Path, context: &Arc<Context>, mut listener: Listener) {
    let connections = Arc::new(AtomicUsize::new(0));
    let mut needed = Instant::now();
    let mut expired = Instant::now();
    let mut freeing = Reclaim::new();
    let idle = || connections.load(Ordering::Acquire) == 0 && context.is_idle();
    // One that takes no more writes is of use to its mounts alone.
    let useless = || context.store().is_poisoned() && idle();
    loop {
        let tended = match expired.elapsed() >= EXPIRE_EVERY {
            true => {
                expired = Instant::now();
                context.expire().and_then(|()| context.tend(TEND_FOR))
            }
            false => context.tend_new(TEND_NEW_FOR),
        };
        if let Err(error) = tended {
            log::write(&error);
        }
        if !idle() {
            needed = Instant::now();
        } else if context.store().is_poisoned()
            || context.is_awaited()
            || needed.elapsed() >= LINGER && !(path.exists() && freeing.goes_on(context.store()))
        {
            listener.remove();
            return;
        }
        // Tried again at the next turn.
        let _ = listener.keep(path, context.identity());
        let Some(stream) = listener.accept() else { continue };
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
                let _ = connection::attend(&context, &stream);
            }
        };
        if let Err(error) = thread::Builder::new().name("command".into()).spawn(attend) {
            connection::refuse(&stream, limits::no_thread(error));
        }
    }
}

/// Counts a connection until it is dropped.
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
