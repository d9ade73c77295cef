//! Watching a mapping for the first touch of each page.

use crate::error::Result;
use crate::layout::Layout;
use crate::page::{HUGE, PAGE};
use crate::sys::{self, Mapping, Watch};

/// Bytes of file memory whose watch ends in one call.
const UNWATCH_BYTES: usize = 32 * HUGE;

/// Watches a mapping of an image for the first touch of each page.
pub(crate) fn watch_for_touches(mapping: &Mapping, layout: &Layout) -> Result<()> {
    for segment in layout.segments() {
        let watch = if segment.backing.is_zero() { Watch::Missing } else { Watch::MissingOrMinor };
        let base = mapping.start();
        sys::watch(base + segment.pages.start * PAGE..base + segment.pages.end * PAGE, watch)?;
    }
    Ok(())
}

/// Ends the watch of a mapping of an image that starts at `base`.
///
/// The kernel goes through the pages of each range, and faults wait for it. So it is done piece by
/// piece.
pub(super) fn end_watch(base: usize, layout: &Layout) -> Result<()> {
    for segment in layout.segments() {
        let span = base + segment.pages.start * PAGE..base + segment.pages.end * PAGE;
        let piece = if segment.backing.is_zero() { span.len() } else { UNWATCH_BYTES };
        for start in span.clone().step_by(piece) {
            sys::unwatch(start..span.end.min(start + piece))?;
        }
    }
    Ok(())
}
