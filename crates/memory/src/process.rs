//! Switches and facts of the whole process.

use crate::error::Result;
use crate::sys;

/// The kernel's own same-page merging (KSM), as it exposes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelMerging {
    /// `true` if it runs.
    pub running: bool,
    /// `true` if it merges pages of different memory nodes. `None` if the kernel does not say.
    pub merge_across_nodes: Option<bool>,
}

/// The state of the kernel's own same-page merging. `None` if the kernel was built without it.
///
/// It merges private pages of regions that ask for it
/// ([`Region::allow_kernel_merging`](crate::Region::allow_kernel_merging)), never pages of images.
pub fn kernel_merging() -> Option<KernelMerging> {
    let (running, merge_across_nodes) = sys::kernel_merging()?;
    Some(KernelMerging { running, merge_across_nodes })
}

/// Forbids for good that any memory of this process or its children becomes executable
/// (`PR_SET_MDWE`). Regions never are, with or without this.
///
/// # Errors
/// [`Unsupported`](crate::Error::Unsupported) if the kernel lacks it.
pub fn deny_executable_memory() -> Result<()> {
    sys::deny_executable()
}

/// How many of the mappings that the kernel allows a process (`vm.max_map_count`) are taken by its
/// regions, images and snapshots.
pub fn mappings_in_use() -> usize {
    sys::vmas_in_use()
}
