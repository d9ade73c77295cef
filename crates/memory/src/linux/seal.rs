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
use crate::linux::page::{PAGE, is_zero, push_run};
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

/// Whether short runs may be copied into each fork, instead of taking mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Short {
    Copied,
    Mapped,
}

/// What a region holds, beside its image.
pub(crate) struct Changes {
    places: Vec<(Range<usize>, Place)>,
}

impl Changes {
    /// Whether the region holds what its image does.
    pub fn is_empty(&self) -> bool {
        self.places.iter().all(|(_, place)| *place == Place::Unchanged)
    }

    /// The pages that hold something else.
    pub fn runs(&self) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let changed = self.places.iter().filter(|(_, place)| *place != Place::Unchanged);
        changed.for_each(|(run, _)| push_run(&mut runs, run.clone()));
        runs
    }
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
            let runs = self.layer(&self.changes(&self.space.private_runs()?)?)?;
            let mut clean = self.imaged(runs, Short::Copied)?.fork()?;
            clean.len = self.len;
            clean.space.follow(&self.space);
            clean.warm = self.warm.wish();
            *self = clean;
        }
        self.origin = None;
        Ok(self.image().clone())
    }

    /// An image of runs, which are the region's content.
    pub(crate) fn imaged(&self, runs: Runs, short: Short) -> Result<Image> {
        let layout = match short {
            Short::Copied => runs.into_layout(),
            Short::Mapped => runs.into_segments(),
        };
        let image = Image::new(self.len, layout);
        if image.vmas() > SEGMENTS_MAX { image.flatten() } else { Ok(image) }
    }

    /// Stores changes in a sealed layer; gives the runs of the region's whole content.
    pub(crate) fn layer(&self, changes: &Changes) -> Result<Runs> {
        let count = |(run, place): &(Range<usize>, Place)| match place {
            Place::Layer => run.len(),
            _ => 0,
        };
        let pages = changes.places.iter().map(count).sum::<usize>();
        let layer = Memfd::new(pages.max(1) * PAGE)?;
        let mut at = 0;
        for (run, place) in &changes.places {
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
        for (run, place) in &changes.places {
            unchanged(&mut runs, end..run.start);
            end = run.end;
            match place {
                Place::Unchanged => unchanged(&mut runs, run.clone()),
                Place::Zero => runs.push(run.len(), Backing::Zero),
                Place::Layer => {
                    runs.push(run.len(), Backing::File { file: file.clone(), page });
                    page += run.len();
                }
            }
        }
        unchanged(&mut runs, end..old.pages());
        Ok(runs)
    }

    /// Runs of the region's own pages, split by what becomes of them. The region must be settled.
    pub(crate) fn changes(&self, own: &[Range<usize>]) -> Result<Changes> {
        let mut places: Vec<(Range<usize>, Place)> = Vec::new();
        let mut old = vec![0; CHUNK_PAGES * PAGE];
        let layout = self.image().layout();
        let chunks = own.iter().flat_map(|run| {
            let end = run.end;
            run.clone().step_by(CHUNK_PAGES).map(move |start| start..end.min(start + CHUNK_PAGES))
        });
        for chunk in chunks {
            let old = &mut old[..chunk.len() * PAGE];
            let over_zeros = layout.stored(chunk.clone()).next().is_none();
            if !over_zeros {
                layout.read_pages(chunk.start, old)?;
            }
            let new = &self.space.mapping.bytes()[chunk.start * PAGE..chunk.end * PAGE];
            for (page, (new, old)) in chunk.zip(new.chunks(PAGE).zip(old.chunks(PAGE))) {
                let place = match () {
                    () if over_zeros && is_zero(new) => Place::Unchanged,
                    () if over_zeros => Place::Layer,
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
        Ok(Changes { places })
    }
}
