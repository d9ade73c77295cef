//! Branches: named, writable, isolated versions.

mod catalog;
mod handle;
mod info;
mod inner;
mod ops;
mod overlay;

pub(crate) use catalog::{Catalog, Frozen};
pub use handle::Branch;
pub use info::{BranchInfo, ForkOptions};
pub(crate) use inner::BranchInner;
pub(crate) use ops::ResetTarget;
pub use ops::check_branch_name;
pub(crate) use ops::is_name;
