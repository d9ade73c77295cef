//! An open store and the requests that it answers: in the holder, the one process that keeps a
//! store open while branches are mounted, or in a command's own process while the store is free.
//!
//! Nothing here names a mount by its path: a process that waits for a mount of its own waits for
//! ever.

mod attach;
mod branches;
mod call;
mod changes;
mod connection;
mod contents;
mod context;
mod copies;
mod durable;
mod execute;
mod find;
mod history;
mod imports;
mod keep;
mod limits;
mod listener;
pub(crate) mod log;
mod look;
mod mounts;
mod names;
mod queries;
pub(crate) mod reclaim;
mod refreshing;
mod reserved;
mod scope;
mod serve;
mod status;

pub(crate) use call::Call;
pub use call::Execute;
pub use context::{Context, POINTS_PERCENT};
pub use serve::hold;
