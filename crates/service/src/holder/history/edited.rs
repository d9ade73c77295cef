//! Whether a branch was changed after it went back to a point.

use tine_store::{Branch, Store};

use super::record::Place;
use crate::holder::names;
use crate::protocol::Result;

/// Returns `true` if a branch was changed after it went back to a point.
pub fn is_edited(store: &Store, branch: &Branch, place: Place) -> Result<bool> {
    let Some(undone) = place.undone else { return Ok(false) };
    let point = match store.branch(&names::point_name(branch.id(), undone)) {
        // What cannot be compared is not lost either way.
        Err(tine_store::Error::BranchNotFound { .. }) => return Ok(true),
        point => point?.read()?,
    };
    let now = branch.read()?;
    match tine_fs::diff(&point, &now) {
        Ok(changes) => Ok(!changes.is_empty()),
        // It has no files.
        Err(_) => Ok(tine_store::diff(&point, &now)?.next().is_some()),
    }
}
