//! The parameters of a copy.

use std::path::Path;

use tine_store::{Branch, Store};

use super::throttle::Throttle;
use crate::protocol::Progress;

/// One copy between a branch and a directory of the host.
#[derive(Clone, Copy)]
pub struct CopyJob<'a> {
    pub store: &'a Store,
    /// The branch that is filled, or read from.
    pub branch: &'a Branch,
    /// Where the directory is, for messages.
    pub path: &'a Path,
    pub throttle: Throttle<'a>,
    pub progress: &'a Progress,
}
