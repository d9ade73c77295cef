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
//! The crate stands alone. It knows nothing of stores, files formats or branches, and needs Linux 6.8.

#![cfg_attr(target_os = "linux", deny(unsafe_op_in_unsafe_fn))]

mod error;
mod fork;
mod image;
mod io;
mod layout;
mod live;
mod page;
mod page_map;
mod probe;
mod region;
mod reset;
mod seal;
mod sink;
mod snapshot;
mod space;
mod sys;
mod usage;
mod window;

pub use error::{Error, Feature, Refusal, Result};
pub use fork::ForkMode;
pub use image::{Image, ImageBuilder};
pub use live::{Guard, Live, Shard};
pub use page::{HUGE, PAGE};
pub use page_map::{PageMap, PageState};
pub use probe::Probe;
pub use region::Region;
pub use sink::{PageSink, PageSource};
pub use snapshot::{Baseline, Snapshot};
pub use usage::{Stats, Usage};
pub use window::CopyAhead;
