//! Live memory for tests, and the end of those who write it.

use std::sync::atomic::{AtomicBool, Ordering};

use tine_memory::{Live, PAGE, Region, Shard};

/// Live memory of `pages`, whose words all hold 0, in `shards`.
pub fn live(pages: usize, shards: usize) -> (Live, Vec<Shard>) {
    let mut region = Region::zeroed(pages * PAGE).unwrap();
    region.fill(0);
    Live::new(region, shards).unwrap()
}

/// Has writers stop when it is dropped, by an assertion that fails too.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
