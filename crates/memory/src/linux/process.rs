//! Switches and facts of the whole process.

use crate::linux::error::Result;
use crate::linux::sys;

/// The kernel's own same-page merging (KSM), as it exposes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelMerging {
    /// Whether it runs.
    pub running: bool,
    /// Whether it merges pages of different memory nodes; unknown where the kernel does not say.
    pub merge_across_nodes: Option<bool>,
}

/// The state of the kernel's own same-page merging; `None` where the kernel was built without it.
///
/// It merges private pages of regions that ask for it
/// ([`Region::allow_kernel_merging`](crate::Region::allow_kernel_merging)), never pages of images.
pub fn kernel_merging() -> Option<KernelMerging> {
    let (running, merge_across_nodes) = sys::kernel_merging()?;
    Some(KernelMerging { running, merge_across_nodes })
}

/// From now on the kernel refuses to make any memory of this process executable (`PR_SET_MDWE`); for
/// good, and for its children too. Regions never are, with or without.
///
/// # Errors
/// [`Unsupported`](crate::Error::Unsupported) where the kernel lacks it.
pub fn deny_executable_memory() -> Result<()> {
    sys::deny_executable()
}

/// Mappings that regions, images and snapshots of this process take, of those that the kernel allows
/// (`vm.max_map_count`).
pub fn mappings_in_use() -> usize {
    sys::vmas_in_use()
}
