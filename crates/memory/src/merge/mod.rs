//! Same-page merging: images that hold equal pages come to share them.
//!
//! A pass reads every page of every image, stores each distinct page once in a new sealed pool, and
//! lays the images out anew over it. Pages of zeros are stored nowhere. Two pages are equal if
//! their 128-bit hashes (XXH3) are equal and then every byte is. Regions move over by
//! [`Region::rebase`](crate::Region::rebase), and the old memory is freed when no image or region
//! uses it any more.
//!
//! The time that a write to a page takes tells if it is shared. So merge only what may know of each
//! other: one merger is one domain of trust.

mod placing;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::image::Image;
use crate::layout::{Backing, Layout, LayoutBuilder};
use crate::page::{PAGE, is_zero};
use crate::sys::Sealed;
use placing::{Part, Placing};
use pool::Pool;

/// Mappings that a fork of a merged image takes at most by default.
const VMAS_MAX: usize = 4096;

/// Pages read at a time.
const BATCH: usize = 256;

/// Merges the pages of images. The settings have the names that the kernel's own merging uses.
#[derive(Debug)]
pub struct Merger {
    images: Vec<Image>,
    pages_to_scan: usize,
    sleep: Duration,
    vmas_max: usize,
    stats: MergeStats,
}

/// What merging has found, as of the last full scan; named as in `/sys/kernel/mm/ksm`.
///
/// Every page of every image is counted once, in all but `full_scans`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeStats {
    /// Stored pages that several places share.
    pub pages_shared: u64,
    /// Further places that share them: pages saved.
    pub pages_sharing: u64,
    /// Stored pages that only one place uses.
    pub pages_unshared: u64,
    /// Pages left unmerged though equal ones exist: sharing them would have taken more mappings
    /// than [`Merger::vmas_max`] allows.
    pub pages_volatile: u64,
    /// Pages of zeros, stored nowhere.
    pub zero_pages: u64,
    /// Passes over all images.
    pub full_scans: u64,
}

/// How often a page of the pool is used, shared and apart.
#[derive(Clone, Copy, Default)]
struct Uses {
    shared: u32,
    apart: u32,
}

impl Merger {
    /// Makes a merger without images.
    pub fn new() -> Self {
        Self {
            images: Vec::new(),
            pages_to_scan: usize::MAX,
            sleep: Duration::ZERO,
            vmas_max: VMAS_MAX,
            stats: MergeStats::default(),
        }
    }

    /// Sets how many pages are read before each rest. By default there is no rest.
    pub fn pages_to_scan(mut self, pages: usize) -> Self {
        self.pages_to_scan = pages.max(1);
        self
    }

    /// Sets how long each rest is.
    pub fn sleep_millis(mut self, millis: u64) -> Self {
        self.sleep = Duration::from_millis(millis);
        self
    }

    /// Sets how many mappings a fork of a merged image may take. The default is 4,096.
    ///
    /// Each takes some microseconds of every fork, and counts against the limit of the process. If
    /// sharing all pages would take more, because equal ones are scattered, those in the shortest
    /// runs are not shared.
    pub fn vmas_max(mut self, vmas: usize) -> Self {
        self.vmas_max = vmas.max(1);
        self
    }

    /// Adds an image.
    pub fn add(&mut self, image: &Image) {
        self.images.push(image.clone());
    }

    /// Reads every image once, and returns them merged, in the order in which they were added.
    /// Their content does not change. The next scan reads the merged ones.
    ///
    /// While it runs, every distinct page is stored twice, and every page left unmerged three
    /// times.
    pub fn scan(&mut self) -> Result<Vec<Image>> {
        let pages: usize = self.images.iter().map(|image| image.layout().pages()).sum();
        let runs = self.images.iter().flat_map(|image| image.layout().runs());
        let stored = runs.filter(|run| !run.backing.is_zero()).map(|run| run.pages.len()).sum();
        // Room for a second copy of each page that is stored apart, and for a gap after each
        // stretch.
        let mut pool = Pool::new(stored, stored + 2 * pages)?;
        let mut placings = Vec::with_capacity(self.images.len());
        for image in &self.images {
            placings.push(self.place(image, &mut pool)?);
        }
        let mut stats = MergeStats { full_scans: self.stats.full_scans + 1, ..Default::default() };
        let mut uses = vec![Uses::default(); pool.len()];
        let mut end = pool.len();
        let mut arranged = Vec::with_capacity(placings.len());
        for placing in &placings {
            let parts = placing.parts(self.vmas_max);
            arranged.push(arrange(placing, &parts, &pool, &mut end)?);
            count(placing, &parts, &mut uses, &mut stats);
        }
        let file = Arc::new(pool.seal(|page| uses[page].shared > 0)?);
        let merged = self.images.iter().zip(&arranged);
        let merged = merged.map(|(image, placing)| image.with_layout(layout(placing, &file)));
        let merged: Vec<Image> = merged.collect();
        for uses in &uses {
            match (u64::from(uses.shared), u64::from(uses.apart)) {
                (0, 1) => stats.pages_unshared += 1,
                (0, apart) => stats.pages_volatile += apart,
                (1, apart) => {
                    stats.pages_unshared += 1;
                    stats.pages_volatile += apart;
                }
                (shared, apart) => {
                    stats.pages_shared += 1;
                    stats.pages_sharing += shared - 1;
                    stats.pages_volatile += apart;
                }
            }
        }
        self.stats = stats;
        self.images.clone_from(&merged);
        Ok(merged)
    }

    /// What the last full scan found.
    pub fn stats(&self) -> MergeStats {
        self.stats
    }

    /// Finds or makes a place in the pool for every page of an image.
    fn place(&self, image: &Image, pool: &mut Pool) -> Result<Placing> {
        let mut placing = Placing::default();
        let batch = self.pages_to_scan.min(BATCH);
        let mut bytes = vec![0; batch * PAGE];
        let mut read = 0;
        for run in image.layout().runs() {
            if run.backing.is_zero() {
                placing.push(run.pages.len(), None);
                continue;
            }
            for first in run.pages.clone().step_by(batch) {
                let bytes = &mut bytes[..batch.min(run.pages.end - first) * PAGE];
                image.layout().read_pages(first, bytes)?;
                for page in bytes.chunks_exact(PAGE) {
                    let at = (!is_zero(page)).then(|| pool.place(page, placing.next()));
                    placing.push(1, at);
                }
                pool.write()?;
                read += bytes.len() / PAGE;
                if read >= self.pages_to_scan && !self.sleep.is_zero() {
                    read = 0;
                    std::thread::sleep(self.sleep);
                }
            }
        }
        Ok(placing)
    }
}

impl Default for Merger {
    fn default() -> Self {
        Self::new()
    }
}

/// Stores again what is to lie apart, from `end` of the pool on. Returns where the image's pages
/// are then.
fn arrange(placing: &Placing, parts: &[Part], pool: &Pool, end: &mut usize) -> Result<Placing> {
    let mut arranged = Placing::default();
    for part in parts {
        match part {
            Part::Shared(runs) => {
                placing.runs[runs.clone()].iter().for_each(|run| arranged.push(run.pages, run.at));
            }
            Part::Apart(runs) => {
                // Zeros between them remain holes of the pool, which take no memory either.
                for run in &placing.runs[runs.clone()] {
                    if let Some(at) = run.at {
                        pool.copy(at..at + run.pages, *end)?;
                    }
                    arranged.push(run.pages, Some(*end));
                    *end += run.pages;
                }
                // A gap, so that the next run does not continue this one.
                *end += 1;
            }
        }
    }
    Ok(arranged)
}

/// Counts the uses of the pool's pages, and zeros.
fn count(placing: &Placing, parts: &[Part], uses: &mut [Uses], stats: &mut MergeStats) {
    for part in parts {
        let (Part::Shared(runs) | Part::Apart(runs)) = part;
        for run in &placing.runs[runs.clone()] {
            let Some(at) = run.at else {
                stats.zero_pages += run.pages as u64;
                continue;
            };
            for uses in &mut uses[at..at + run.pages] {
                match part {
                    Part::Shared(_) => uses.shared += 1,
                    Part::Apart(_) => uses.apart += 1,
                }
            }
        }
    }
}

fn layout(placing: &Placing, file: &Arc<Sealed>) -> Layout {
    let mut runs = LayoutBuilder::new();
    for run in &placing.runs {
        let backing = match run.at {
            None => Backing::Zero,
            Some(page) => Backing::File { file: file.clone(), page },
        };
        runs.push(run.pages, backing);
    }
    runs.into_layout()
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

    /// Pages of a few kinds, strewn so that hardly two lie in a row anywhere else.
    fn strewn(pages: usize, kinds: usize) -> (Image, Vec<u8>) {
        let mut state = 1_u64;
        let draw = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            ((state >> 33) as usize % kinds) as u8
        };
        image(&(0..pages).map(draw).collect::<Vec<u8>>())
    }

    #[test]
    fn strewn_pages_are_merged_as_far_as_the_mappings_go_and_counted_beyond() {
        let (a, bytes_a) = image(&(1..=200).collect::<Vec<u8>>());
        let (b, bytes_b) = strewn(6000, 200);
        let mut stored = Vec::new();
        for vmas in [1, 50, 2000, 10_000] {
            let mut merger = Merger::new().vmas_max(vmas);
            merger.add(&a);
            merger.add(&b);
            let merged = merger.scan().unwrap();
            let bytes = merged[1].stored_bytes().unwrap();
            assert!(merged[0].fork().unwrap()[..] == bytes_a[..]);
            assert!(merged[1].fork().unwrap()[..] == bytes_b[..]);
            assert!(merged[1].vmas() <= vmas, "{} of {vmas}", merged[1].vmas());
            let stats = merger.stats();
            let MergeStats { pages_shared, pages_sharing, pages_unshared, .. } = stats;
            let each_once = pages_shared + pages_sharing + pages_unshared;
            assert_eq!(each_once + stats.pages_volatile + stats.zero_pages, 6200, "{stats:?}");
            assert_eq!(stats.pages_volatile == 0, vmas == 10_000, "{stats:?}");
            // What is not shared is stored in the image's place alone, and not in the pool as well.
            let pages = pages_shared + pages_unshared + stats.pages_volatile;
            assert_eq!(bytes, pages * PAGE as u64, "{stats:?}");
            stored.push(pages);
        }
        assert!(stored.is_sorted_by(|more, fewer| more > fewer), "{stored:?}");
        assert_eq!(stored[3], 200);
    }

    #[test]
    fn a_terabyte_of_zeros_is_merged_at_once() {
        let (a, bytes) = image(&[1, 2, 3]);
        let mut region = Image::zeroed(1 << 40).unwrap().fork().unwrap();
        region[1 << 39..][..3 * PAGE].copy_from_slice(&bytes);
        let big = region.seal().unwrap();
        let mut merger = Merger::new();
        merger.add(&a);
        merger.add(&big);
        let merged = merger.scan().unwrap();
        assert_eq!(merger.stats().pages_sharing, 3);
        assert!(merged[1].fork().unwrap()[1 << 39..][..3 * PAGE] == bytes[..]);
    }
}
