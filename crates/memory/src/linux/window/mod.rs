//! Windows: the time during which pages of a region are still elsewhere.
//!
//! To fork a written region, or to take a snapshot of live memory, its private pages are moved away by
//! their page tables, which takes microseconds whatever their number. They stay, unchanged, in a
//! [`Frozen`] mapping. The region is then empty, and *watched*: the first touch of a page raises
//! SIGBUS in the thread that touches it, and the handler fills the page, from the frozen one or from
//! the image. [`Window::settle`] fills the rest and ends the watching.
//!
//! Frozen mappings form a chain, newest first: a region that is forked again while its window is open
//! has pages of its own over those that it has not touched since.

mod copier;
mod frozen;
mod policy;
mod registry;
mod resolve;
mod settle;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::linux::error::Result;
use crate::linux::image::Image;
use crate::linux::page::PAGE;
use crate::linux::probe;
use crate::linux::sys::{self, Mapping, Watch};

pub(crate) use frozen::{DEPTH_MAX, Frozen};
use policy::Clusters;
pub use policy::CopyAhead;
pub(crate) use resolve::fill_missing;
pub(crate) use settle::Taking;

/// A mapping that is watched while its pages are elsewhere.
#[derive(Debug)]
pub(crate) struct Window {
    addresses: Range<usize>,
    image: Image,
    frozen: Arc<Frozen>,
    clusters: Clusters,
    pub counters: Counters,
}

/// What happened in a window.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub faults: AtomicU64,
    pub copied: AtomicU64,
    pub copied_ahead: AtomicU64,
    pub settled: AtomicU64,
}

impl Window {
    /// Fails unless windows can be had; to be asked before pages are moved away.
    pub fn require() -> Result<()> {
        probe::require_windows()?;
        sys::install_fault_handler(resolve::on_fault)
    }

    /// Opens a window on a mapping of `image` that has no pages of its own: what it holds from now on
    /// is what `frozen` has, over the image.
    pub fn open(
        mapping: &Mapping,
        image: Image,
        frozen: Arc<Frozen>,
        policy: CopyAhead,
    ) -> Result<Arc<Self>> {
        let addresses = mapping.addresses();
        let clusters = Clusters::new(addresses.len() / PAGE, policy);
        let counters = Counters::default();
        let window = Arc::new(Self { addresses, image, frozen, clusters, counters });
        registry::set(window.addresses.clone(), Some(window.clone()))?;
        if let Err(error) = window.watch().and_then(|()| mapping.keep_from_children(true)) {
            // Nobody has touched the mapping yet: it is as it was before.
            let _ = window.unwatch();
            registry::remove(&window.addresses);
            return Err(error);
        }
        copier::wake_up();
        Ok(window)
    }

    /// What the window's pages are filled from.
    pub fn frozen(&self) -> &Arc<Frozen> {
        &self.frozen
    }

    /// Ends the window: every page that is not there comes from the image from now on. The caller has
    /// settled what is needed. On an error the window is open as before.
    pub fn close(self: &Arc<Self>, mapping: &Mapping) -> Result<()> {
        // Once this returns, no handler is filling a page of the window. Faults from now on find the
        // entry without a window, and try again until the watching has ended.
        registry::set(self.addresses.clone(), None)?;
        let Err(error) = mapping.keep_from_children(false).and_then(|()| self.unwatch()) else {
            return Ok(());
        };
        let again = registry::set(self.addresses.clone(), Some(self.clone()))
            .and_then(|()| self.watch())
            .and_then(|()| mapping.keep_from_children(true));
        match again {
            Ok(()) => Err(error),
            Err(again) => sys::give_up("open a window again that could not be closed", &again),
        }
    }

    fn unwatch(&self) -> Result<()> {
        let segments = self.image.layout().segments();
        segments.iter().try_for_each(|segment| sys::unwatch(self.span(&segment.pages)))
    }

    fn watch(&self) -> Result<()> {
        for segment in self.image.layout().segments() {
            let watch =
                if segment.backing.is_zero() { Watch::Missing } else { Watch::MissingOrMinor };
            sys::watch(self.span(&segment.pages), watch)?;
        }
        Ok(())
    }

    /// The addresses of pages.
    fn span(&self, pages: &Range<usize>) -> Range<usize> {
        self.addresses.start + pages.start * PAGE..self.addresses.start + pages.end * PAGE
    }
}

/// Forgets a mapping that is about to go, or to be moved.
pub(crate) fn forget(mapping: &Mapping) {
    registry::remove(&mapping.addresses());
}

impl Counters {
    fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Ordering::Relaxed);
    }
}
