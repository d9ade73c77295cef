//! Ending what a process that died left half-made.

use tine_store::Store;

use super::kept::{delete_content, is_there, unless_damaged};
use super::records::{self, Change, Records};
use crate::protocol::Result;

/// Ends what a process that died left half-made; right after opening, when nothing else is at work.
///
/// # Errors
/// Those of the store; damage of the history itself is for those who ask for it.
pub fn sweep(store: &Store) -> Result<()> {
    unless_damaged(swept(store))
}

fn swept(store: &Store) -> Result<()> {
    let records = Records::read(store)?;
    let under_way = records.under_way().collect::<Result<Vec<_>>>()?;
    if under_way.is_empty() {
        return Ok(());
    }
    let branch = records::branch(store)?;
    let mut change = Change::begin(&branch)?;
    for item in under_way {
        let content_is_there = is_there(store, item)?;
        match item.serial {
            Some(serial) => {
                let point = records.point(item.branch, serial)?;
                if point.is_none_or(|point| point.gone.is_some()) {
                    delete_content(store, item)?;
                }
            }
            None => match records.deleted(item.branch)? {
                // It was not renamed yet, or has its name again.
                Some(deleted) if !content_is_there => {
                    change.drop_order(deleted.order)?;
                    change.drop_deleted(item.branch)?;
                }
                Some(deleted) if deleted.gone.is_some() => delete_content(store, item)?,
                None => delete_content(store, item)?,
                Some(_) => {}
            },
        }
        change.end_way(item)?;
    }
    change.commit()
}
