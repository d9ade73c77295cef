//! Bytes requested from the allocator, counted in the same way for all contestants.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated while `work` runs, freed or not.
pub fn asked<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let region = Region::new(COUNTING);
    let result = work();
    let change = region.change();
    (change.bytes_allocated + change.bytes_reallocated.max(0) as usize, result)
}

/// Bytes that are held by what `make` returns.
pub fn held<R>(make: impl FnOnce() -> R) -> (usize, R) {
    let region = Region::new(COUNTING);
    let result = make();
    let change = region.change();
    let bytes = change.bytes_allocated as isize - change.bytes_deallocated as isize;
    (bytes.max(0) as usize, result)
}
