//! Commands that fork, seal and compare branches, with what their mounts still keep.

use std::time::Duration;

use crate::client::{Access, Client};
use crate::commands::flush::flush;
use crate::commands::inspect::unexpected;
use crate::protocol::Result;
use crate::protocol::answers::{OneBranch, Response};
use crate::protocol::requests::Request;
use crate::protocol::time::micros;

/// Forks `from`, with what its mount still keeps unless `flush` is off.
///
/// # Errors
/// `branch-not-found`, `branch-exists`, `name-invalid`, and those of [`flush`].
pub fn branch(client: &Client, fork: Fork) -> Result<Response> {
    let mut reach = client.reach()?;
    let from = match fork.from {
        Some(from) => from,
        None => match reach.call(Request::Root)? {
            Response::Branch(OneBranch { branch }) => branch,
            _ => return Err(unexpected()),
        },
    };
    let flushed = match fork.flush {
        true => flush(&mut reach, &from)
            .map_err(|error| error.hint("--no-flush takes what has been handed over so far"))?,
        false => Duration::ZERO,
    };
    let request = Request::Branch { new: fork.new, from, count: fork.count, ttl_s: fork.ttl_s };
    finish_created(reach, request, flushed)
}

/// What [`branch`] makes.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The name, or the stem of the names.
    pub new: String,
    /// The branch to fork; the only one without a parent if absent.
    pub from: Option<String>,
    /// How many.
    pub count: Option<u32>,
    /// Seconds until it may be deleted.
    pub ttl_s: Option<u64>,
    /// Whether a mount of `from` hands over its writes first.
    pub flush: bool,
}

/// Seals what `from` holds, with what its mount still keeps.
///
/// # Errors
/// As [`branch`].
pub fn snapshot(client: &Client, from: &str, new: &str) -> Result<Response> {
    let mut reach = client.reach()?;
    let flushed = flush(&mut reach, from)?;
    let request = Request::Snapshot { from: from.into(), new: new.into() };
    finish_created(reach, request, flushed)
}

fn finish_created(mut reach: Access, request: Request, flushed: Duration) -> Result<Response> {
    let mut response = reach.call(request)?;
    if let Response::Created(list) = &mut response {
        list.created.iter_mut().for_each(|one| one.flush_us = micros(flushed));
    }
    reach.leave()?;
    Ok(response)
}

/// Compares, with what the mounts of both sides still keep.
///
/// # Errors
/// `branch-not-found`; `unsupported` for a branch that has no fork point to be compared with.
pub fn diff(client: &Client, name: &str, other: Option<&str>) -> Result<Response> {
    let mut reach = client.reach_to_read()?;
    for side in [Some(name), other].into_iter().flatten() {
        flush(&mut reach, side)?;
    }
    let response =
        reach.call(Request::Diff { name: name.into(), other: other.map(str::to_owned) })?;
    reach.leave()?;
    Ok(response)
}
