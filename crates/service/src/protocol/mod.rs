//! What a command and the holder of a store say to each other: requests, answers, errors, and how
//! they cross the holder's socket.
//!
//! The lowest floor of this crate: nothing here opens a store or touches a mount.

pub mod ask;
pub mod branches;
pub mod changes;
pub mod check;
pub mod copies;
mod error;
mod hint;
pub mod history;
pub(crate) mod identity;
pub mod imports;
pub mod look;
pub mod mounts;
pub(crate) mod progress;
pub(crate) mod raw;
pub mod request;
pub(crate) mod shown;
pub(crate) mod socket;
pub mod status;
pub mod time;
pub mod usage;
pub(crate) mod wire;

pub use ask::Ask;
pub use error::{Code, Error, Result};
pub use hint::{Hint, UsedBy, Wanted};
pub use progress::{Progress, ProgressUpdate};
pub use raw::RawBytes;
pub use request::Request;
