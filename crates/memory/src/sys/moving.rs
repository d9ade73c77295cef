//! Moving private pages from one mapping to another by their page tables.
//!
//! What is one mapping here may be several to the kernel, once a part of it was locked or advised
//! about. Linux 6.17 moves several at once, and if it fails in the middle it does not say how far
//! it came. Earlier kernels refuse to move several.

use std::io;
use std::ops::Range;

use super::kernel::abort_process;
use super::mapping::Mapping;
use super::pagemap::{Query, ScanRun, scan_into};
use crate::error::{Error, Result};

impl Mapping {
    /// Moves the private pages of a range, with their page tables, to the same range of `target`,
    /// whose pages there are replaced. The range stays mapped here, but empty. Moves all or
    /// nothing.
    ///
    /// # Safety
    /// No thread may read or write the range of either mapping meanwhile, nor the range here
    /// afterwards until its content has been provided for.
    // SAFETY: both ranges change under shared borrows, so the caller answers for references.
    pub unsafe fn move_tables(&self, range: Range<usize>, target: &Mapping) -> Result<()> {
        assert!(range.end <= self.len() && range.end <= target.len());
        let from = self.start() + range.start..self.start() + range.end;
        let to = target.start() + range.start;
        // SAFETY: both ranges are owned mappings that are not in use, as the caller promises.
        let Err(error) = (unsafe { move_one(from.clone(), to) }) else { return Ok(()) };
        // SAFETY: as above.
        let moved = match error.raw_os_error() {
            Some(libc::EFAULT) => unsafe { move_each(from.clone(), to) },
            _ => Err(error),
        };
        moved.map_err(|error| {
            // SAFETY: as above.
            if let Err(again) = unsafe { bring_back(from, to) } {
                let again = Error::os("move the pages of a region", again);
                abort_process("bring the pages of a region back", &again);
            }
            Error::os("move the pages of a region", error)
        })
    }
}

/// # Safety
/// As for [`Mapping::move_tables`].
// SAFETY: the kernel moves pages even from under references to them.
unsafe fn move_one(from: Range<usize>, to: usize) -> io::Result<()> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    #[cfg(test)]
    super::fault_injection::check()?;
    let (address, len) = (from.start as *mut libc::c_void, from.len());
    // SAFETY: the caller's promise.
    let moved = unsafe { libc::mremap(address, len, len, flags, to as *mut libc::c_void) };
    if moved == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves a range mapping by mapping, as the kernel has them.
///
/// # Safety
/// As for [`Mapping::move_tables`].
// SAFETY: as for `move_one`.
unsafe fn move_each(from: Range<usize>, to: usize) -> io::Result<()> {
    for piece in pieces(&from)? {
        let to = to + (piece.start - from.start);
        // SAFETY: the caller's promise.
        unsafe { move_one(piece, to) }?;
    }
    Ok(())
}

/// Moves back what was moved before a move failed. The pages of each piece are on one of the two
/// sides.
///
/// # Safety
/// As for [`Mapping::move_tables`].
// SAFETY: as for `move_one`.
unsafe fn bring_back(from: Range<usize>, to: usize) -> io::Result<()> {
    let there = to..to + from.len();
    let mut first = [ScanRun::default()];
    if scan_into(there.clone(), Query::Private, &mut first)? == 0 {
        return Ok(());
    }
    for piece in pieces(&from)? {
        let there = to + (piece.start - from.start)..to + (piece.end - from.start);
        if scan_into(there.clone(), Query::Private, &mut first)? == 0 {
            continue;
        }
        for part in pieces(&there)? {
            let back = piece.start + (part.start - there.start);
            // SAFETY: the caller's promise.
            unsafe { move_one(part, back) }?;
        }
    }
    Ok(())
}

/// The mappings of which a range of addresses consists in the kernel.
fn pieces(range: &Range<usize>) -> io::Result<Vec<Range<usize>>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut pieces = Vec::new();
    for line in maps.lines() {
        let ends = line.split(' ').next().and_then(|ends| ends.split_once('-'));
        let Some((start, end)) = ends else { continue };
        let hex = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        let piece = hex(start).max(range.start)..hex(end).min(range.end);
        if piece.start < piece.end {
            pieces.push(piece);
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PAGE;

    const PAGES: usize = 40;

    /// Written memory that the kernel has in pieces, and a place for it.
    fn split() -> (Mapping, Mapping) {
        let mut source = Mapping::zeroed(PAGES * PAGE, 1).unwrap();
        source.bytes_mut().chunks_mut(PAGE).enumerate().for_each(|(n, page)| page[0] = n as u8 + 1);
        for part in [3..9, 20..21] {
            let address = (source.start() + part.start * PAGE) as *mut libc::c_void;
            // SAFETY: advice about pages of the mapping, which changes no content.
            unsafe { libc::madvise(address, part.len() * PAGE, libc::MADV_RANDOM) };
        }
        (source, Mapping::zeroed(PAGES * PAGE, 1).unwrap())
    }

    fn holds_all(mapping: &Mapping) -> bool {
        mapping.bytes().chunks(PAGE).enumerate().all(|(n, page)| page[0] == n as u8 + 1)
    }

    #[test]
    fn what_the_kernel_has_in_pieces_is_moved_piece_by_piece() {
        let (source, target) = split();
        assert_eq!(pieces(&source.addresses()).unwrap().len(), 5);
        // SAFETY: nothing refers to the bytes of either.
        unsafe { move_each(source.addresses(), target.start()) }.unwrap();
        assert!(holds_all(&target));
    }

    #[test]
    fn what_was_moved_before_a_move_failed_is_brought_back() {
        for done in 1..5 {
            let (source, target) = split();
            for piece in &pieces(&source.addresses()).unwrap()[..done] {
                let to = target.start() + (piece.start - source.start());
                // SAFETY: nothing refers to the bytes of either.
                unsafe { move_one(piece.clone(), to) }.unwrap();
            }
            // SAFETY: as above.
            unsafe { bring_back(source.addresses(), target.start()) }.unwrap();
            assert!(holds_all(&source), "after {done} pieces");
        }
    }
}
