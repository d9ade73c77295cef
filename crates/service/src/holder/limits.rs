//! Errors of a holder that the system gives no more threads or descriptors.

use std::io;

use rustix::process::{Resource, getrlimit};

use crate::protocol::{Code, Error};

/// The error of a holder that may not start another thread.
pub fn no_thread(error: io::Error) -> Error {
    Error::io("the holder of the store cannot start a thread", error)
        .hint("raise the limit on processes (`ulimit -u`, or of the container), or end some")
}

/// The error of a holder that may not have another file open.
pub fn no_descriptor() -> Error {
    let limit = getrlimit(Resource::Nofile).maximum;
    let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    let pid = std::process::id();
    let what = format!(
        "the holder of the store (process {pid}) has as many files open as its limit{limit} allows"
    );
    Error::new(Code::Io, what).hint(
        "unmount a branch; for more, raise the limit (`ulimit -n`) before the first branch is mounted",
    )
}
