//! Time and chance: the one seam through which they come in, so that a test can replay a run.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
#[cfg(any(test, feature = "testing"))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Where an open store takes the time and its random numbers from.
pub trait Environment: Debug + Send + Sync {
    /// Time that only goes forward, from a moment of its own choice.
    fn elapsed(&self) -> Duration;
    /// The time of day.
    fn now(&self) -> SystemTime;
    /// A number that no earlier run used.
    fn fresh_number(&self) -> u64;
}

/// The clock and the chance of this machine.
#[derive(Debug, Clone)]
pub struct Machine(Instant);

impl Default for Machine {
    fn default() -> Machine {
        Machine(Instant::now())
    }
}

impl Environment for Machine {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
    fn fresh_number(&self) -> u64 {
        RandomState::new().hash_one((std::process::id(), Instant::now()))
    }
}

/// For tests: numbers that count on from a seed, and a clock that each look at it moves on by one
/// step.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub struct Scripted {
    step: Duration,
    looks: AtomicU64,
    number: AtomicU64,
}

#[cfg(any(test, feature = "testing"))]
impl Scripted {
    /// A clock with steps of `step`, and numbers that follow `seed`.
    pub fn new(seed: u64, step: Duration) -> Scripted {
        let number = AtomicU64::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Scripted { step, looks: AtomicU64::new(0), number }
    }
}

#[cfg(any(test, feature = "testing"))]
impl Environment for Scripted {
    fn elapsed(&self) -> Duration {
        self.step * self.looks.fetch_add(1, Ordering::Relaxed) as u32
    }
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }
    fn fresh_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }
}
