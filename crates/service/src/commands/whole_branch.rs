//! Commands that delete, reset or rename a branch, with what has to be done to its mount and server
//! before.
//!
//! Nothing is taken from a program that works in a branch before it is certain that the command can
//! go on.

use crate::client::{Access, Client};
use crate::commands::flush::flush;
use crate::commands::inspect::find_mount;
use crate::commands::servers;
use crate::commands::unmount::{detach, release};
use crate::protocol::branches::{Delete, Deleted, Rename, Reset};
use crate::protocol::history::{CanUndo, PointKind, Undo, Undone};
use crate::protocol::mounts::{Identify, Inspect, Inspected};
use crate::protocol::{Code, Error, Result};

/// Deletes branches, all or none; with `force`, mounted ones too. Unless they go for good at once,
/// `now`, they can be brought back for some days.
///
/// # Errors
/// `branch-not-found`, `branch-busy`.
pub fn delete(client: &Client, names: Vec<String>, force: bool, now: bool) -> Result<Deleted> {
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    if force {
        must_be_there(client, &list)?;
        if !now {
            flush_all(client, &list)?;
        }
        detach_by_force(client, &list)?;
    }
    let kind = PointKind::Delete;
    let ask = Delete { names: names.clone(), force, now, kind };
    or_released(client, &list, || client.ask(ask.clone()))
}

/// Puts a branch back to its fork point, or to what `to` holds, with what the mount of that still
/// keeps; with `force`, a mounted one too.
///
/// # Errors
/// `branch-not-found`, `branch-busy`, and `unsupported` for a branch without a fork point.
pub fn reset(client: &Client, name: &str, to: Option<String>, force: bool) -> Result<()> {
    if force {
        let all: Vec<&str> = [Some(name), to.as_deref()].into_iter().flatten().collect();
        must_be_there(client, &all)?;
        if to.is_none() {
            must_have_fork_point(client, name)?;
        }
        flush_all(client, &[name])?;
        detach_by_force(client, &[name])?;
    }
    if let Some(to) = &to {
        let mut access = client.reach()?;
        flush(&mut access, to)?;
        access.leave()?;
    }
    let ask = Reset { name: name.into(), to, force };
    or_released(client, &[name], || client.ask(ask.clone()))
}

/// Takes a branch back before its last change, or with `redo` forward again; with `force`, a
/// mounted one too. A deleted branch comes back where no other has its name.
///
/// # Errors
/// `branch-not-found`, `branch-busy`, and `unsupported` where there is nothing to undo.
pub fn undo(client: &Client, name: &str, redo: bool, force: bool) -> Result<Undone> {
    let there = match must_be_there(client, &[name]) {
        Err(error) if error.code == Code::BranchNotFound => false,
        there => there.map(|()| true)?,
    };
    if force && there {
        flush_all(client, &[name])?;
        client.ask(CanUndo { name: name.into(), redo })?;
        detach_by_force(client, &[name])?;
    }
    let ask = Undo { name: name.into(), redo, force };
    or_released(client, &[name], || client.ask(ask.clone()))
}

/// Has the mounts of branches hand over what they keep, since it is to be kept. What cannot be
/// handed over is no reason to refuse what was to be done by force.
fn flush_all(client: &Client, names: &[&str]) -> Result<()> {
    let mut access = client.reach()?;
    for name in names {
        let _ = flush(&mut access, name);
    }
    access.leave()
}

/// Gives a branch another name.
///
/// # Errors
/// `branch-not-found`, `branch-exists`, `name-invalid`, `branch-busy`.
pub fn rename(client: &Client, old: &str, new: String) -> Result<()> {
    let ask = Rename { old: old.into(), new };
    or_released(client, &[old], || client.ask(ask.clone()))
}

/// Asks once more when a branch was in use by nothing but leftovers, which are ended.
fn or_released<T>(client: &Client, names: &[&str], ask: impl Fn() -> Result<T>) -> Result<T> {
    match ask() {
        Err(error) if error.code == Code::BranchBusy => match release_all(client, names)? {
            true => ask(),
            false => Err(error),
        },
        done => done,
    }
}

fn release_all(client: &Client, names: &[&str]) -> Result<bool> {
    let mut access = client.reach()?;
    let mut all = true;
    if let Access::Remote(holder) = &mut access {
        for name in names {
            all &= release(holder, name)?;
        }
    }
    access.leave()?;
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
    let mut access = client.reach()?;
    if let Access::Remote(holder) = &mut access {
        for name in names {
            if let Some(mount) = find_mount(holder, name)?
                && mount.private_to.is_none()
            {
                detach(&mount)?;
            }
        }
    }
    access.leave()
}

fn must_be_there(client: &Client, names: &[&str]) -> Result<()> {
    let mut access = client.reach()?;
    for name in names {
        access.ask(Identify { name: (*name).into() })?;
    }
    access.leave()
}

fn must_have_fork_point(client: &Client, name: &str) -> Result<()> {
    let mut access = client.reach()?;
    let inspected = access.ask(Inspect { name: name.into() });
    access.leave()?;
    match inspected {
        Ok(Inspected { forked: false, .. }) => Err(Error::no_fork_point(name, "reset it to")),
        // Damage in the branch may be why it is reset.
        Err(error) if error.code != Code::StoreDamaged => Err(error),
        _ => Ok(()),
    }
}
