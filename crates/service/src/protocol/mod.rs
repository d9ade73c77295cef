//! What a command and the holder of a store say to each other: requests, answers, errors, and how they cross the
//! holder's socket.
//!
//! The lowest floor of this crate: nothing here opens a store or touches a mount.

pub mod answers;
mod error;
pub(crate) mod identity;
pub(crate) mod progress;
pub(crate) mod raw;
pub mod requests;
pub(crate) mod socket;
pub(crate) mod time;
pub(crate) mod wire;

pub use answers::Response;
pub use error::{Code, Error, Result};
pub use progress::{Progress, ProgressUpdate};
pub use raw::RawBytes;
pub use requests::Request;
