//! Sharing what a region holds without moving it: it stays at its addresses, which show the same
//! bytes throughout.
//!
//! What was written is copied into a sealed layer, which is then mapped over the written pages.
//! Code that reads by address meanwhile, such as NumPy's, sees no difference, and code that writes
//! waits.

use std::ops::Range;

use crate::error::Result;
use crate::image::Image;
use crate::layout::Layout;
use crate::page::{HUGE, difference};
use crate::region::Region;
use crate::seal::ShortRuns;
use crate::sys;
use crate::write_halt::WriteHalt;

/// Shorter memory is not worth huge pages.
const HUGE_BYTES_MIN: usize = 2 * HUGE;

impl Region {
    /// Makes an image of what the region holds, and shares its pages from then on. Forks of the
    /// image are O(1), and a second call with nothing written in between does nothing. The region
    /// stays at its addresses, and a reset of it goes where it would have gone.
    ///
    /// What was written is found in the page tables, so writes through addresses that were taken at
    /// any time count. A thread that meanwhile writes to pages that were written before waits until
    /// they can be written again: a handler of SIGSEGV makes it wait, so the signal must not be
    /// blocked. A system call that would write there fails with EFAULT. What is written elsewhere
    /// meanwhile is in the region, and not in the image.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn share(&mut self) -> Result<Image> {
        self.require_unpinned()?;
        self.settle()?;
        let mut changes = self.changes(&self.cow.private_runs()?)?;
        if changes.is_empty() {
            self.written = false;
            return Ok(self.image().clone());
        }
        let mut halt = WriteHalt::begin(&self.cow.mapping)?;
        loop {
            let more = difference(&changes.runs(), halt.runs());
            if more.is_empty() {
                break;
            }
            halt.extend(more, self.image().vmas())?;
            changes = self.changes(&self.cow.private_runs()?)?;
        }
        self.cow.untrack()?;
        self.warm.restart();
        let old = self.image().clone();
        let runs = self.layer(&changes)?;
        let mut image = self.imaged(runs.clone(), ShortRuns::Copied)?;
        if !patches_are_private(old.layout(), image.layout(), &self.cow.private_runs()?) {
            image = self.imaged(runs, ShortRuns::Mapped)?;
        }
        if image.vmas() == 1 && image.len() >= HUGE_BYTES_MIN {
            // Memory that was filled completely is read faster through huge pages, as NumPy's own
            // memory is. A failure does no harm.
            let _ = image.collapse();
        }
        self.cow.mapping.reserve(image.vmas())?;
        self.origin.get_or_insert(old);
        self.insist(|region| region.show(&image))?;
        self.written = false;
        Ok(image)
    }

    /// Seals like [`seal`](Self::seal), and leaves the region at its addresses like
    /// [`share`](Self::share).
    pub fn seal_in_place(&mut self) -> Result<Image> {
        let image = self.share()?;
        self.origin = None;
        Ok(image)
    }

    /// Maps an image in place of what the region holds.
    pub(crate) fn return_to(&mut self, image: &Image) -> Result<()> {
        self.cow.mapping.reserve(image.vmas())?;
        self.insist(|region| {
            for segment in image.layout().segments() {
                segment.backing.map_over(&mut region.cow.mapping, segment.pages.clone())?;
            }
            image.layout().patch(&mut region.cow.mapping)?;
            region.cow.image = image.clone();
            Ok(())
        })
    }

    /// Maps an image of the same content over the pages that it stores elsewhere than the present
    /// one.
    fn show(&mut self, image: &Image) -> Result<()> {
        let old = self.image().clone();
        for segment in image.layout().segments() {
            for part in old.layout().segments_in(segment.pages.clone()) {
                let backing = segment.backing.skip(part.pages.start - segment.pages.start);
                if !backing.is_same(&part.backing) {
                    backing.map_over(&mut self.cow.mapping, part.pages)?;
                }
            }
        }
        self.cow.image = image.clone();
        Ok(())
    }

    /// Makes a change that must not remain half done. Tries twice, and then ends the process.
    fn insist(&mut self, change: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        change(self)
            .or_else(|_| change(self))
            .or_else(|error| sys::abort_process("map what a region holds", &error))
    }
}

/// Returns `true` if each page that the new image has as a patch is private to the region already,
/// and lies over the same pages as before.
fn patches_are_private(old: &Layout, new: &Layout, private: &[Range<usize>]) -> bool {
    new.patches().iter().all(|patch| {
        let below = new.segments_in(patch.pages.clone());
        let same = below.iter().all(|segment| {
            old.segments_in(segment.pages.clone()).iter().all(|part| {
                let at = part.pages.start - segment.pages.start;
                segment.backing.skip(at).is_same(&part.backing)
            })
        });
        same && difference(std::slice::from_ref(&patch.pages), private).is_empty()
    })
}
