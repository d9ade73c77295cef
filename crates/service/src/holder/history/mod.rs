//! The history of branches: what each was before every change of it as a whole, and deleted
//! branches for some days.
//!
//! The content of a point is a snapshot with a hidden name, `tine.point/ID/SERIAL`; a deleted
//! branch is renamed to `tine.deleted/ID`. Both go by the number of the branch, which a rename does
//! not change and no other branch gets. What is known of them is in `records`, where a mark says
//! that a change of both is under way: what a process that died left half-made is swept by the next
//! that opens the store.
//!
//! A point holds the branch *before* the change that it tells of. Where the branch stands is its
//! `Place`: the point before its last change, and after an undo the point that it went back to and
//! the one that a redo returns to. Each point keeps the place of its time, so the points of a
//! branch are a tree, and nothing that an undo leaves is lost.
//!
//! Points give way: when a change finds no room, or all hold more than their part of the store, the
//! oldest go (`room`). The first writes no record, as it happens inside of another change: a record
//! without content says that its space was needed.

mod deleted;
mod edited;
mod gone;
mod kept;
mod log;
mod points;
mod record;
mod records;
mod room;
mod sweep;
#[cfg(test)]
mod tests;
mod undo;

pub use deleted::{has_deleted, stays};
pub use kept::{History, is_of_history, unless_damaged};
pub use log::{At, find_point};
pub use room::{Held, give_way_on_shortage, held_names};
pub use sweep::sweep;
