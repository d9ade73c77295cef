//! The trait of requests.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A request. Paths in it are for messages: a directory travels with it as an open descriptor, so
/// that it is the same one in whatever mount namespace the holder lives.
pub trait Ask {
    /// What is answered. Where a command shows it, its fields are the JSON contract.
    type Answer: Serialize + DeserializeOwned;

    /// Whether it changes nothing of the store. A fork that an export reads from may be made in
    /// memory.
    const ONLY_READS: bool = false;

    /// Whether it leaves space to be freed.
    const FREES: bool = false;

    /// Whether the holder reports how far it is, and stops on request.
    const TAKES_LONG: bool = false;
}
