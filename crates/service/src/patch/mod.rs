//! Changes as a patch that `git apply` and `patch -p1` take.
//!
//! A file of text is told line by line, in the unified format with git's extended headers; of any
//! other, and of one that is too large to be compared by lines, that it differs, with the sizes and
//! digests of both sides. `git apply` then refuses the patch, and `patch` leaves that file alone.

mod lines;
mod quoted;
mod section;

pub use section::{Section, Untold, section};
