//! What forks are for: what differs, three-way merge, equality, and clones from two threads.

use anyhow::Result;
use std::hint::black_box;
use std::sync::Arc;
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Judge, Table, Unit};
use tine_values::{HashMap, OrdMap, OrdSet, Seq, Text};

use super::{LARGE, ROUNDS, places, timed};

const CHANGES: usize = 100;

/// Adds a row for one operation with a bound on its seconds.
fn row(table: &mut Table, what: &str, most: f64, mut once: impl FnMut() -> f64) -> Result<()> {
    if table.wants(what) {
        let mut rounds = Rounds::new(ROUNDS);
        let ours = rounds.contestant(|| Ok(once()));
        let samples = rounds.run()?;
        table
            .row(what, Unit::Seconds, &samples[ours])
            .judged_by(Judge::Interval)
            .bar(Bar::AtMost(most));
    }
    Ok(())
}

macro_rules! of_kind {
    ($table:ident, $kind:literal, $base:expr, |$fork:ident, $at:ident, $seed:ident| $change:expr, $merge:expr) => {{
        let base = $base;
        let changed = |salt: usize| {
            let mut $fork = base.clone();
            for (step, place) in
                places(CHANGES * (salt + 1), LARGE).into_iter().rev().take(CHANGES).enumerate()
            {
                let ($at, $seed) = (place, step % 3);
                $change;
            }
            $fork
        };
        let (ours, theirs) = (changed(0), changed(1));
        row($table, concat!($kind, " diff of 100 changes in 1 M"), 0.5e-3, || {
            timed(1, || base.diff(&ours))
        })?;
        row($table, concat!($kind, " merge3 of 100 changes each"), 2e-3, || {
            timed(1, || $merge(&base, &ours, &theirs))
        })?;
        let fork = base.clone();
        row($table, concat!($kind, " == of an untouched fork"), 50e-9, || {
            timed(1000, || (0..1000).all(|_| black_box(&fork) == black_box(&base)))
        })?;
        clones($table, concat!($kind, " clones from 2 threads"), &base)?;
    }};
}

/// Returns `true` if the table wants any row of this module.
fn wants_any(table: &Table) -> bool {
    let rows = [
        "diff of 100 changes in 1 M",
        "merge3 of 100 changes each",
        "== of an untouched fork",
        "clones from 2 threads",
    ];
    let kinds = ["Seq", "OrdMap", "OrdSet", "HashMap", "Text"];
    rows.iter().any(|row| kinds.iter().any(|kind| table.wants(&format!("{kind} {row}"))))
}

pub fn run(table: &mut Table) -> Result<()> {
    if !wants_any(table) {
        return Ok(());
    }
    let entries = || (0..LARGE as u64).map(|key| (key * 2, key));
    // Places are spread over the whole. A third of them each inserts, removes and updates.
    of_kind!(
        table,
        "Seq",
        (0..LARGE as u64).collect::<Seq<u64>>(),
        |fork, at, seed| match seed {
            0 => fork.insert(at.min(fork.len()), 7),
            1 => drop(fork.remove(at.min(fork.len() - 1))),
            _ => drop(fork.set(at.min(fork.len() - 1), 9)),
        },
        |b, o, t| Seq::merge3(b, o, t, |c| c.ours)
    );
    of_kind!(
        table,
        "OrdMap",
        entries().collect::<OrdMap<u64, u64>>(),
        |fork, at, seed| match seed {
            0 => fork.insert(at as u64 * 2 + 1, 7),
            1 => fork.remove(&(at as u64 * 2)),
            _ => fork.insert(at as u64 * 2, u64::MAX),
        },
        |b, o, t| OrdMap::merge3(b, o, t, |c| c.ours.copied())
    );
    of_kind!(
        table,
        "OrdSet",
        entries().map(|(key, _)| key).collect::<OrdSet<u64>>(),
        |fork, at, seed| match seed {
            0 | 2 => fork.insert(at as u64 * 2 + 1),
            _ => fork.remove(&(at as u64 * 2)),
        },
        OrdSet::merge3
    );
    of_kind!(
        table,
        "HashMap",
        entries().collect::<HashMap<u64, u64>>(),
        |fork, at, seed| match seed {
            0 => fork.insert(at as u64 * 2 + 1, 7),
            1 => fork.remove(&(at as u64 * 2)),
            _ => fork.insert(at as u64 * 2, u64::MAX),
        },
        |b, o, t| HashMap::merge3(b, o, t, |c| c.ours.copied())
    );
    let letters: String =
        places(LARGE, 26).into_iter().map(|at| char::from(b'a' + at as u8)).collect();
    of_kind!(
        table,
        "Text",
        Text::from(letters.as_str()),
        |fork, at, seed| match seed {
            0 => fork.insert_str(at.min(fork.len()), "tine"),
            1 => fork.replace_range(at.min(fork.len() - 1)..at.min(fork.len() - 1) + 1, ""),
            _ => fork.replace_range(at.min(fork.len() - 1)..at.min(fork.len() - 1) + 1, "#"),
        },
        |b, o, t| Text::merge3(b, o, t, |c| c.ours)
    );
    Ok(())
}

/// Two threads clone and drop one value, compared with the same for a bare `Arc`.
fn clones<V: Clone + Sync>(table: &mut Table, what: &str, value: &V) -> Result<()> {
    if !table.wants(what) {
        return Ok(());
    }
    let arc = Arc::new(0u64);
    let mut rounds = Rounds::new(ROUNDS);
    let ours = rounds.contestant(|| Ok(by_two_threads(value)));
    let peer = rounds.contestant(|| Ok(by_two_threads(&arc)));
    let samples: Vec<Samples> = rounds.run()?;
    table
        .row(what, Unit::Seconds, &samples[ours])
        .peer("Arc", &samples[peer])
        .judged_by(Judge::Interval)
        .bar(Bar::CostAtMost(2.0));
    Ok(())
}

fn by_two_threads<V: Clone + Sync>(value: &V) -> f64 {
    const CLONES: usize = 500_000;
    let clone = || (0..CLONES).for_each(|_| drop(black_box(value.clone())));
    timed(CLONES, || {
        std::thread::scope(|scope| {
            scope.spawn(clone);
            clone();
        });
    })
}
