//! How fast a copy goes: as fast as the disk lets it while it is alone, at the pace of its neighbours else.
//!
//! A flush waits for the transfers that the disk has already taken, so a copy beside mounted branches keeps its
//! transfers short. Its threads take the processors that nobody else wants, and leave them at once to whoever wakes.
//! Where others want all of them all the time, that would starve the copy, so for some of the
//! time it takes the share of the lowest priority.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::process::{geteuid, setpriority_process};
use rustix::thread::gettid;
use tine_sys::schedule::{Rank, take_rank};

/// Bytes that one thread has in flight at a time.
pub const CHUNK_BYTES: usize = 1 << 20;

/// The same beside others: measured, the longest transfers that leave a flush near its undisturbed time.
const CHUNK_BYTES_BESIDE: usize = 1 << 16;

/// The lowest priority there is.
const NICE: i32 = 19;

/// A chunk that takes longer is taken for a sign that the thread gets no processor.
const STARVED: Duration = Duration::from_millis(50);

/// For how long the thread then takes its share.
const FED: Duration = Duration::from_secs(4);

/// Asks, each time, whether others use the store.
#[derive(Clone, Copy)]
pub struct Pace<'a>(pub &'a (dyn Fn() -> bool + Sync));

impl Pace<'_> {
    /// How many bytes to move next. Every thread of a copy asks before each chunk, so that here is also where it
    /// sees whether it starves.
    pub fn chunk_bytes(&self) -> usize {
        HAND.with(|hand| hand.set(hand.get().map(|hand| hand.at_chunk(Instant::now()))));
        if (self.0)() { CHUNK_BYTES_BESIDE } else { CHUNK_BYTES }
    }
}

thread_local! {
    static HAND: Cell<Option<Hand>> = const { Cell::new(None) };
}

/// A thread of a copy that changes between the ranks.
#[derive(Clone, Copy)]
struct Hand {
    rank: Rank,
    /// The chunk before, or the change of rank.
    since: Instant,
}

impl Hand {
    fn at_chunk(self, now: Instant) -> Hand {
        let passed = now.duration_since(self.since);
        match self.rank {
            Rank::Idle if passed > STARVED => self.change(Rank::Ordinary, now),
            Rank::Idle => Hand { since: now, ..self },
            Rank::Ordinary if passed > FED => self.change(Rank::Idle, now),
            Rank::Ordinary => self,
        }
    }

    fn change(self, rank: Rank, now: Instant) -> Hand {
        // A refusal costs speed, and nothing else.
        let _ = take_rank(rank);
        Hand { rank, since: now }
    }
}

/// Lets the calling thread run after everybody else's, for as long as it lives.
pub fn give_way() {
    // Linux takes the number of a thread here. A refusal costs speed, and nothing else.
    let _ = setpriority_process(Some(gettid()), NICE);
    // Whoever may not come back from the idle rank does not go there.
    if geteuid().is_root() && take_rank(Rank::Idle).is_ok() {
        HAND.set(Some(Hand { rank: Rank::Idle, since: Instant::now() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starved_thread_takes_its_share_for_a_while() {
        let start = Instant::now();
        let hand = Hand { rank: Rank::Idle, since: start };
        let busy = hand.at_chunk(start + STARVED);
        assert_eq!(busy.rank, Rank::Idle);
        let starved = busy.at_chunk(start + STARVED * 3);
        assert_eq!(starved.rank, Rank::Ordinary);
        assert_eq!(starved.at_chunk(start + FED).rank, Rank::Ordinary);
        assert_eq!(starved.at_chunk(start + STARVED * 4 + FED).rank, Rank::Idle);
    }
}
