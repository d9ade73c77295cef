//! Commands that delete, reset or rename a branch, with what has to be done to its mount and server before.
//!
//! Nothing is taken from a program that works in a branch before it is certain that the command can go on.

use crate::client::{Access, Client};
use crate::commands::flush::flush;
use crate::commands::inspect::{find_at, unexpected};
use crate::commands::servers;
use crate::commands::unmount::{detach, release};
use crate::protocol::answers::Inspected;
use crate::protocol::{Code, Error, Request, Response, Result};

/// Deletes branches, all or none; with `force`, mounted ones too.
///
/// # Errors
/// `branch-not-found`, `branch-busy`.
pub fn delete(client: &Client, names: Vec<String>, force: bool) -> Result<Response> {
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    if force {
        must_be_there(client, &list)?;
        detach_by_force(client, &list)?;
    }
    let request = Request::Delete { names: names.clone(), force };
    call(client, &list, request)
}

/// Puts a branch back to its fork point, or to what `to` holds, with what the mount of that still keeps; with `force`, a
/// mounted one too.
///
/// # Errors
/// `branch-not-found`, `branch-busy`, and `unsupported` for a branch without a fork point.
pub fn reset(client: &Client, name: &str, to: Option<String>, force: bool) -> Result<Response> {
    if force {
        let all: Vec<&str> = [Some(name), to.as_deref()].into_iter().flatten().collect();
        let inspected = must_be_there(client, &all)?;
        if to.is_none() && inspected.first().is_some_and(|branch| !branch.forked) {
            return Err(Error::no_fork_point(name, "reset it to"));
        }
        detach_by_force(client, &[name])?;
    }
    if let Some(to) = &to {
        let mut reach = client.reach()?;
        flush(&mut reach, to)?;
        reach.leave()?;
    }
    call(client, &[name], Request::Reset { name: name.into(), to, force })
}

/// Gives a branch another name.
///
/// # Errors
/// `branch-not-found`, `branch-exists`, `name-invalid`, `branch-busy`.
pub fn rename(client: &Client, old: &str, new: String) -> Result<Response> {
    call(client, &[old], Request::Rename { old: old.into(), new })
}

/// Asks once more when a branch was in use by nothing but leftovers, which are ended.
fn call(client: &Client, names: &[&str], request: Request) -> Result<Response> {
    match client.call(request.clone()) {
        Err(error) if error.code == Code::BranchBusy => match release_all(client, names)? {
            true => client.call(request),
            false => Err(error),
        },
        done => done,
    }
}

fn release_all(client: &Client, names: &[&str]) -> Result<bool> {
    let mut reach = client.reach()?;
    let mut all = true;
    if let Access::Remote(holder) = &mut reach {
        for name in names {
            all &= release(holder, name)?;
        }
    }
    reach.leave()?;
    Ok(all)
}

/// Takes the servers and mounts of branches off that are about to change under them.
///
/// # Errors
/// When a server cannot be stopped, or a mount cannot be taken off.
fn detach_by_force(client: &Client, names: &[&str]) -> Result<()> {
    for name in names {
        servers::stop_if_running(client, name)?;
    }
    let mut reach = client.reach()?;
    if let Access::Remote(holder) = &mut reach {
        for name in names {
            if let Some(mount) = find_at(holder, name)?
                && mount.private_to.is_none()
            {
                detach(&mount)?;
            }
        }
    }
    reach.leave()
}

fn must_be_there(client: &Client, names: &[&str]) -> Result<Vec<Inspected>> {
    let mut reach = client.reach()?;
    let inspected =
        names.iter().map(|name| match reach.call(Request::Inspect { name: (*name).into() })? {
            Response::Inspected(inspected) => Ok(inspected),
            _ => Err(unexpected()),
        });
    let inspected = inspected.collect::<Result<Vec<_>>>();
    reach.leave()?;
    inspected
}
