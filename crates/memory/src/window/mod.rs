//! Windows: the time during which pages of a region are still elsewhere.
//!
//! To fork a written region, or to take a snapshot of a shared one, its private pages are moved
//! away by their page tables, which takes microseconds whatever their number. They stay, unchanged,
//! in a [`Frozen`] mapping. The region is then empty, and *watched*: the first touch of a page
//! raises SIGBUS in the thread that touches it, and the handler fills the page, from the frozen one
//! or from the image. [`Window::settle`] fills the rest and ends the watch.
//!
//! Frozen mappings form a chain, newest first: a region that is forked again while its window is
//! open has private pages over those that it has not touched since.

mod copier;
mod fill;
mod frozen;
mod open;
mod policy;
mod registry;
mod resolve;
mod settle;
mod state;
mod watch;

pub(crate) use fill::fill_missing;
pub(crate) use frozen::{DEPTH_MAX, Frozen};
pub(crate) use open::Pages;
pub use policy::CopyAhead;
pub(crate) use registry::{enter, forget, knows};
pub(crate) use settle::Transfer;
pub(crate) use state::Window;
pub(crate) use watch::watch_for_touches;
