//! Fair rounds: every contestant runs once in each round, in a new random order.
//!
//! Machines drift (other tenants, clocks, the state of the disk). If contestants were measured one
//! after another, the drift would be measured as well. Alternation spreads it over all of them, and
//! pairing the samples of one round cancels most of what is left.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::samples::Samples;

/// The fewest rounds that a figure may be based on.
pub const ROUNDS_MIN: usize = 5;

type Measure<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Contestants that are measured together.
pub struct Rounds<'a> {
    rounds: usize,
    warm_up: bool,
    contestants: Vec<Measure<'a>>,
}

impl<'a> Rounds<'a> {
    /// Takes `rounds` samples of each contestant, at least [`ROUNDS_MIN`], after one unrecorded
    /// round.
    pub fn new(rounds: usize) -> Self {
        Self { rounds: rounds.max(ROUNDS_MIN), warm_up: true, contestants: Vec::new() }
    }

    /// Leaves out the unrecorded first round, for figures that are about the first time.
    pub fn cold(mut self) -> Self {
        self.warm_up = false;
        self
    }

    /// Adds a contestant. Each call of `measure` returns one sample in the row's unit (seconds for
    /// times). Returns its index in the result of [`Rounds::run`].
    pub fn contestant(&mut self, measure: impl FnMut() -> Result<f64> + 'a) -> usize {
        self.contestants.push(Box::new(measure));
        self.contestants.len() - 1
    }

    /// Measures. Returns the [`Samples`] of each contestant, in the order in which they were added.
    pub fn run(mut self) -> Result<Vec<Samples>> {
        let mut samples = vec![Vec::with_capacity(self.rounds); self.contestants.len()];
        let mut order: Vec<usize> = (0..self.contestants.len()).collect();
        let mut shuffle = Shuffle::new();
        for round in 0..self.rounds + usize::from(self.warm_up) {
            shuffle.apply(&mut order);
            for &contestant in &order {
                let sample = (self.contestants[contestant])()?;
                ensure!(sample.is_finite(), "contestant {contestant} measured {sample}");
                if !self.warm_up || round > 0 {
                    samples[contestant].push(sample);
                }
            }
        }
        Ok(samples.into_iter().map(Samples::new).collect())
    }
}

/// Seconds that one call of `work` takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Seconds of one call of `work`, which is called often enough to fill `at_least`, so that the cost
/// and the resolution of the clock do not matter.
pub fn seconds_per_call(at_least: Duration, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let (mut calls, mut batch) = (0_u64, 1_u64);
    loop {
        for _ in 0..batch {
            work();
        }
        calls += batch;
        let elapsed = start.elapsed();
        if elapsed >= at_least {
            return elapsed.as_secs_f64() / calls as f64;
        }
        batch = (batch * 2).min(1 << 20);
    }
}

/// Fisher and Yates' shuffle with a xorshift generator (Marsaglia 2003), seeded by the clock.
struct Shuffle(u64);

impl Shuffle {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::from_secs(1));
        Self(now.as_nanos() as u64 | 1)
    }

    fn apply(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            order.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_contestant_runs_once_a_round_and_the_first_round_is_not_recorded() {
        let log = RefCell::new(Vec::new());
        let mut rounds = Rounds::new(7);
        for name in 0..3 {
            let log = &log;
            rounds.contestant(move || {
                log.borrow_mut().push(name);
                Ok(f64::from(name))
            });
        }
        let samples = rounds.run().unwrap();
        assert_eq!(log.borrow().len(), 3 * 8);
        for round in log.borrow().chunks(3) {
            let mut seen = round.to_vec();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2]);
        }
        assert_eq!(samples[2], Samples::new(vec![2.0; 7]));
    }

    #[test]
    fn the_order_changes_from_round_to_round() {
        let mut shuffle = Shuffle::new();
        let mut order: Vec<usize> = (0..6).collect();
        let mut orders = std::collections::HashSet::new();
        for _ in 0..50 {
            shuffle.apply(&mut order);
            orders.insert(order.clone());
        }
        assert!(orders.len() > 10, "{} different orders in 50 rounds", orders.len());
    }

    #[test]
    fn fewer_rounds_than_the_minimum_are_raised_to_it_and_a_failure_stops_the_run() {
        let mut rounds = Rounds::new(1).cold();
        rounds.contestant(|| Ok(1.0));
        assert_eq!(rounds.run().unwrap()[0], Samples::new(vec![1.0; ROUNDS_MIN]));

        let mut rounds = Rounds::new(5);
        rounds.contestant(|| Ok(f64::NAN));
        assert!(rounds.run().is_err());
    }
}
