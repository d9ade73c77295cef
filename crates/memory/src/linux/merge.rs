//! Same-page merging: images that hold equal pages come to share them.
//!
//! A pass reads every page of every image, stores each distinct page once in a new sealed pool, and
//! lays the images out anew over it. Pages of zeros are stored nowhere. Two pages are equal when
//! their 128-bit hashes are (XXH3) and then every byte is. Regions move over by
//! [`Region::rebase`](crate::Region::rebase), and the old memory goes when nobody uses it any more.
//!
//! Whether a page is shared can be told from the time that a write to it takes, so merge only what
//! may know of each other: one merger is one domain of trust.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::linux::error::Result;
use crate::linux::image::Image;
use crate::linux::layout::{Backing, Runs};
use crate::linux::page::{PAGE, is_zero};
use crate::linux::sys::{Mapping, Memfd};

/// Mappings of an image beyond which it is left as it was: each fork would take as many.
const SEGMENTS_MAX: usize = 4096;

/// Merges the pages of images. The settings are named as the kernel's own merging names them.
#[derive(Debug)]
pub struct Merger {
    images: Vec<Image>,
    pages_to_scan: usize,
    sleep: Duration,
    stats: MergeStats,
}

/// What merging has found, as of the last full scan; named as in `/sys/kernel/mm/ksm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeStats {
    /// Stored pages that several places share.
    pub pages_shared: u64,
    /// Further places that share them: pages saved.
    pub pages_sharing: u64,
    /// Stored pages that one place alone has.
    pub pages_unshared: u64,
    /// Pages of images that were left as they were, since they would have come apart into too many
    /// pieces.
    pub pages_volatile: u64,
    /// Pages of zeros, stored nowhere.
    pub zero_pages: u64,
    /// Passes over all images.
    pub full_scans: u64,
}

/// Where a page's content is.
#[derive(Clone, Copy)]
enum Place {
    Zero,
    Pool(usize),
}

impl Merger {
    /// A merger of no images yet.
    pub fn new() -> Self {
        let (pages_to_scan, sleep) = (usize::MAX, Duration::ZERO);
        Self { images: Vec::new(), pages_to_scan, sleep, stats: MergeStats::default() }
    }

    /// Sets how many pages are read before each rest; no rest unless called.
    pub fn pages_to_scan(mut self, pages: usize) -> Self {
        self.pages_to_scan = pages.max(1);
        self
    }

    /// Sets how long each rest is.
    pub fn sleep_millis(mut self, millis: u64) -> Self {
        self.sleep = Duration::from_millis(millis);
        self
    }

    /// Adds an image.
    pub fn add(&mut self, image: &Image) {
        self.images.push(image.clone());
    }

    /// Reads every image once, and returns them merged, in the order in which they were added. They
    /// hold the same as before. The merger goes on with the merged ones.
    ///
    /// While it runs, every distinct page is stored twice.
    pub fn scan(&mut self) -> Result<Vec<Image>> {
        let mut pool = Pool::new(self.images.iter().map(|image| image.layout().pages()).sum())?;
        let mut places = Vec::with_capacity(self.images.len());
        for image in &self.images {
            places.push(self.place(image, &mut pool)?);
        }
        let used = pool.pages.len();
        let file = Arc::new(pool.into_memory().seal()?);
        let mut stats = MergeStats { full_scans: self.stats.full_scans + 1, ..Default::default() };
        let mut uses = vec![0_u32; used];
        let mut merged = Vec::with_capacity(self.images.len());
        for (image, places) in self.images.iter().zip(&places) {
            let mut runs = Runs::new();
            for place in places {
                let backing = match *place {
                    Place::Zero => Backing::Zero,
                    Place::Pool(page) => Backing::File { file: file.clone(), page },
                };
                runs.push(1, backing);
            }
            let layout = runs.into_layout();
            if layout.segments().len() > SEGMENTS_MAX {
                stats.pages_volatile += places.len() as u64;
                merged.push(image.clone());
                continue;
            }
            merged.push(image.with_layout(layout));
            for place in places {
                match *place {
                    Place::Zero => stats.zero_pages += 1,
                    Place::Pool(page) => uses[page] += 1,
                }
            }
        }
        stats.pages_unshared = uses.iter().filter(|uses| **uses == 1).count() as u64;
        stats.pages_shared = uses.iter().filter(|uses| **uses > 1).count() as u64;
        stats.pages_sharing = uses.iter().map(|uses| u64::from(uses.saturating_sub(1))).sum();
        self.stats = stats;
        self.images.clone_from(&merged);
        Ok(merged)
    }

    /// What the last full scan found.
    pub fn stats(&self) -> MergeStats {
        self.stats
    }

    /// Finds or makes a place in the pool for every page of an image.
    fn place(&self, image: &Image, pool: &mut Pool) -> Result<Vec<Place>> {
        let pages = image.layout().pages();
        let batch = self.pages_to_scan.min(256);
        let mut places = Vec::with_capacity(pages);
        let mut bytes = vec![0; batch * PAGE];
        let mut read = 0;
        for first in (0..pages).step_by(batch) {
            let bytes = &mut bytes[..batch.min(pages - first) * PAGE];
            image.layout().read_pages(first, bytes)?;
            for page in bytes.chunks_exact(PAGE) {
                let place = match is_zero(page) {
                    true => Place::Zero,
                    false => Place::Pool(pool.place(page, places.last())?),
                };
                places.push(place);
            }
            pool.write()?;
            read += batch;
            if read >= self.pages_to_scan && !self.sleep.is_zero() {
                read = 0;
                std::thread::sleep(self.sleep);
            }
        }
        Ok(places)
    }
}

impl Default for Merger {
    fn default() -> Self {
        Self::new()
    }
}

/// Every distinct page so far, once.
struct Pool {
    memory: Memfd,
    view: Mapping,
    /// The hash of each page of the pool.
    pages: Vec<u128>,
    by_hash: HashMap<u128, usize>,
    /// Pages at the end of the pool that have not been written yet.
    waiting: Vec<u8>,
}

impl Pool {
    fn new(pages_max: usize) -> Result<Self> {
        let bytes = pages_max.max(1) * PAGE;
        let memory = Memfd::new(bytes)?;
        let view = Mapping::of_open(&memory, bytes)?;
        let (pages, by_hash, waiting) = (Vec::new(), HashMap::new(), Vec::new());
        Ok(Self { memory, view, pages, by_hash, waiting })
    }

    /// The pool's page that holds these bytes. Of several, the one after the page before, so that runs
    /// stay whole.
    fn place(&mut self, bytes: &[u8], before: Option<&Place>) -> Result<usize> {
        let hash = xxh3_128(bytes);
        if let Some(Place::Pool(before)) = before
            && self.pages.get(before + 1) == Some(&hash)
            && self.page(before + 1) == bytes
        {
            return Ok(before + 1);
        }
        if let Some(&page) = self.by_hash.get(&hash)
            && self.page(page) == bytes
        {
            return Ok(page);
        }
        let page = self.pages.len();
        self.pages.push(hash);
        self.by_hash.entry(hash).or_insert(page);
        self.waiting.extend_from_slice(bytes);
        Ok(page)
    }

    fn page(&self, page: usize) -> &[u8] {
        let written = self.pages.len() - self.waiting.len() / PAGE;
        match page.checked_sub(written) {
            None => &self.view.bytes()[page * PAGE..][..PAGE],
            Some(waiting) => &self.waiting[waiting * PAGE..][..PAGE],
        }
    }

    fn write(&mut self) -> Result<()> {
        let written = self.pages.len() * PAGE - self.waiting.len();
        self.memory.write_at(&self.waiting, written)?;
        self.waiting.clear();
        Ok(())
    }

    /// The memory, which nothing maps any more.
    fn into_memory(self) -> Memfd {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pages: &[u8]) -> (Image, Vec<u8>) {
        let bytes: Vec<u8> = pages.iter().flat_map(|value| vec![*value; PAGE]).collect();
        (Image::from_bytes(&bytes).unwrap(), bytes)
    }

    #[test]
    fn equal_pages_are_stored_once_wherever_they_lie_and_zeros_never() {
        let (a, bytes_a) = image(&[1, 2, 3, 4, 5, 0, 6]);
        let (b, bytes_b) = image(&[9, 1, 2, 3, 4, 5, 0]); // The same, displaced by a page.
        let mut merger = Merger::new();
        merger.add(&a);
        merger.add(&b);
        let merged = merger.scan().unwrap();
        assert!(merged[0].fork().unwrap()[..] == bytes_a[..]);
        assert!(merged[1].fork().unwrap()[..] == bytes_b[..]);
        let stats = merger.stats();
        assert_eq!((stats.pages_shared, stats.pages_sharing), (5, 5));
        assert_eq!((stats.pages_unshared, stats.zero_pages, stats.full_scans), (2, 2, 1));
        assert_eq!(merged[0].stored_bytes().unwrap(), 7 * PAGE as u64);
    }

    #[test]
    fn a_region_keeps_what_it_wrote_when_it_moves_to_the_merged_image() {
        let (a, _) = image(&[1, 2, 3, 4]);
        let (b, _) = image(&[1, 2, 3, 5]);
        let mut region = b.fork().unwrap();
        region[PAGE] = 77;
        let mut merger = Merger::new().pages_to_scan(2).sleep_millis(1);
        merger.add(&a);
        merger.add(&b);
        let merged = merger.scan().unwrap();
        assert!(matches!(region.rebase(&merged[0]), Err(crate::Error::NotSameContent)));
        region.rebase(&merged[1]).unwrap();
        assert_eq!((region[0], region[PAGE], region[PAGE + 1], region[3 * PAGE]), (1, 77, 2, 5));
        region.reset().unwrap();
        assert_eq!(region[PAGE], 2);
        let again = merger.scan().unwrap();
        assert!(again[1].fork().unwrap()[..] == region[..]);
        assert_eq!(merger.stats().full_scans, 2);
    }

    #[test]
    fn an_image_that_would_come_apart_into_too_many_pieces_is_left_alone() {
        let one: Vec<u8> = (0..200).map(|n| n as u8 + 1).collect();
        let (a, _) = image(&one);
        let mut state = 1_u64;
        let pages: Vec<u8> = (0..6000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                (state >> 33) as u8 % 200 + 1
            })
            .collect();
        let (b, bytes) = image(&pages);
        let mut merger = Merger::new();
        merger.add(&a);
        merger.add(&b);
        let merged = merger.scan().unwrap();
        assert_eq!(merger.stats().pages_volatile, 6000);
        assert!(merged[1].fork().unwrap()[..] == bytes[..]);
    }
}
