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
use crate::linux::layout::Layout;
use crate::linux::page::{HUGE, PAGE};
use crate::linux::probe;
use crate::linux::sys::{self, Mapping, Watch};

pub(crate) use frozen::{DEPTH_MAX, Frozen};
use policy::Clusters;
pub use policy::CopyAhead;
pub(crate) use resolve::fill_missing;
pub(crate) use settle::Taking;

/// Bytes of file memory whose watching ends at a time.
const UNWATCH_BYTES: usize = 32 * HUGE;

/// A mapping that is watched while its pages are elsewhere.
#[derive(Debug)]
pub(crate) struct Window {
    addresses: Range<usize>,
    image: Image,
    frozen: Arc<Frozen>,
    clusters: Clusters,
    pub counters: Counters,
}

/// Which pages a mapping has when a window opens on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// None. Those that are there the kernel has put there.
    None,
    /// What was written since the window was open before.
    Own,
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

    /// Opens a window on a mapping of `image`: what it holds from now on is what `frozen` has, over the image, but
    /// for the pages of its own.
    pub fn open(
        mapping: &Mapping,
        image: Image,
        frozen: Arc<Frozen>,
        policy: CopyAhead,
        pages: Pages,
    ) -> Result<Arc<Self>> {
        let addresses = mapping.addresses();
        let clusters = Clusters::new(addresses.len() / PAGE, policy);
        let counters = Counters::default();
        let window = Arc::new(Self { addresses, image, frozen, clusters, counters });
        registry::set(window.addresses.clone(), Some(window.clone()))?;
        let watched = window.watch(mapping).and_then(|()| {
            if pages == Pages::None {
                // Locked memory is filled when it is mapped, with what lies below the window. From here on nothing can.
                // SAFETY: the caller touches the mapping through the window alone.
                unsafe { mapping.release(0..mapping.len()) }?;
            }
            mapping.keep_from_children(true)
        });
        if let Err(error) = watched {
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
            .and_then(|()| self.watch(mapping))
            .and_then(|()| mapping.keep_from_children(true));
        match again {
            Ok(()) => Err(error),
            Err(again) => sys::give_up("open a window again that could not be closed", &again),
        }
    }

    /// The kernel goes through the pages of each range meanwhile, and keeps faults waiting: a piece at a time.
    fn unwatch(&self) -> Result<()> {
        for segment in self.image.layout().segments() {
            let span = self.span(&segment.pages);
            let piece = if segment.backing.is_zero() { span.len() } else { UNWATCH_BYTES };
            for start in span.clone().step_by(piece) {
                sys::unwatch(start..span.end.min(start + piece))?;
            }
        }
        Ok(())
    }

    fn watch(&self, mapping: &Mapping) -> Result<()> {
        watch_for_touches(mapping, self.image.layout())
    }

    /// The addresses of pages.
    fn span(&self, pages: &Range<usize>) -> Range<usize> {
        self.addresses.start + pages.start * PAGE..self.addresses.start + pages.end * PAGE
    }
}

/// Watches a mapping of an image for the first touch of each page.
pub(crate) fn watch_for_touches(mapping: &Mapping, layout: &Layout) -> Result<()> {
    for segment in layout.segments() {
        let watch = if segment.backing.is_zero() { Watch::Missing } else { Watch::MissingOrMinor };
        let base = mapping.start();
        sys::watch(base + segment.pages.start * PAGE..base + segment.pages.end * PAGE, watch)?;
    }
    Ok(())
}

/// Takes note of a mapping, so that [`knows`] tells its addresses from others until it is forgotten.
pub(crate) fn enter(mapping: &Mapping) -> Result<()> {
    match knows(mapping.start()) {
        true => Ok(()),
        false => registry::set(mapping.addresses(), None),
    }
}

/// Whether an address belongs to a mapping that had a window, or was entered. Safe in a signal handler.
pub(crate) fn knows(address: usize) -> bool {
    registry::with(address, |found| !matches!(found, registry::Found::Nothing))
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
