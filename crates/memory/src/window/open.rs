//! Opening and closing windows.

use std::sync::Arc;

use super::frozen::Frozen;
use super::policy::{Clusters, CopyAhead};
use super::state::{Counters, Window};
use super::watch::{end_watch, watch_for_touches};
use super::{copier, registry, resolve};
use crate::error::Result;
use crate::image::Image;
use crate::page::PAGE;
use crate::probe;
use crate::sys::{self, Mapping};

/// Which pages a mapping has when a window opens on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// None. If there are any, the kernel has put them there.
    None,
    /// What was written since the window was open before.
    Own,
}

impl Window {
    /// Fails unless windows are possible. Called before pages are moved away.
    pub fn require() -> Result<()> {
        probe::require_windows()?;
        sys::install_fault_handler(resolve::on_fault)
    }

    /// Opens a window on a mapping of `image`. From now on the mapping holds what `frozen` has,
    /// over the image, and under the mapping's private pages.
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
        let watched = watch_for_touches(mapping, window.image.layout()).and_then(|()| {
            if pages == Pages::None {
                // Locked memory was filled when it was mapped, with what lies below the window.
                // From here on it cannot be.
                // SAFETY: the caller touches the mapping through the window alone.
                unsafe { mapping.release(0..mapping.len()) }?;
            }
            mapping.exclude_from_children(true)
        });
        if let Err(error) = watched {
            // Nothing has touched the mapping yet: it is as it was before.
            let _ = end_watch(window.addresses.start, window.image.layout());
            registry::remove(&window.addresses);
            return Err(error);
        }
        copier::wake_up();
        Ok(window)
    }

    /// Ends the window. Pages that are missing come from the image from now on: the caller has
    /// settled what is needed. On an error the window is open as before.
    pub fn close(self: &Arc<Self>, mapping: &Mapping) -> Result<()> {
        // Once this returns, no handler is filling a page of the window. Faults from now on find
        // the entry without a window, and are repeated until the watch has ended.
        registry::set(self.addresses.clone(), None)?;
        let ended = mapping
            .exclude_from_children(false)
            .and_then(|()| end_watch(self.addresses.start, self.image.layout()));
        let Err(error) = ended else { return Ok(()) };
        let again = registry::set(self.addresses.clone(), Some(self.clone()))
            .and_then(|()| watch_for_touches(mapping, self.image.layout()))
            .and_then(|()| mapping.exclude_from_children(true));
        match again {
            Ok(()) => Err(error),
            Err(again) => {
                sys::abort_process("open a window again that could not be closed", &again)
            }
        }
    }
}
