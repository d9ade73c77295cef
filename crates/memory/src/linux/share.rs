//! Sharing what a region holds without moving it: its addresses stay, and show the same bytes throughout.
//!
//! What was written is copied into a sealed layer, which is then mapped over the written pages. Code that reads
//! through addresses of its own meanwhile, such as NumPy's, sees no difference, and code that writes waits.

use std::ops::Range;

use crate::linux::error::Result;
use crate::linux::halt::Halt;
use crate::linux::image::Image;
use crate::linux::layout::Layout;
use crate::linux::page::{HUGE, difference};
use crate::linux::region::Region;
use crate::linux::seal::Short;
use crate::linux::sys;

/// The least that is worth huge pages.
const HUGE_BYTES_MIN: usize = 2 * HUGE;

impl Region {
    /// Makes an image of what the region holds, and shares its pages from then on: forks of the image are O(1), and a
    /// second call with nothing written in between finds nothing to do. The region stays where it is, and a reset of
    /// it goes where it would have gone.
    ///
    /// What was written is found in the page tables, so writes through addresses that were taken at any time count.
    /// Whoever writes meanwhile to what was written before waits until the region can be written again (a handler of
    /// SIGSEGV, which must not be blocked, sees to it); a system call that would write there fails with EFAULT. What is
    /// written elsewhere meanwhile is in the region, and not in the image.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn share(&mut self) -> Result<Image> {
        self.require_unpinned()?;
        self.settle()?;
        let mut changes = self.changes(&self.space.private_runs()?)?;
        if changes.is_empty() {
            self.written = false;
            return Ok(self.image().clone());
        }
        let mut halt = Halt::begin(&self.space.mapping)?;
        loop {
            let more = difference(&changes.runs(), halt.runs());
            if more.is_empty() {
                break;
            }
            halt.extend(more, self.image().vmas())?;
            changes = self.changes(&self.space.private_runs()?)?;
        }
        self.space.untrack()?;
        self.warm.restart();
        let old = self.image().clone();
        let runs = self.layer(&changes)?;
        let mut image = self.imaged(runs.clone(), Short::Copied)?;
        if !patches_lie_ready(old.layout(), image.layout(), &self.space.private_runs()?) {
            image = self.imaged(runs, Short::Mapped)?;
        }
        if image.vmas() == 1 && image.len() >= HUGE_BYTES_MIN {
            // Memory that was filled whole is read through huge pages, as NumPy's own is. It is as good without.
            let _ = image.collapse();
        }
        self.space.mapping.reserve(image.vmas())?;
        self.origin.get_or_insert(old);
        self.insist(|region| region.show(&image))?;
        self.written = false;
        Ok(image)
    }

    /// As [`seal`](Self::seal), with the region staying where it is, as for [`share`](Self::share).
    pub fn seal_in_place(&mut self) -> Result<Image> {
        let image = self.share()?;
        self.origin = None;
        Ok(image)
    }

    /// Goes back to an image, in place.
    pub(crate) fn return_to(&mut self, image: &Image) -> Result<()> {
        self.space.mapping.reserve(image.vmas())?;
        self.insist(|region| {
            for segment in image.layout().segments() {
                region.space.mapping.map_segment(segment.pages.clone(), &segment.backing)?;
            }
            image.layout().patch(&mut region.space.mapping)?;
            region.space.image = image.clone();
            Ok(())
        })
    }

    /// Maps an image of the same content over the pages that it has otherwise than the present one.
    fn show(&mut self, image: &Image) -> Result<()> {
        let old = self.image().clone();
        for segment in image.layout().segments() {
            for part in old.layout().segments_in(segment.pages.clone()) {
                let backing = segment.backing.skip(part.pages.start - segment.pages.start);
                if !backing.is_same(&part.backing) {
                    self.space.mapping.map_segment(part.pages, &backing)?;
                }
            }
        }
        self.space.image = image.clone();
        Ok(())
    }

    /// Does what must not be left half done.
    fn insist(&mut self, change: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        change(self)
            .or_else(|_| change(self))
            .or_else(|error| sys::give_up("map what a region holds", &error))
    }
}

/// Whether each page that the new image has as a patch is the region's own already, over the same pages as before.
fn patches_lie_ready(old: &Layout, new: &Layout, own: &[Range<usize>]) -> bool {
    new.patches().iter().all(|patch| {
        let below = new.segments_in(patch.pages.clone());
        let same = below.iter().all(|segment| {
            old.segments_in(segment.pages.clone()).iter().all(|part| {
                let at = part.pages.start - segment.pages.start;
                segment.backing.skip(at).is_same(&part.backing)
            })
        });
        same && difference(std::slice::from_ref(&patch.pages), own).is_empty()
    })
}
