//! What the page tables say: which pages are present, private, written, huge.
//!
//! The request is `PAGEMAP_SCAN` (Linux 6.7). Its `walk_end` is not used: when the output is full,
//! the next request starts where the last run ended.

use std::io;
use std::ops::Range;

use super::handles::handles;
use crate::error::{Error, Result};
use crate::page::PAGE;

/// What a page can be, in the kernel's bits.
pub(crate) struct Category;

impl Category {
    pub const WRITTEN: u64 = 1 << 1;
    pub const FILE: u64 = 1 << 2;
    pub const PRESENT: u64 = 1 << 3;
    pub const SWAPPED: u64 = 1 << 4;
    pub const ZERO: u64 = 1 << 5;
    pub const HUGE: u64 = 1 << 6;
    const ALL: u64 =
        Self::WRITTEN | Self::FILE | Self::PRESENT | Self::SWAPPED | Self::ZERO | Self::HUGE;
}

/// `PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC`
const PROTECT: u64 = 1 | 2;
/// Above this, the kernel fills the output in pieces and reports an outdated end.
const RUNS_MAX: usize = 512;

/// Which pages a scan gives.
#[derive(Clone, Copy)]
pub(crate) enum Query {
    /// Pages of the mapping alone: written since it was made, present or swapped. Pages of zeros
    /// come as separate runs, since not all of them are private.
    Private,
    /// Pages of tracked memory that are not protected: written or mapped since.
    Unprotected,
    /// Those, and absent pages. It is the fastest query if few pages are absent, since the kernel
    /// looks at one bit of its tables and nothing else.
    UnprotectedOrAbsent,
    /// Pages that are not protected. The scan protects them.
    UnprotectedThenProtect,
    /// The file's pages. The scan protects them.
    SharedThenProtect,
    /// Every page that is mapped or swapped, with all its categories.
    Mapped,
}

#[repr(C)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    output: u64,
    output_len: u64,
    pages_max: u64,
    inverted: u64,
    mask: u64,
    any_of: u64,
    returned: u64,
}

/// A run of pages with the same categories: addresses and [`Category`] bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScanRun {
    pub start: u64,
    pub end: u64,
    pub categories: u64,
}

impl ScanRun {
    /// Returns `true` if the pages are the image's, as far as page tables tell.
    pub fn is_shared(&self) -> bool {
        self.categories & Category::FILE != 0
    }

    /// Returns `true` if the pages are the kernel's page of zeros.
    pub fn is_zero(&self) -> bool {
        self.categories & Category::ZERO != 0
    }

    /// The addresses.
    pub fn addresses(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: libc::c_ulong =
    (3 << 30) | (size_of::<ScanArgument>() << 16 | 0x66 << 8 | 16) as libc::c_ulong;

/// Scans `addresses` into `output`, once. Returns how many runs it filled. Safe in a signal
/// handler.
pub(crate) fn scan_into(
    addresses: Range<usize>,
    query: Query,
    output: &mut [ScanRun],
) -> io::Result<usize> {
    let (flags, inverted, mask, returned) = match query {
        // It only asks which pages are zeros, so that all other neighbours form one run.
        Query::Private => (0, Category::FILE, Category::FILE, Category::ZERO),
        Query::Unprotected | Query::UnprotectedOrAbsent => {
            (0, 0, Category::WRITTEN, Category::WRITTEN)
        }
        Query::UnprotectedThenProtect => (PROTECT, 0, Category::WRITTEN, Category::WRITTEN),
        Query::SharedThenProtect => {
            (PROTECT, 0, Category::FILE | Category::WRITTEN, Category::WRITTEN)
        }
        Query::Mapped => (0, 0, 0, Category::ALL),
    };
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags,
        start: addresses.start as u64,
        end: addresses.end as u64,
        walk_end: 0,
        output: output.as_mut_ptr() as u64,
        output_len: output.len() as u64,
        pages_max: 0,
        inverted,
        mask,
        any_of: match query {
            Query::UnprotectedOrAbsent => 0,
            _ => Category::PRESENT | Category::SWAPPED,
        },
        returned,
    };
    #[cfg(test)]
    super::fault_injection::check()?;
    let handles = handles().map_err(|e| io::Error::from_raw_os_error(e.0))?;
    let pagemap = handles.pagemap.map_err(io::Error::from_raw_os_error)?;
    // SAFETY: the argument and the output that it names are valid and of the length it says.
    let filled = unsafe { libc::ioctl(pagemap, PAGEMAP_SCAN as _, &mut argument) };
    if filled < 0 { Err(io::Error::last_os_error()) } else { Ok(filled as usize) }
}

/// Scans all of `addresses`, and calls `each` for each run in order. Runs that touch may come
/// separately.
pub(crate) fn scan(
    addresses: Range<usize>,
    query: Query,
    mut each: impl FnMut(ScanRun) -> Result<()>,
) -> Result<()> {
    let mut runs = [ScanRun::default(); RUNS_MAX];
    let mut from = addresses.start;
    while from < addresses.end {
        let filled = scan_into(from..addresses.end, query, &mut runs)
            .map_err(|e| Error::os("scan the page tables", e))?;
        for run in &runs[..filled] {
            debug_assert!((run.start as usize).is_multiple_of(PAGE) && run.start < run.end);
            each(*run)?;
        }
        if filled < RUNS_MAX {
            break;
        }
        from = runs[filled - 1].end as usize;
    }
    Ok(())
}

/// Returns `Ok` if the page tables can be scanned, and else the error number.
pub(crate) fn pagemap_usable() -> std::result::Result<(), i32> {
    handles().map_err(|e| e.0)?.pagemap?;
    let here = [0_u8; 1];
    let page = here.as_ptr() as usize / PAGE * PAGE;
    scan_into(page..page + PAGE, Query::Mapped, &mut [ScanRun::default()])
        .map(|_| ())
        .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))
}
