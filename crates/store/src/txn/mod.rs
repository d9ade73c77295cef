//! Reading a snapshot of a branch, and changing a branch by one atomic step.

mod batch;
mod kinds;
mod op;
mod raw;
mod read;
mod write;

pub(crate) use batch::Batch;
pub(crate) use kinds::refuse_values_in_maps;
pub(crate) use op::{DataRun, Op, RunData, extent_pieces, last_batch};
pub(crate) use raw::raw;
pub(crate) use read::value_of;
pub use read::{Extents, Range, ReadTxn, Run, Value};
pub use write::{Staged, WriteTxn};
