//! Regions: writable memory that begins as an image.
//!
//! A region is a private mapping. Reading shows the image's pages, shared with every other region
//! of it. The first write to a page makes the kernel copy it. Forks lie at other addresses, so
//! refer to places in a region by offset, not by pointer.

use std::ops::{Deref, DerefMut, Range};

use crate::cow_mapping::CowMapping;
use crate::error::{Error, Result};
use crate::image::{Image, check_len};
use crate::page::{HUGE, PAGE, pages_of};
use crate::page_map::PageMap;
use crate::sys;
use crate::usage::{Stats, Usage};
use crate::warm::Warm;
use crate::window::CopyAhead;

/// Writable memory with an image below it. Dereferences to its bytes.
///
/// A region notices writes by the mutable borrows of its bytes. If you write through addresses that
/// you took before a fork, a reset or a seal, as I/O by address does, take them again
/// (`as_mut_ptr`) before the next write. While a buffer in the region is registered with io_uring,
/// every page counts as written, and what would move pages away from it fails with
/// [`Error::Pinned`].
#[derive(Debug)]
pub struct Region {
    pub(crate) cow: CowMapping,
    pub(crate) len: usize,
    /// Set by a mutable borrow since the content was last the image's, or the window's.
    pub(crate) written: bool,
    /// Set once the addresses may be known, and so may be registered for I/O.
    pub(crate) exposed: bool,
    pub(crate) warm: Warm,
    /// What a reset brings back, if that is not the image below.
    pub(crate) origin: Option<Image>,
}

impl Image {
    /// Makes a writable copy, in O(1). Pages are copied when they are written.
    ///
    /// The cost grows only with the pieces that the image is made of: each takes a mapping.
    pub fn fork(&self) -> Result<Region> {
        Region::of_image(self.clone())
    }
}

impl Region {
    /// Makes a region of `len` bytes of zeros. Pages take memory when they are written, so a
    /// terabyte costs nothing until then.
    ///
    /// # Errors
    /// [`Error::Reserve`] if the system refuses the addresses.
    pub fn zeroed(len: usize) -> Result<Self> {
        Image::zeroed(len)?.fork()
    }

    fn of_image(image: Image) -> Result<Self> {
        let len = image.len();
        let (written, exposed, warm) = (false, false, Warm::default());
        Ok(Self { cow: CowMapping::of_image(image)?, len, written, exposed, warm, origin: None })
    }

    /// Returns `true` if I/O may reach pages of the region past the page tables. The kernel does
    /// not record what such I/O writes, so the region counts as written then.
    pub(crate) fn may_be_pinned(&mut self) -> bool {
        let pinned = self.exposed && sys::may_be_pinned(&self.cow.mapping.addresses());
        self.written |= pinned;
        pinned
    }

    /// Fails if I/O may reach pages of the region past the page tables.
    pub(crate) fn require_unpinned(&mut self) -> Result<()> {
        if self.may_be_pinned() { Err(Error::Pinned) } else { Ok(()) }
    }

    /// The image below the region: the one that it was made from, that was last sealed from it, or
    /// that it was last rebased to.
    pub fn image(&self) -> &Image {
        &self.cow.image
    }

    /// Makes the region longer, with zeros. It may move to other addresses.
    pub fn grow(&mut self, len: usize) -> Result<()> {
        check_len(len)?;
        if len < self.len {
            return Err(Error::Length { bytes: len as u64, reason: "a region does not shrink" });
        }
        let (pages, more) = (self.cow.pages().end, pages_of(len));
        let image = Image::new(len, self.image().layout().extended(more));
        if more > pages {
            self.settle()?;
            self.cow.untrack()?;
            self.warm.restart();
            if !self.cow.mapping.extend((more - pages) * PAGE, image.vmas())? {
                return self.move_to(image).map(|()| self.grown(len));
            }
        }
        self.cow.image = image;
        self.grown(len);
        Ok(())
    }

    fn grown(&mut self, len: usize) {
        self.len = len;
        if let Some(origin) = &mut self.origin {
            *origin = Image::new(len, origin.layout().extended(pages_of(len)));
        }
    }

    /// Moves to another image of the same content, such as a merged one. What was written remains.
    ///
    /// # Errors
    /// [`Error::NotSameContent`] unless the image was made from this region's image by a
    /// [`Merger`](crate::Merger) or by [`Image::flatten`].
    pub fn rebase(&mut self, image: &Image) -> Result<()> {
        if !image.holds_the_same_as(self.image()) {
            return Err(Error::NotSameContent);
        }
        self.settle()?;
        self.move_to(image.clone())
    }

    /// Fills the pages that are still missing after a lazy fork. Afterwards system calls may use
    /// any byte of the region as a buffer.
    pub fn settle(&mut self) -> Result<()> {
        // The pages are the region's own from now on, so its content is no longer the image's.
        self.written |= self.cow.window.is_some();
        self.cow.settle()
    }

    /// Returns `true` if no page is missing.
    pub fn is_settled(&self) -> bool {
        self.cow.window.is_none()
    }

    /// Chooses how copies run ahead of need from the next lazy fork on.
    pub fn set_copy_ahead(&mut self, policy: CopyAhead) {
        self.cow.copy_ahead = policy;
    }

    /// The runs of bytes in pages that are the region's own, since they were written after the
    /// region was made from its image.
    pub fn dirty_runs(&mut self) -> Result<Vec<Range<usize>>> {
        self.settle()?;
        let runs = self.cow.private_runs()?;
        Ok(runs.into_iter().map(|run| run.start * PAGE..(run.end * PAGE).min(self.len)).collect())
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.cow.stats()
    }

    /// What the region occupies.
    pub fn usage(&self) -> Result<Usage> {
        // Part by part, since a region may be longer than memory.
        const PART: usize = 256 * HUGE / PAGE;
        let pages = self.cow.pages();
        let mut usage = Usage::default();
        for start in pages.clone().step_by(PART) {
            usage += PageMap::of(&self.cow, start..pages.end.min(start + PART))?.usage();
        }
        Ok(usage)
    }

    /// The state of every page. It takes some bytes for each page, of which a terabyte has 268
    /// million.
    pub fn page_map(&self) -> Result<PageMap> {
        PageMap::of(&self.cow, self.cow.pages())
    }

    /// Lets the kernel's own same-page merging look at the region's own pages, if it runs:
    /// [`kernel_merging`](crate::kernel_merging) tells.
    pub fn allow_kernel_merging(&self) -> Result<()> {
        self.cow.mapping.allow_merging().map_err(|error| match error {
            Error::Os { source, .. } if source.kind() == std::io::ErrorKind::InvalidInput => {
                Error::Unsupported {
                    feature: crate::Feature::KernelMerging,
                    reason: "the kernel was built without it".into(),
                }
            }
            other => other,
        })
    }

    /// Moves to a new mapping of `image`, which holds what the present image does, perhaps more.
    /// The region must be settled.
    fn move_to(&mut self, image: Image) -> Result<()> {
        self.require_unpinned()?;
        let mut cow = CowMapping::of_image(image)?;
        if self.written {
            copy_changed(&self.cow, &mut cow)?;
        }
        cow.inherit(&self.cow);
        self.cow = cow;
        self.exposed = false;
        self.warm.restart();
        Ok(())
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.cow.mapping.bytes()[..self.len]
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        (self.written, self.exposed) = (true, true);
        &mut self.cow.mapping.bytes_mut()[..self.len]
    }
}

/// Copies the private pages of `from` to `to` where they differ.
pub(crate) fn copy_changed(from: &CowMapping, to: &mut CowMapping) -> Result<()> {
    for run in from.private_runs()? {
        let bytes = run.start * PAGE..run.end * PAGE;
        let pages = from.mapping.bytes()[bytes.clone()].chunks(PAGE);
        for (page, at) in pages.zip(bytes.step_by(PAGE)) {
            if to.mapping.bytes()[at..at + PAGE] != *page {
                to.mapping.bytes_mut()[at..at + PAGE].copy_from_slice(page);
            }
        }
    }
    Ok(())
}
