//! What the holder knows of a branch and of mounts.

use crate::client::Connection;
use crate::protocol::answers::{Inspected, Response};
use crate::protocol::requests::{Mount, Request};
use crate::protocol::{Code, Error, Result};

/// What is known of a branch.
pub(crate) fn inspect(holder: &mut Connection, name: &str) -> Result<Inspected> {
    match holder.call(Request::Inspect { name: name.into() })? {
        Response::Inspected(inspected) => Ok(inspected),
        _ => Err(unexpected()),
    }
}

/// Where a branch is mounted.
pub(crate) fn find_at(holder: &mut Connection, name: &str) -> Result<Option<Mount>> {
    match holder.call(Request::Mounts)? {
        Response::Mounts(mounts) => {
            Ok(mounts.into_iter().find(|(branch, _)| branch == name).map(|(_, mount)| mount))
        }
        _ => Err(unexpected()),
    }
}

/// The two ends speak different languages.
pub(crate) fn unexpected() -> Error {
    Error::new(Code::Io, "the holder gave an answer to another question")
        .hint("this is a defect of tine")
}
