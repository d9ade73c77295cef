//! Sealing: making an image of what a region holds now.
//!
//! The pages written since the region's image are packed into one new sealed layer. Pages of zeros
//! are stored nowhere, and pages that equal the image's are left out. The new image is the old one
//! with those runs over it.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::image::Image;
use crate::layout::{Backing, LayoutBuilder};
use crate::page::{PAGE, is_zero, push_run};
use crate::region::Region;
use crate::sys::Memfd;

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

/// What becomes of short runs: copied into each fork, or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShortRuns {
    Copied,
    Mapped,
}

/// The private pages of a region, compared with its image.
pub(crate) struct ChangedPages {
    places: Vec<(Range<usize>, Place)>,
}

impl ChangedPages {
    /// Returns `true` if the region holds what its image does.
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
    /// Makes an image of what the region holds, which becomes the region's image. The region is
    /// clean afterwards, and forks of it are O(1).
    ///
    /// The cost is proportional to what was written. The rest is shared with the image before.
    ///
    /// # Errors
    /// [`Error::Pinned`](crate::Error::Pinned) while I/O may reach pages past the page tables, and
    /// the errors of the system calls that it makes. The region holds what it held.
    pub fn seal(&mut self) -> Result<Image> {
        self.require_unpinned()?;
        if self.written || self.cow.window.is_some() {
            self.settle()?;
            let runs = self.layer(&self.changes(&self.cow.private_runs()?)?)?;
            let mut clean = self.imaged(runs, ShortRuns::Copied)?.fork()?;
            clean.len = self.len;
            clean.cow.inherit(&self.cow);
            clean.warm = self.warm.same_policy();
            *self = clean;
        }
        self.origin = None;
        Ok(self.image().clone())
    }

    /// Makes an image of the runs of the region's content.
    pub(crate) fn imaged(&self, runs: LayoutBuilder, short: ShortRuns) -> Result<Image> {
        let layout = match short {
            ShortRuns::Copied => runs.into_layout(),
            ShortRuns::Mapped => runs.into_segments(),
        };
        let image = Image::new(self.len, layout);
        if image.vmas() > SEGMENTS_MAX { image.flatten() } else { Ok(image) }
    }

    /// Stores changes in a sealed layer. Returns the runs of the region's whole content.
    pub(crate) fn layer(&self, changes: &ChangedPages) -> Result<LayoutBuilder> {
        let count = |(run, place): &(Range<usize>, Place)| match place {
            Place::Layer => run.len(),
            _ => 0,
        };
        let pages = changes.places.iter().map(count).sum::<usize>();
        let layer = Memfd::new(pages.max(1) * PAGE)?;
        let mut at = 0;
        for (run, place) in &changes.places {
            if *place == Place::Layer {
                let bytes = &self.cow.mapping.bytes()[run.start * PAGE..run.end * PAGE];
                layer.write_at(bytes, at * PAGE)?;
                at += run.len();
            }
        }
        let file = Arc::new(layer.seal()?);

        let old = self.image().layout();
        let (mut runs, mut end, mut page) = (LayoutBuilder::new(), 0, 0);
        let unchanged = |runs: &mut LayoutBuilder, pages| {
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

    /// Compares private pages with the image, and splits their runs by what becomes of them. The
    /// region must be settled.
    pub(crate) fn changes(&self, private: &[Range<usize>]) -> Result<ChangedPages> {
        let mut places: Vec<(Range<usize>, Place)> = Vec::new();
        let mut old = vec![0; CHUNK_PAGES * PAGE];
        let layout = self.image().layout();
        let chunks = private.iter().flat_map(|run| {
            let end = run.end;
            run.clone().step_by(CHUNK_PAGES).map(move |start| start..end.min(start + CHUNK_PAGES))
        });
        for chunk in chunks {
            let old = &mut old[..chunk.len() * PAGE];
            let over_zeros = layout.stored(chunk.clone()).next().is_none();
            if !over_zeros {
                layout.read_pages(chunk.start, old)?;
            }
            let new = &self.cow.mapping.bytes()[chunk.start * PAGE..chunk.end * PAGE];
            for (page, (new, old)) in chunk.zip(new.chunks(PAGE).zip(old.chunks(PAGE))) {
                let unchanged = if over_zeros { is_zero(new) } else { new == old };
                let place = if unchanged {
                    Place::Unchanged
                } else if !over_zeros && is_zero(new) {
                    Place::Zero
                } else {
                    Place::Layer
                };
                match places.last_mut() {
                    Some((last, known)) if last.end == page && *known == place => last.end += 1,
                    _ => places.push((page..page + 1, place)),
                }
            }
        }
        Ok(ChangedPages { places })
    }
}
