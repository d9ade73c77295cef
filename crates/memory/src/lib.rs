//! Copy-on-write memory: fork a gigabyte in microseconds, and write to both.
//!
//! The MMU does the work. An [`Image`] is sealed memory that nobody can change; a [`Region`] is a
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
//! The crate stands alone. It knows nothing of stores, file formats or branches, and needs Linux 6.8.

#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
pub use unsupported::{Error, Image, Region, Result};

#[cfg(target_os = "linux")]
mod linux {
    pub use crate::error::{Error, Feature, Refusal, Result};
    pub use crate::fork::ForkMode;
    pub use crate::image::{Image, ImageBuilder};
    pub use crate::kept::{Committed, Kept};
    pub use crate::live::{Guard, Live, Shard};
    pub use crate::merge::{MergeStats, Merger};
    pub use crate::page::{HUGE, PAGE};
    pub use crate::page_map::{PageMap, PageState};
    pub use crate::pod::{Arena, At, Pod, RegionSlice};
    pub use crate::probe::Probe;
    pub use crate::process::{
        KernelMerging, deny_executable_memory, kernel_merging, mappings_in_use,
    };
    pub use crate::region::Region;
    pub use crate::sink::{PageSink, PageSource};
    pub use crate::snapshot::{Baseline, Snapshot};
    pub use crate::usage::{Stats, Usage};
    pub use crate::window::CopyAhead;
}
#[cfg(target_os = "linux")]
pub use linux::*;

#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(target_os = "linux")]
mod image;
#[cfg(target_os = "linux")]
mod io;
#[cfg(target_os = "linux")]
mod kept;
#[cfg(target_os = "linux")]
mod layout;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod merge;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod page_map;
#[cfg(all(target_os = "linux", feature = "peers"))]
pub mod peers;
#[cfg(target_os = "linux")]
mod pod;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod region;
#[cfg(target_os = "linux")]
mod reset;
#[cfg(target_os = "linux")]
mod seal;
#[cfg(target_os = "linux")]
mod sink;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod space;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod usage;
#[cfg(target_os = "linux")]
mod window;
