//! Sealing: what a region holds now, as an image.
//!
//! The pages written since the region's image go, packed, into one new sealed layer. Pages of zeros go
//! nowhere, and pages that equal the image's are dropped. The new image is the old one with those
//! runs over it.

use std::ops::Range;
use std::sync::Arc;

use crate::linux::error::Result;
use crate::linux::image::Image;
use crate::linux::layout::{Backing, Runs};
use crate::linux::page::{PAGE, is_zero};
use crate::linux::region::Region;
use crate::linux::sys::Memfd;

/// Mappings of an image beyond which it is copied into one piece.
const SEGMENTS_MAX: usize = 4096;

/// Pages compared at a time with what the image holds.
const CHUNK_PAGES: usize = 256;

/// Where a run of the region's pages went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Unchanged,
    Zero,
    Layer,
}

impl Region {
    /// Makes an image of what the region holds, which becomes the region's own image: the region is
    /// clean afterwards, and forks of it are O(1).
    ///
    /// Costs as much as what was written; the rest is shared with the image before.
    ///
    /// # Errors
    /// [`Error::Pinned`](crate::Error::Pinned) while I/O may reach pages past the page tables; those of the system calls
    /// that it takes. The region holds what it held.
    pub fn seal(&mut self) -> Result<Image> {
        self.require_unpinned()?;
        if self.written || self.space.window.is_some() {
            self.settle()?;
            let image = self.sealed()?;
            let mut clean = image.fork()?;
            clean.len = self.len;
            clean.space.follow(&self.space);
            clean.warm = self.warm.wish();
            *self = clean;
        }
        Ok(self.image().clone())
    }

    fn sealed(&self) -> Result<Image> {
        let places = self.places()?;
        let count = |(run, place): &(Range<usize>, Place)| match place {
            Place::Layer => run.len(),
            _ => 0,
        };
        let layer = Memfd::new(places.iter().map(count).sum::<usize>().max(1) * PAGE)?;
        let mut at = 0;
        for (run, place) in &places {
            if *place == Place::Layer {
                let bytes = &self.space.mapping.bytes()[run.start * PAGE..run.end * PAGE];
                layer.write_at(bytes, at * PAGE)?;
                at += run.len();
            }
        }
        let file = Arc::new(layer.seal()?);

        let old = self.image().layout();
        let (mut runs, mut end, mut page) = (Runs::new(), 0, 0);
        let unchanged = |runs: &mut Runs, pages| {
            for run in old.runs_in(pages) {
                runs.push(run.pages.len(), run.backing);
            }
        };
        for (run, place) in places {
            unchanged(&mut runs, end..run.start);
            end = run.end;
            match place {
                Place::Unchanged => unchanged(&mut runs, run),
                Place::Zero => runs.push(run.len(), Backing::Zero),
                Place::Layer => {
                    runs.push(run.len(), Backing::File { file: file.clone(), page });
                    page += run.len();
                }
            }
        }
        unchanged(&mut runs, end..old.pages());
        let image = Image::new(self.len, runs.into_layout());
        if image.vmas() > SEGMENTS_MAX { image.flatten() } else { Ok(image) }
    }

    /// The runs of the region's own pages, split by what becomes of them.
    fn places(&self) -> Result<Vec<(Range<usize>, Place)>> {
        let mut places: Vec<(Range<usize>, Place)> = Vec::new();
        let mut old = vec![0; CHUNK_PAGES * PAGE];
        let runs = self.space.private_runs()?;
        let chunks = runs.into_iter().flat_map(|run| {
            let end = run.end;
            run.step_by(CHUNK_PAGES).map(move |start| start..end.min(start + CHUNK_PAGES))
        });
        for chunk in chunks {
            let old = &mut old[..chunk.len() * PAGE];
            self.image().layout().read_pages(chunk.start, old)?;
            let new = &self.space.mapping.bytes()[chunk.start * PAGE..chunk.end * PAGE];
            for (page, (new, old)) in chunk.zip(new.chunks(PAGE).zip(old.chunks(PAGE))) {
                let place = match () {
                    () if new == old => Place::Unchanged,
                    () if is_zero(new) => Place::Zero,
                    () => Place::Layer,
                };
                match places.last_mut() {
                    Some((last, known)) if last.end == page && *known == place => last.end += 1,
                    _ => places.push((page..page + 1, place)),
                }
            }
        }
        Ok(places)
    }
}
