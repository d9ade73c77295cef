//! Ten elements: heap bytes, and a clone with one write, compared with flat values.

use anyhow::Result;
use std::collections::{BTreeMap, HashMap as StdHash};
use std::hint::black_box;
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Judge, Table, Unit};
use tine_values::hash::RandomState;
use tine_values::{HashMap, OrdMap, Seq};

use super::{ROUNDS, heap, timed};

const FORKS: usize = 50_000;

fn rows<A: Clone, B: Clone>(
    table: &mut Table,
    what: &str,
    peer: &str,
    (ours, write): (impl Fn() -> A, impl Fn(&mut A, u64)),
    (theirs, also): (impl Fn() -> B, impl Fn(&mut B, u64)),
) -> Result<()> {
    let name = format!("{what} of 10: heap bytes");
    let ((mine, a), (other, b)) = (heap::held(ours), heap::held(theirs));
    let same = |value: usize| Samples::new(vec![value as f64; ROUNDS]);
    if table.wants(&name) {
        table
            .row(&name, Unit::Bytes, &same(mine))
            .peer(peer, &same(other))
            .bar(Bar::CostAtMost(1.5));
    }
    let name = format!("{what} of 10: clone + one write");
    if table.wants(&name) {
        let mut rounds = Rounds::new(ROUNDS);
        let ours = rounds.contestant(|| Ok(forks(&a, &write)));
        let theirs = rounds.contestant(|| Ok(forks(&b, &also)));
        let samples = rounds.run()?;
        table
            .row(&name, Unit::Seconds, &samples[ours])
            .peer(peer, &samples[theirs])
            .judged_by(Judge::Interval)
            .bar(Bar::CostAtMost(1.5));
    }
    Ok(())
}

fn forks<V: Clone>(value: &V, write: impl Fn(&mut V, u64)) -> f64 {
    timed(FORKS, || {
        for at in 0..FORKS as u64 {
            let mut fork = value.clone();
            write(&mut fork, at % 10);
            black_box(&fork);
        }
    })
}

pub fn run(table: &mut Table) -> Result<()> {
    let entries = || (0..10u64).map(|key| (key, key));
    rows(
        table,
        "Seq",
        "EcoVec",
        (|| (0..10).collect::<Seq<u64>>(), |seq, at| seq[at as usize] = 1),
        (|| (0..10).collect::<ecow::EcoVec<u64>>(), |seq, at| seq.make_mut()[at as usize] = 1),
    )?;
    rows(
        table,
        "OrdMap",
        "Box<BTreeMap>",
        (|| entries().collect::<OrdMap<u64, u64>>(), |map, at| _ = map.insert(at, 1)),
        (|| Box::new(entries().collect::<BTreeMap<u64, u64>>()), |map, at| _ = map.insert(at, 1)),
    )?;
    rows(
        table,
        "HashMap",
        "Box<HashMap>",
        (|| entries().collect::<HashMap<u64, u64>>(), |map, at| _ = map.insert(at, 1)),
        (
            || Box::new(entries().collect::<StdHash<u64, u64, RandomState>>()),
            |map, at| _ = map.insert(at, 1),
        ),
    )
}
