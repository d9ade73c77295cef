//! What an inner node has for each child, in a vector whose capacity the tree's shape chooses.

use arrayvec::ArrayVec;
use core::ops::DerefMut;

/// A vector of fixed capacity inside its owner. Exceeding the capacity panics.
pub(crate) trait FixedVec<T>: DerefMut<Target = [T]> + Default {
    fn push(&mut self, value: T);
    fn pop(&mut self) -> Option<T>;
    fn insert(&mut self, at: usize, value: T);
    fn remove(&mut self, at: usize) -> T;
    /// Moves the values from `at` on to a new vector.
    fn split_off(&mut self, at: usize) -> Self;
    /// Moves all values of another vector to the end.
    fn append(&mut self, other: &mut Self);
    fn copy(&self) -> Self
    where
        T: Clone;
}

impl<T, const N: usize> FixedVec<T> for ArrayVec<T, N> {
    #[inline]
    fn push(&mut self, value: T) {
        self.push(value);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        self.pop()
    }

    #[inline]
    fn insert(&mut self, at: usize, value: T) {
        self.insert(at, value);
    }

    #[inline]
    fn remove(&mut self, at: usize) -> T {
        self.remove(at)
    }

    fn split_off(&mut self, at: usize) -> Self {
        self.drain(at..).collect()
    }

    fn append(&mut self, other: &mut Self) {
        self.extend(other.drain(..));
    }

    fn copy(&self) -> Self
    where
        T: Clone,
    {
        self.clone()
    }
}
