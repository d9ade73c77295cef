//! Copying what is whole in a damaged store into a new one. The damaged store is not opened, only read: nobody
//! else may hold it meanwhile.

use std::path::Path;
use std::thread;
use std::time::Instant;

use crate::client::{LOOK_EVERY, PATIENCE};
use crate::response::{Finding, Repaired};
use crate::{Client, Error, Response, Result};

/// Copies what is whole in the client's store into a new one at `to`.
///
/// # Errors
/// `store-locked` while another process holds the store, `store-exists` when anything is at `to`; those of reading
/// the one and writing the other.
pub fn repair(client: &Client, to: &Path) -> Result<Response> {
    let to = std::path::absolute(to).map_err(|e| Error::path("find", to, e))?;
    let deadline = Instant::now() + PATIENCE;
    let report = loop {
        match tine_store::repair(client.store(), &to, client.options()) {
            Err(tine_store::Error::Locked { .. }) if Instant::now() < deadline => {
                thread::sleep(LOOK_EVERY);
            }
            report => break report?,
        }
    };
    Ok(Response::Repaired(Repaired {
        store: to,
        branches: report.branches,
        blocks_copied: report.blocks,
        lost: report.lost.into_iter().map(Finding::from).collect(),
    }))
}
