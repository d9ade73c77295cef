//! Copy-on-write values compared with imbl, and with other peers where they show something.
//!
//! Values are `u64`, and there are a million of them unless a row says otherwise. Every value that
//! is read is summed, byte by byte for large ones. All hash maps use one hasher. The unfavourable
//! end of the 95 % interval must reach the bar.

mod forks;
mod heap;
mod item;
mod maps;
mod seqs;
mod small;
mod texts;

use anyhow::Result;
use tine_bench::rounds::Rounds;
use tine_bench::table::{Bar, Judge, Table, Unit};

use item::Item;

const ROUNDS: usize = 9;
/// Rounds of rows that only read. They are short, and memory that other machines share makes some
/// of them slow.
const READ_ROUNDS: usize = 25;
const LARGE: usize = 1_000_000;
const SMALL: usize = 1000;

/// Measures the rows of this area.
pub fn run(table: &mut Table) -> Result<()> {
    seqs::run::<u64>(table, LARGE, &seqs::BARS)?;
    maps::run::<u64>(table, LARGE, &maps::BARS)?;
    maps::footprints(table);
    forks::run(table)?;
    small::run(table)?;
    texts::run(table)?;
    seqs::run::<u64>(table, SMALL, &seqs::PARITY)?;
    seqs::run::<Page>(table, SMALL, &seqs::PARITY)?;
    maps::run::<u64>(table, SMALL, &maps::PARITY)?;
    maps::run::<Page>(table, SMALL, &maps::PARITY)?;
    Ok(())
}

/// Returns `true` if rpds takes part. A million items, each in a separate allocation, leave a heap
/// in which what is measured after them is slower, and take seconds for each round.
fn with_rpds(count: usize) -> bool {
    count <= SMALL
}

/// A value of 256 bytes.
type Page = [u8; 256];

/// Measures the seconds of one operation, once for each round.
type Measure<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Measures contestants together: ours, imbl, and others that are only shown.
fn compare(
    table: &mut Table,
    what: &str,
    bar: Bar,
    contestants: Vec<(&str, Measure<'_>)>,
) -> Result<()> {
    compare_over(ROUNDS, table, what, bar, contestants)
}

/// The same for what only reads.
fn compare_reads(
    table: &mut Table,
    what: &str,
    bar: Bar,
    contestants: Vec<(&str, Measure<'_>)>,
) -> Result<()> {
    compare_over(READ_ROUNDS, table, what, bar, contestants)
}

fn compare_over(
    rounds: usize,
    table: &mut Table,
    what: &str,
    bar: Bar,
    contestants: Vec<(&str, Measure<'_>)>,
) -> Result<()> {
    let mut rounds = Rounds::new(rounds);
    let mut names = Vec::new();
    for (name, mut measure) in contestants {
        names.push(name);
        rounds.contestant(move || Ok(measure()));
    }
    let samples = rounds.run()?;
    table
        .row(what, Unit::Seconds, &samples[0])
        .peer(names[1], &samples[1])
        .judged_by(Judge::Interval)
        .bar(bar);
    for (name, samples) in names.iter().zip(&samples).skip(2) {
        table.note(&format!(
            "{name}: {:.3e} s ±{:.0}%",
            samples.median(),
            samples.spread() * 100.0
        ));
    }
    Ok(())
}

/// Runs `work` over `count` operations and returns the seconds of one.
fn timed<R>(count: usize, work: impl FnOnce() -> R) -> f64 {
    let start = std::time::Instant::now();
    let result = std::hint::black_box(work());
    let seconds = start.elapsed().as_secs_f64() / count as f64;
    drop(result);
    seconds
}

/// Name of a row: what, of which values, how many.
fn named<T: Item>(what: &str, count: usize) -> String {
    match (T::NAME, count) {
        ("", LARGE) => what.to_owned(),
        (name, count) => format!("{what}, {count} {name}").trim_end().to_owned(),
    }
}

/// Places below `below` in an order that no cache predicts, the same in each run.
fn places(count: usize, below: usize) -> Vec<usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|_| (next() % below as u64) as usize).collect()
}
