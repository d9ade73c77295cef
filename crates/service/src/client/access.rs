//! A store within reach, in this process or in its holder.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::connection::{Connection, ProgressHooks};
use crate::holder::{Call, Context, Execute};
use crate::protocol::{Error, Progress, Result};

/// How often the progress of work in this process is reported.
const TELL_EVERY: Duration = Duration::from_millis(20);

/// A store within reach.
pub enum Access {
    /// Open in this process.
    Local(Box<Context>),
    /// Held by another process.
    Remote(Connection),
}

impl Access {
    /// Has a request answered.
    ///
    /// # Errors
    /// Those of the request, and `io` when the holder is gone.
    pub fn ask<A: Execute>(&mut self, ask: A) -> Result<A::Answer> {
        self.ask_with(ask, &[])
    }

    /// Has a request answered that takes descriptors.
    ///
    /// # Errors
    /// As [`Access::ask`].
    pub fn ask_with<A: Execute>(&mut self, ask: A, fds: &[BorrowedFd<'_>]) -> Result<A::Answer> {
        match self {
            Access::Remote(connection) => connection.ask_with(ask, fds),
            Access::Local(context) => {
                Call::new(context, owned(fds)?, &Progress::default()).answer(ask)
            }
        }
    }

    /// Has a request answered that takes long, and tells `hooks` how far it is.
    ///
    /// # Errors
    /// As [`Access::ask`].
    pub fn ask_long<A>(
        &mut self,
        ask: A,
        fds: &[BorrowedFd<'_>],
        hooks: &mut ProgressHooks<'_>,
    ) -> Result<A::Answer>
    where
        A: Execute<Answer: Send> + Send,
    {
        match self {
            Access::Remote(connection) => connection.ask_long(ask, fds, hooks),
            Access::Local(context) => answer_long(context, ask, owned(fds)?, hooks),
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
fn answer_long<A>(
    context: &Context,
    ask: A,
    fds: Vec<OwnedFd>,
    hooks: &mut ProgressHooks<'_>,
) -> Result<A::Answer>
where
    A: Execute<Answer: Send> + Send,
{
    // Whatever the limit is, it can only fall short later, with an error that says so.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let progress = Arc::new(Progress::default());
    (hooks.begin)(progress.clone().into());
    thread::scope(|scope| {
        let work = scope.spawn(|| Call::new(context, fds, &progress).answer(ask));
        while !work.is_finished() {
            (hooks.step)(progress.step());
            thread::sleep(TELL_EVERY);
        }
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
