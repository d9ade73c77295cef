//! How fast a copy goes: as fast as the disk lets it while it is alone, at the pace of its neighbours else.
//!
//! A flush waits for the transfers that the disk has already taken, so a copy beside mounted branches keeps its
//! transfers short; and its threads take the cores that nobody else wants.

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// Bytes that one thread has in flight at a time.
pub const CHUNK_BYTES: usize = 1 << 20;

/// The same beside others: measured, the longest transfers that leave a flush near its undisturbed time.
const CHUNK_BYTES_BESIDE: usize = 1 << 16;

/// The lowest priority there is.
const NICE: i32 = 19;

/// Asks, each time, whether others use the store.
#[derive(Clone, Copy)]
pub struct Pace<'a>(pub &'a (dyn Fn() -> bool + Sync));

impl Pace<'_> {
    /// How many bytes to move next.
    pub fn chunk_bytes(&self) -> usize {
        if (self.0)() { CHUNK_BYTES_BESIDE } else { CHUNK_BYTES }
    }
}

/// Lets the calling thread run after everybody else's, for as long as it lives.
pub fn give_way() {
    // Linux takes the number of a thread here. A refusal costs speed, and nothing else.
    let _ = setpriority_process(Some(gettid()), NICE);
}
