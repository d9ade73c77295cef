//! Branches: named, writable, isolated versions.

mod catalog;
mod core;
mod handle;
mod info;
mod ops;
mod overlay;

pub(crate) use self::core::Core;
pub(crate) use catalog::{Catalog, Frozen};
pub use handle::Branch;
pub use info::{BranchInfo, ForkOptions};
