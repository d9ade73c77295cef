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

/// The guide, whose examples are run.
#[cfg(all(doctest, target_os = "linux"))]
#[doc = include_str!("../../../docs/memory.md")]
struct Guide;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::*;

#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
pub use unsupported::{Error, Image, Region, Result};
