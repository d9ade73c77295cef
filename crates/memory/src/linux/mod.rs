//! Everything here rests on calls that Linux alone has.

mod changes;
mod error;
mod file;
mod fork;
mod halt;
mod image;
mod io;
mod kept;
mod layout;
mod live;
mod merge;
#[cfg(test)]
mod mishaps;
mod own;
mod page;
mod page_map;
#[cfg(feature = "peers")]
pub mod peers;
mod pod;
mod probe;
mod process;
mod region;
mod reset;
mod seal;
mod share;
mod sink;
mod snapshot;
mod space;
mod sys;
mod usage;
mod window;

pub use changes::{Baseline, Saved};
pub use error::{Error, Feature, Refusal, Result};
pub use fork::ForkMode;
pub use image::{Image, ImageBuilder};
pub use kept::{Committed, Kept};
pub use live::{Guard, Live, Shard};
pub use merge::{MergeStats, Merger};
pub use page::{HUGE, PAGE};
pub use page_map::{PageMap, PageState};
pub use pod::{Arena, At, Pod, RegionSlice};
pub use probe::Probe;
pub use process::{KernelMerging, deny_executable_memory, kernel_merging, mappings_in_use};
pub use region::Region;
pub use sink::{PageSink, PageSource};
pub use snapshot::Snapshot;
pub use usage::{Stats, Usage};
pub use window::CopyAhead;
