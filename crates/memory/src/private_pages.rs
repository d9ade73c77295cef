//! Which pages are private to a mapping: written through it, and so in place of what lies below it.
//!
//! A page that reads as zeros and is stored nowhere may be one of them. The kernel puts its page of
//! zeros in place of a page that was written with zeros when it merges equal pages
//! (`use_zero_pages`) or splits huge ones. That matters only where something other than zeros lies
//! below.

use std::ops::Range;

use crate::error::Result;
use crate::layout::Layout;
use crate::page::PAGE;
use crate::sys::{Mapping, Query, ScanRun, scan};

/// Which pages of zeros are private to a mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Zeros<'a> {
    /// All of them.
    All,
    /// Those that lie over memory of the image.
    Over(&'a Layout),
}

impl Zeros<'_> {
    /// Calls `each` for the pages of a run that are private, in order. Safe in a signal handler if
    /// `each` is.
    pub fn of_run(self, run: &ScanRun, base: usize, mut each: impl FnMut(Range<usize>)) {
        let addresses = run.addresses();
        let pages = (addresses.start - base) / PAGE..(addresses.end - base) / PAGE;
        match self {
            Zeros::Over(layout) if run.is_zero() => layout.stored(pages).for_each(each),
            _ => each(pages),
        }
    }
}

/// Calls `each` for each run of private pages that lies in some pages of a mapping, in order.
pub(crate) fn for_each_private_run(
    mapping: &Mapping,
    pages: Range<usize>,
    zeros: Zeros<'_>,
    mut each: impl FnMut(Range<usize>) -> Result<()>,
) -> Result<()> {
    let base = mapping.start();
    scan(base + pages.start * PAGE..base + pages.end * PAGE, Query::Private, |run| {
        let mut answer = Ok(());
        zeros.of_run(&run, base, |pages| {
            if answer.is_ok() {
                answer = each(pages);
            }
        });
        answer
    })
}

#[cfg(test)]
mod tests {
    use crate::page::PAGE;
    use crate::sys::{self, Fill, Watch};
    use crate::{ForkMode, HUGE, Image, PersistentRegion, Region};

    /// Makes the kernel map its page of zeros in place of a page that was written with zeros, as it
    /// does when it merges pages. The mapping must not be watched.
    fn merge_zeros(region: &mut Region, page: usize) {
        let mapping = &mut region.cow.mapping;
        assert!(mapping.bytes()[page * PAGE..][..PAGE].iter().all(|byte| *byte == 0));
        let span = mapping.start() + page * PAGE..mapping.start() + (page + 1) * PAGE;
        sys::watch(span.clone(), Watch::Missing).unwrap();
        mapping.discard(page * PAGE..(page + 1) * PAGE).unwrap();
        assert!(matches!(sys::zero(span.clone()), Fill::Filled(PAGE)));
        sys::unwatch(span).unwrap();
    }

    #[test]
    fn zeros_in_place_of_the_images_bytes_are_kept_by_whatever_a_region_does() {
        let modes = [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy];
        let image = Image::from_bytes(&vec![7; HUGE]).unwrap();
        for mode in modes {
            let mut region = image.fork().unwrap();
            region[5 * PAGE..6 * PAGE].fill(0);
            region[6 * PAGE] = 1;
            merge_zeros(&mut region, 5);
            let mut fork = region.fork_by(mode).unwrap();
            for (region, what) in [(&region, "parent"), (&fork, "fork")] {
                assert_eq!((region[5 * PAGE], region[6 * PAGE]), (0, 1), "{mode:?}, {what}");
            }
            fork.settle().unwrap();
            assert_eq!((fork[5 * PAGE], fork[7 * PAGE]), (0, 7), "{mode:?}");
            assert_eq!(fork.seal().unwrap().fork().unwrap()[5 * PAGE], 0, "{mode:?}");
        }
        let mut region = image.fork().unwrap();
        region[5 * PAGE..6 * PAGE].fill(0);
        merge_zeros(&mut region, 5);
        region.grow(3 * HUGE).unwrap();
        region.rebase(&region.image().flatten().unwrap()).unwrap();
        assert_eq!(region[5 * PAGE], 0);
        merge_zeros(&mut region, 5);
        region.reset().unwrap();
        assert_eq!(region[5 * PAGE], 7);
    }

    #[test]
    fn zeros_over_frozen_pages_hide_them_in_later_forks() {
        for mode in [ForkMode::Eager, ForkMode::Lazy] {
            let mut region = Region::zeroed(HUGE).unwrap();
            region.fill(3);
            let _fork = region.fork_by(ForkMode::Lazy).unwrap();
            let page = region.cow.mapping.start() + 9 * PAGE;
            // Filled like a page that is in no frozen mapping, which is how a merged page looks.
            assert!(matches!(sys::zero(page..page + PAGE), Fill::Filled(PAGE)));
            region[10 * PAGE] = 4;
            let fork = region.fork_by(mode).unwrap();
            assert_eq!((fork[8 * PAGE], fork[9 * PAGE], fork[10 * PAGE]), (3, 0, 4), "{mode:?}");
            assert_eq!((region[8 * PAGE], region[9 * PAGE]), (3, 0), "{mode:?}");
        }
    }

    #[test]
    fn zeros_that_were_merged_are_committed() {
        let source = vec![7; 20 * PAGE];
        let mut persistent = PersistentRegion::open(&source, source.clone()).unwrap();
        persistent[5 * PAGE..6 * PAGE].fill(0);
        let page = persistent.region().cow.mapping.start() + 5 * PAGE;
        let span = page..page + PAGE;
        // In place of the page, and not protected.
        sys::unprotect(span.clone()).unwrap();
        sys::watch(span.clone(), Watch::MissingOrMinor).unwrap();
        // SAFETY: nothing refers to the page.
        unsafe { persistent.region().cow.mapping.release(5 * PAGE..6 * PAGE) }.unwrap();
        assert!(matches!(sys::zero(span), Fill::Filled(PAGE)));
        persistent.commit().unwrap();
        assert!(persistent.sink().clone() == persistent[..] && persistent[5 * PAGE] == 0);
    }
}
