//! Copy-on-write memory: fork a gigabyte in microseconds, and write to both.
//!
//! The MMU does the work. An [`Image`] is sealed memory that nothing can change; a [`Region`] is a
//! private mapping of it, and the kernel copies the page that is written, and no other.
//!
//! ```
//! use tine_memory::Image;
//!
//! # fn main() -> tine_memory::Result<()> {
//! let dataset = Image::builder(1 << 20)?.fill(|bytes| bytes[7] = 42)?.seal()?;
//! let mut first = dataset.fork()?;
//! let mut second = first.fork()?;
//! first[7] = 1;
//! second[9] = 9;
//! assert_eq!((first[7], second[7], first[9]), (1, 42, 0));
//! second.reset()?;
//! assert_eq!((second[7], second[9]), (42, 0));
//! # Ok(())
//! # }
//! ```
//!
//! The crate stands alone. It knows nothing of stores, file formats or branches, and needs Linux
//! 6.8.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "tine-memory needs Linux 6.8 or later: it rests on system calls that only Linux has"
);

/// The guide. Its examples run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/memory.md")]
struct Guide;

mod cow_mapping;
mod error;
#[cfg(test)]
mod failed_calls;
mod file;
mod fork;
mod gates;
mod image;
mod incremental;
mod io;
mod layout;
mod merge;
mod page;
mod page_map;
mod persistent_region;
mod pod;
mod private_pages;
mod probe;
mod process;
mod region;
mod reset;
mod seal;
mod share;
mod shared_region;
mod sink;
mod snapshot;
mod sys;
mod usage;
mod warm;
mod window;
mod write_halt;

pub use error::{Error, Feature, Refusal, Result};
pub use fork::ForkMode;
pub use image::{Image, ImageBuilder};
pub use incremental::{Baseline, Saved};
pub use merge::{MergeStats, Merger};
pub use page::{HUGE, PAGE};
pub use page_map::{PageMap, PageState};
pub use persistent_region::{Committed, PersistentRegion};
pub use pod::{Arena, At, Pod, RegionSlice};
pub use probe::Probe;
pub use process::{KernelMerging, deny_executable_memory, kernel_merging, mappings_in_use};
pub use region::Region;
pub use shared_region::{Guard, Shard, SharedRegion};
pub use sink::{PageSink, PageSource};
pub use snapshot::Snapshot;
pub use usage::{Stats, Usage};
pub use window::CopyAhead;
