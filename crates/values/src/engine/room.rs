//! Room for what an inner node has of each child; how much is the kind's choice.

use arrayvec::ArrayVec;
use core::ops::DerefMut;

/// A vector of fixed capacity inside its owner. What needs more room than there is panics.
pub(crate) trait Room<T>: DerefMut<Target = [T]> + Default {
    fn push(&mut self, value: T);
    fn pop(&mut self) -> Option<T>;
    fn insert(&mut self, at: usize, value: T);
    fn remove(&mut self, at: usize) -> T;
    /// Moves what lies from `at` on.
    fn split_off(&mut self, at: usize) -> Self;
    /// Moves all that another holds to the end.
    fn append(&mut self, other: &mut Self);
    fn copy(&self) -> Self
    where
        T: Clone;
}

impl<T, const N: usize> Room<T> for ArrayVec<T, N> {
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
