//! Plain values in regions: a whole region as a slice, or an arena of values by offset.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use crate::error::{Error, Result};
use crate::fork::ForkMode;
use crate::image::check_bounds;
use crate::page::PAGE;
use crate::region::Region;

/// A type whose every bit pattern is a value.
///
/// # Safety
/// The type has no padding, no invalid bit patterns, no pointers and no interior mutability.
// SAFETY: the implementor vouches for the layout, which the compiler does not check.
pub unsafe trait Pod: Copy + Send + Sync + 'static {}

macro_rules! pod {
    ($($plain:ty),*) => {
        $(
            // SAFETY: a number: no padding, and every bit pattern is a value.
            unsafe impl Pod for $plain {}
        )*
    };
}

pod!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

// SAFETY: an array has the elements of its type one after another, with nothing between.
unsafe impl<T: Pod, const N: usize> Pod for [T; N] {}

/// A region seen as a slice of plain values.
///
/// ```
/// use tine_memory::RegionSlice;
///
/// # fn main() -> tine_memory::Result<()> {
/// let mut grid = RegionSlice::<f64>::zeroed(1_000_000)?;
/// grid[10] = 0.5;
/// let mut what_if = grid.fork()?;
/// what_if[10] = 2.0;
/// assert_eq!((grid[10], what_if[10], what_if[11]), (0.5, 2.0, 0.0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RegionSlice<T: Pod> {
    region: Region,
    values: PhantomData<T>,
}

impl<T: Pod> RegionSlice<T> {
    /// Makes a slice of `count` values whose bits are all zero.
    pub fn zeroed(count: usize) -> Result<Self> {
        let bytes = count.checked_mul(size_of::<T>());
        Self::new(Region::zeroed(bytes.unwrap_or(usize::MAX))?)
    }

    /// Sees a region as values.
    ///
    /// # Errors
    /// [`Error::Length`] unless the region holds a whole number of values, aligned to at most a
    /// page.
    pub fn new(region: Region) -> Result<Self> {
        if align_of::<T>() > PAGE {
            let bytes = align_of::<T>() as u64;
            return Err(Error::Length { bytes, reason: "values are aligned to a page at most" });
        }
        if size_of::<T>() == 0 || !region.len().is_multiple_of(size_of::<T>()) {
            let bytes = region.len() as u64;
            return Err(Error::Length { bytes, reason: "it is no whole number of values" });
        }
        Ok(Self { region, values: PhantomData })
    }

    /// Makes a writable copy. See [`Region::fork`].
    pub fn fork(&mut self) -> Result<Self> {
        self.fork_by(ForkMode::Auto)
    }

    /// Makes a writable copy by the given mode.
    pub fn fork_by(&mut self, mode: ForkMode) -> Result<Self> {
        Ok(Self { region: self.region.fork_by(mode)?, values: PhantomData })
    }

    /// The region, for everything else.
    pub fn region(&mut self) -> &mut Region {
        &mut self.region
    }

    /// Returns the region.
    pub fn into_region(self) -> Region {
        self.region
    }
}

impl<T: Pod> Deref for RegionSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let bytes: &[u8] = &self.region;
        // SAFETY: a region starts on a page, which aligns the type, as `new` checks. Its length is
        // a whole number of values, and every bit pattern is one.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
    }
}

impl<T: Pod> DerefMut for RegionSlice<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let bytes: &mut [u8] = &mut self.region;
        let count = bytes.len() / size_of::<T>();
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), count) }
    }
}

/// Where values lie in an arena. It is an offset, so it means the same in every fork.
#[derive(Debug, PartialEq, Eq)]
pub struct At<T: Pod> {
    offset: u64,
    count: u64,
    values: PhantomData<fn() -> T>,
}

impl<T: Pod> Clone for At<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Pod> Copy for At<T> {}

impl<T: Pod> At<T> {
    /// Returns offset and count as plain numbers, which can be stored inside the arena itself.
    pub fn to_raw(self) -> [u64; 2] {
        [self.offset, self.count]
    }

    /// Makes a place of plain numbers. Wrong ones give an error when used, or other plain values.
    pub fn from_raw([offset, count]: [u64; 2]) -> Self {
        Self { offset, count, values: PhantomData }
    }
}

/// Classes of freed blocks. The blocks of a class are twice as long as those of the class before.
const CLASSES: usize = 40;
/// The smallest block; every block is aligned to it.
const BLOCK_MIN: u64 = 16;
/// What the region begins with: bytes used, then the first free block of each class.
const HEADER: u64 = (8 * (1 + CLASSES) as u64).next_multiple_of(BLOCK_MIN);

/// Values in a region, allocated and freed by offset. A fork has all of them.
///
/// ```
/// use tine_memory::{Arena, Region};
///
/// # fn main() -> tine_memory::Result<()> {
/// let mut arena = Arena::new(Region::zeroed(1 << 30)?)?;
/// let at = arena.put(&[1_u32, 2, 3])?;
/// let mut fork = arena.fork()?;
/// fork.get_mut(at)?[0] = 10;
/// assert_eq!((arena.get(at)?, fork.get(at)?), (&[1, 2, 3][..], &[10, 2, 3][..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Arena {
    region: Region,
}

impl Arena {
    /// Opens an arena: an empty one in a region of zeros, or the one that was in the region before.
    pub fn new(region: Region) -> Result<Self> {
        check_bounds("open an arena", 0, HEADER as usize, region.len())?;
        Ok(Self { region })
    }

    /// Stores values.
    ///
    /// # Errors
    /// [`Error::Bounds`] if the region is full: grow it by [`Arena::region`]. [`Error::Length`] for
    /// values whose alignment exceeds 16 bytes.
    pub fn put<T: Pod>(&mut self, values: &[T]) -> Result<At<T>> {
        if align_of::<T>() as u64 > BLOCK_MIN {
            let bytes = align_of::<T>() as u64;
            return Err(Error::Length {
                bytes,
                reason: "an arena aligns values to 16 bytes at most",
            });
        }
        let class = class_of(size_of_val(values) as u64);
        let offset = match self.word(1 + class as u64)? {
            0 => self.take_fresh(class)?,
            free => {
                let next = self.word(free / 8)?;
                self.set_word(1 + class as u64, next)?;
                free
            }
        };
        let at = At { offset, count: values.len() as u64, values: PhantomData };
        self.get_mut(at)?.copy_from_slice(values);
        Ok(at)
    }

    /// The values at a place.
    pub fn get<T: Pod>(&self, at: At<T>) -> Result<&[T]> {
        let bytes = &self.region[range(at, self.region.len())?];
        // SAFETY: the range lies inside the region and is aligned, which `range` checks, and every
        // bit pattern is a value.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), at.count as usize) })
    }

    /// The values at a place, mutably.
    pub fn get_mut<T: Pod>(&mut self, at: At<T>) -> Result<&mut [T]> {
        let range = range(at, self.region.len())?;
        let bytes = &mut self.region[range];
        // SAFETY: as in `get`, and the borrow is exclusive.
        Ok(unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), at.count as usize) })
    }

    /// Frees a place for other values. Copies of `at` then read whatever is stored there next.
    pub fn free<T: Pod>(&mut self, at: At<T>) -> Result<()> {
        range(at, self.region.len())?;
        let class = class_of(at.count * size_of::<T>() as u64);
        let next = self.word(1 + class as u64)?;
        self.set_word(at.offset / 8, next)?;
        self.set_word(1 + class as u64, at.offset)
    }

    /// Makes a writable copy. See [`Region::fork`].
    pub fn fork(&mut self) -> Result<Self> {
        Ok(Self { region: self.region.fork()? })
    }

    /// The region, for everything else.
    pub fn region(&mut self) -> &mut Region {
        &mut self.region
    }

    fn take_fresh(&mut self, class: u32) -> Result<u64> {
        let offset = self.word(0)?.max(HEADER);
        let size = BLOCK_MIN << class;
        check_bounds(
            "store values in an arena, whose region can grow",
            offset as usize,
            size as usize,
            self.region.len(),
        )?;
        self.set_word(0, offset + size)?;
        Ok(offset)
    }

    fn word(&self, index: u64) -> Result<u64> {
        Ok(self.get(At::<u64>::from_raw([index * 8, 1]))?[0])
    }

    fn set_word(&mut self, index: u64, value: u64) -> Result<()> {
        self.get_mut(At::<u64>::from_raw([index * 8, 1]))?[0] = value;
        Ok(())
    }
}

/// The class of blocks that hold `bytes`.
fn class_of(bytes: u64) -> u32 {
    (bytes.max(BLOCK_MIN).next_power_of_two() / BLOCK_MIN).trailing_zeros().min(CLASSES as u32 - 1)
}

/// The bytes of a place, if they lie in the region and are aligned.
fn range<T: Pod>(at: At<T>, len: usize) -> Result<std::ops::Range<usize>> {
    let bytes = at.count.saturating_mul(size_of::<T>() as u64);
    let aligned = align_of::<T>() <= PAGE && at.offset.is_multiple_of(align_of::<T>() as u64);
    match at.offset.checked_add(bytes) {
        Some(end) if end <= len as u64 && aligned => Ok(at.offset as usize..end as usize),
        _ => Err(Error::Bounds {
            what: "use a place in an arena",
            offset: at.offset,
            bytes,
            len: len as u64,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_places_are_used_again_and_a_full_arena_says_so() {
        let mut arena = Arena::new(Region::zeroed(4096).unwrap()).unwrap();
        let a = arena.put(&[1_u64; 10]).unwrap();
        let b = arena.put(&[2_u64; 10]).unwrap();
        arena.free(a).unwrap();
        let c = arena.put(&[3_u64; 9]).unwrap();
        assert_eq!((c.offset, arena.get(b).unwrap()), (a.offset, &[2_u64; 10][..]));
        let full = std::iter::repeat_with(|| arena.put(&[0_u8; 100])).find_map(|put| put.err());
        assert!(matches!(full, Some(Error::Bounds { .. })));
    }

    #[test]
    fn a_forged_place_is_an_error_and_not_a_crash() {
        let arena = Arena::new(Region::zeroed(4096).unwrap()).unwrap();
        for raw in [[4095, 1], [u64::MAX, 1], [0, u64::MAX], [4, 1], [4096, 1]] {
            assert!(arena.get(At::<u64>::from_raw(raw)).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn values_that_are_aligned_to_more_than_can_be_had_are_refused() {
        #[repr(align(32))]
        #[derive(Clone, Copy, Debug)]
        struct Wide([u8; 32]);
        #[repr(align(8192))]
        #[derive(Clone, Copy, Debug)]
        struct Wider([u8; 8192]);
        // SAFETY: bytes without padding.
        unsafe impl Pod for Wide {}
        // SAFETY: bytes without padding.
        unsafe impl Pod for Wider {}
        let region = || Region::zeroed(8 * 8192).unwrap();
        assert!(RegionSlice::<Wide>::new(region()).unwrap().iter().all(|wide| wide.0 == [0; 32]));
        let refused = RegionSlice::<Wider>::new(region()).unwrap_err();
        assert!(matches!(refused, Error::Length { bytes: 8192, .. }), "{refused}");
        let mut arena = Arena::new(region()).unwrap();
        let refused = arena.put(&[Wide([1; 32])]).unwrap_err();
        assert!(matches!(refused, Error::Length { bytes: 32, .. }), "{refused}");
        assert!(arena.get(At::<Wider>::from_raw([8192, 1])).map(|wider| wider[0].0[0]).is_err());
    }

    #[test]
    fn a_region_of_a_broken_length_is_no_slice() {
        assert!(RegionSlice::<u32>::new(Region::zeroed(10).unwrap()).is_err());
        assert!(RegionSlice::<u32>::zeroed(usize::MAX / 2).is_err());
    }
}
