//! A shared region for tests, and a way to stop its writers.

use std::sync::atomic::{AtomicBool, Ordering};

use tine_memory::{PAGE, Region, Shard, SharedRegion};

/// A shared region of `pages`, whose words all hold 0, in `shards`.
pub fn shared_region(pages: usize, shards: usize) -> (SharedRegion, Vec<Shard>) {
    let mut region = Region::zeroed(pages * PAGE).unwrap();
    region.fill(0);
    SharedRegion::new(region, shards).unwrap()
}

/// Makes writers stop when it is dropped, also by a failed assertion.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
