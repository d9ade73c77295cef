//! A store within reach, in this process or in its holder.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::connection::{Connection, ProgressHooks};
use crate::holder::{Context, execute};
use crate::protocol::{Error, Progress, Request, Response, Result};

/// How often a caller of work in this process is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(20);

/// A store within reach.
pub enum Access {
    /// Open in this process.
    Local(Box<Context>),
    /// Held by another process.
    Remote(Connection),
}

impl Access {
    /// Answers a request.
    ///
    /// # Errors
    /// Those of the request, and `io` when the holder is gone.
    pub fn call(&mut self, request: Request) -> Result<Response> {
        self.call_with(request, &[])
    }

    /// Answers a request that takes descriptors.
    ///
    /// # Errors
    /// As [`Access::call`].
    pub fn call_with(&mut self, request: Request, fds: &[BorrowedFd<'_>]) -> Result<Response> {
        match self {
            Access::Remote(connection) => connection.call_with(request, fds, &mut |_| {}),
            Access::Local(context) => execute(context, request, owned(fds)?, &Progress::default()),
        }
    }

    /// Answers a request that takes long, and tells `hooks` how far it is.
    ///
    /// # Errors
    /// As [`Access::call`].
    pub fn call_long(
        &mut self,
        request: Request,
        fd: BorrowedFd<'_>,
        hooks: &mut ProgressHooks<'_>,
    ) -> Result<Response> {
        match self {
            Access::Remote(connection) => connection.call_long(request, fd, hooks),
            Access::Local(context) => work_here(context, request, owned(&[fd])?, hooks),
        }
    }

    /// Lets go of the store.
    ///
    /// # Errors
    /// When closing it cleanly fails.
    pub fn leave(self) -> Result<()> {
        match self {
            Access::Local(context) => context.close(),
            Access::Remote(_) => Ok(()),
        }
    }
}

fn owned(fds: &[BorrowedFd<'_>]) -> Result<Vec<OwnedFd>> {
    let owned: io::Result<Vec<_>> = fds.iter().map(BorrowedFd::try_clone_to_owned).collect();
    owned.map_err(|error| Error::io("cannot hand on a file", error))
}

/// Answers a long request in this process, as the holder would.
fn work_here(
    context: &Context,
    request: Request,
    fds: Vec<OwnedFd>,
    hooks: &mut ProgressHooks<'_>,
) -> Result<Response> {
    // Whatever the limit is, it can only fall short later, with an error that says so.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let progress = Arc::new(Progress::default());
    (hooks.begin)(progress.clone().into());
    thread::scope(|scope| {
        let work = scope.spawn(|| execute(context, request, fds, &progress));
        while !work.is_finished() {
            (hooks.step)(progress.step());
            thread::sleep(TELL_EVERY);
        }
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
