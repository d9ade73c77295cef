//! Copying what is whole in a damaged store into a new one, whose file trees then agree with
//! themselves again. The damaged store is not opened, only read: no other process may write it
//! meanwhile.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use tine_store::{Branch, Loss, Repair, Severity};

use crate::client::{Client, LOOK_EVERY, PATIENCE};
use crate::protocol::check::Finding;
use crate::protocol::history::is_of_history;
use crate::protocol::imports::shown_import;
use crate::protocol::{Error, Result};

/// How often the holder of the damaged store is asked to end.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What a repair copied into a new store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repaired {
    /// The new store.
    pub store: PathBuf,
    /// The number of branches and snapshots in it.
    pub branches: u64,
    /// The number of blocks of data copied into it.
    pub blocks_copied: u64,
    /// What could not be copied; empty when nothing was lost.
    pub lost: Vec<Finding>,
}

/// Copies what is whole in the client's store into a new one at `to`. Its branches have other
/// numbers there, by which the history is kept, so that stays behind.
///
/// # Errors
/// `store-locked` while another process writes the store, `store-exists` when anything is at `to`;
/// those of reading the one and writing the other.
pub fn repair(client: &Client, to: &Path) -> Result<Repaired> {
    let to = std::path::absolute(to).map_err(|e| Error::path("find", to, e))?;
    let deadline = Instant::now() + PATIENCE;
    let mut asked: Option<Instant> = None;
    let full = |error: Error| error.of_new_store(&to);
    let copied = loop {
        match Repair::begin(client.store(), &to, client.options(), |name| !is_of_history(name)) {
            Err(tine_store::Error::Locked { .. }) if Instant::now() < deadline => {
                // Each question keeps it for a moment; another holder may have begun meanwhile.
                if asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
                    asked = Some(Instant::now());
                    client.ask_holder_to_end()?;
                }
                thread::sleep(LOOK_EVERY);
            }
            Err(error) => return Err(full(client.explained(error.into()))),
            Ok(copied) => break copied,
        }
    };
    let lost = mend(&copied).map_err(full)?;
    let report = copied.finish().map_err(|error| full(error.into()))?;
    Ok(Repaired {
        store: to,
        branches: report.branches,
        blocks_copied: report.blocks,
        lost: lost.into_iter().map(Finding::from).collect(),
    })
}

/// Mends the file trees of a repaired store; what was lost, by the paths that the trees then have.
fn mend(copied: &Repair) -> Result<Vec<tine_store::Finding>> {
    let mut mended = Vec::new();
    for branch in copied.branches() {
        for finding in tine_fs::mend(branch)? {
            let place = format!("branch {}, {}", shown(branch), finding.place);
            mended.push(tine_store::Finding { place, ..finding });
        }
    }
    let mut found = Vec::new();
    for Loss { what, place, keys } in copied.lost() {
        let branch = |name: &String| copied.branches().find(|branch| branch.name() == *name);
        let located = match keys {
            Some((name, from, until)) => match branch(name) {
                Some(branch) => located(branch, from, until.as_deref())?,
                None => None,
            },
            None => None,
        };
        let place = located.unwrap_or_else(|| place.clone());
        found.push(tine_store::Finding { severity: Severity::Error, what: what.clone(), place });
    }
    found.extend(mended);
    Ok(found)
}

/// What a person calls a branch.
fn shown(branch: &Branch) -> String {
    let name = branch.name();
    shown_import(&name).unwrap_or(name)
}

/// What lies at lost keys; none where they are those of no file tree.
fn located(branch: &Branch, from: &[u8], until: Option<&[u8]>) -> Result<Option<String>> {
    let tree = branch.read()?;
    let (name, first) = (shown(branch), tine_fs::locate(&tree, from)?);
    let last = match until {
        Some(until) => tine_fs::locate(&tree, until)?,
        None => None,
    };
    Ok(match (first, last) {
        (Some(first), Some(last)) if first == last => Some(format!("branch {name}, {first}")),
        (Some(first), Some(last)) => Some(format!("branch {name}, from {first} to {last}")),
        (Some(first), None) => Some(format!("branch {name}, from {first} on")),
        (None, Some(last)) => Some(format!("branch {name}, up to {last}")),
        (None, None) => None,
    })
}
