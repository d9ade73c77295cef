//! Sequences: reading, growing, changing, and writing to a fork.

use anyhow::Result;
use std::hint::black_box;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_values::Seq;

use super::{
    Measure, ROUNDS, compare, compare_reads, heap, item::Item, named, places, timed, with_rpds,
};

/// What each row must reach against imbl, as speeds, and the share of imbl's bytes.
pub struct Bars {
    get: f64,
    iterate: f64,
    push: f64,
    set: f64,
    fork: f64,
    fork_bytes: f64,
    insert: f64,
}

pub const BARS: Bars =
    Bars { get: 3.0, iterate: 5.0, push: 1.0, set: 2.0, fork: 1.0, fork_bytes: 0.6, insert: 30.0 };

pub const PARITY: Bars =
    Bars { get: 0.9, iterate: 0.9, push: 0.9, set: 0.9, fork: 0.9, fork_bytes: 1.1, insert: 0.9 };

/// A sequence of any crate.
trait Sequence<T: Item>: Clone {
    fn gather(count: usize) -> Self;
    fn item(&self, at: usize) -> &T;
    fn total(&self) -> u64;
    fn put(&mut self, at: usize, item: T);
}

/// A sequence that can insert an item anywhere.
trait Squeeze<T: Item>: Sequence<T> {
    fn squeeze(&mut self, at: usize, item: T);
}

impl<T: Item> Squeeze<T> for Seq<T> {
    fn squeeze(&mut self, at: usize, item: T) {
        self.insert(at, item);
    }
}

impl<T: Item> Squeeze<T> for imbl::Vector<T> {
    fn squeeze(&mut self, at: usize, item: T) {
        self.insert(at, item);
    }
}

macro_rules! sequence {
    ($kind:ty, $empty:expr, $push:ident, |$seq:ident, $at:ident, $item:ident| $put:expr) => {
        impl<T: Item> Sequence<T> for $kind {
            fn gather(count: usize) -> Self {
                let mut seq = $empty;
                (0..count as u64).for_each(|seed| seq.$push(T::make(seed)));
                seq
            }

            fn item(&self, at: usize) -> &T {
                &self[at]
            }

            fn total(&self) -> u64 {
                self.iter().map(Item::sum).fold(0, u64::wrapping_add)
            }

            fn put(&mut self, $at: usize, $item: T) {
                let $seq = self;
                $put
            }
        }
    };
}

sequence!(Seq<T>, Seq::new(), push, |seq, at, item| seq[at] = item);
sequence!(imbl::Vector<T>, imbl::Vector::new(), push_back, |seq, at, item| seq[at] = item);
sequence!(im::Vector<T>, im::Vector::new(), push_back, |seq, at, item| seq[at] = item);
sequence!(ecow::EcoVec<T>, ecow::EcoVec::new(), push, |seq, at, item| seq.make_mut()[at] = item);
sequence!(rpds::VectorSync<T>, rpds::Vector::new_sync(), push_back_mut, |seq, at, item| {
    seq.set_mut(at, item);
});
sequence!(Vec<T>, Vec::new(), push, |seq, at, item| seq[at] = item);

pub fn run<T: Item>(table: &mut Table, count: usize, bars: &Bars) -> Result<()> {
    reads::<T>(table, count, bars)?;
    pushes::<T>(table, count, bars)?;
    writes::<T>(table, count, bars)?;
    forks::<T>(table, count, bars)
}

/// How often a row goes through a sequence, so that short ones are measured for long enough.
fn times(count: usize) -> usize {
    1_000_000usize.div_ceil(count).min(100)
}

/// Places that are read or set.
fn all_places(count: usize) -> Vec<usize> {
    places(count.max(100_000), count)
}

/// Places that are written in forks.
fn fork_places(count: usize) -> Vec<usize> {
    places(20_000, count)
}

fn reads<T: Item>(table: &mut Table, count: usize, bars: &Bars) -> Result<()> {
    let each = |what: &str| named::<T>(what, count);
    let (reads, times) = (all_places(count), times(count));
    if table.wants(&each("Seq get")) || table.wants(&each("Seq iterate")) {
        let (ours, imbl) = (Seq::<T>::gather(count), imbl::Vector::<T>::gather(count));
        let im = im::Vector::<T>::gather(count);
        let rpds = with_rpds(count).then(|| rpds::VectorSync::<T>::gather(count));
        let (eco, std) = (ecow::EcoVec::gather(count), Vec::gather(count));
        let mut contestants: Vec<(_, Measure<'_>)> = vec![
            ("ours", Box::new(|| get::<T, _>(&ours, &reads))),
            ("imbl", Box::new(|| get::<T, _>(&imbl, &reads))),
            ("im", Box::new(|| get::<T, _>(&im, &reads))),
            ("EcoVec", Box::new(|| get::<T, _>(&eco, &reads))),
            ("std", Box::new(|| get::<T, _>(&std, &reads))),
        ];
        if let Some(rpds) = &rpds {
            contestants.push(("rpds", Box::new(|| get::<T, _>(rpds, &reads))));
        }
        compare_reads(table, &each("Seq get"), Bar::SpeedAtLeast(bars.get), contestants)?;
        let sum = |seq: &dyn Fn() -> u64| {
            timed(count * times, || (0..times).fold(0, |sum, _| black_box(seq()) ^ sum))
        };
        let mut contestants: Vec<(_, Measure<'_>)> = vec![
            ("ours", Box::new(|| sum(&|| ours.total()))),
            ("imbl", Box::new(|| sum(&|| imbl.total()))),
            ("im", Box::new(|| sum(&|| im.total()))),
            ("EcoVec", Box::new(|| sum(&|| eco.total()))),
            ("std", Box::new(|| sum(&|| std.total()))),
        ];
        if let Some(rpds) = &rpds {
            contestants.push(("rpds", Box::new(|| sum(&|| rpds.total()))));
        }
        compare_reads(table, &each("Seq iterate"), Bar::SpeedAtLeast(bars.iterate), contestants)?;
    }
    Ok(())
}

fn pushes<T: Item>(table: &mut Table, count: usize, bars: &Bars) -> Result<()> {
    let (what, times) = (named::<T>("Seq push", count), times(count));
    if table.wants(&what) {
        let mut contestants: Vec<(_, Measure<'_>)> = vec![
            ("ours", Box::new(|| push::<T, Seq<T>>(count, times))),
            ("imbl", Box::new(|| push::<T, imbl::Vector<T>>(count, times))),
            ("im", Box::new(|| push::<T, im::Vector<T>>(count, times))),
            ("EcoVec", Box::new(|| push::<T, ecow::EcoVec<T>>(count, times))),
            ("std", Box::new(|| push::<T, Vec<T>>(count, times))),
        ];
        if with_rpds(count) {
            contestants.push(("rpds", Box::new(|| push::<T, rpds::VectorSync<T>>(count, times))));
        }
        compare(table, &what, Bar::SpeedAtLeast(bars.push), contestants)?;
    }
    Ok(())
}

fn writes<T: Item>(table: &mut Table, count: usize, bars: &Bars) -> Result<()> {
    let each = |what: &str| named::<T>(what, count);
    if table.wants(&each("Seq set in place")) {
        let places = all_places(count);
        let (mut ours, mut imbl) = (Seq::<T>::gather(count), imbl::Vector::<T>::gather(count));
        compare(
            table,
            &each("Seq set in place"),
            Bar::SpeedAtLeast(bars.set),
            vec![
                ("ours", Box::new(|| set(&mut ours, &places))),
                ("imbl", Box::new(|| set(&mut imbl, &places))),
            ],
        )?;
    }
    if table.wants(&each("Seq random insert")) {
        let (ours, imbl) = (Seq::<T>::gather(count), imbl::Vector::<T>::gather(count));
        let few = &fork_places(count)[..300];
        compare(
            table,
            &each("Seq random insert"),
            Bar::SpeedAtLeast(bars.insert),
            vec![
                ("ours", Box::new(|| insert(&mut ours.clone(), few))),
                ("imbl", Box::new(|| insert(&mut imbl.clone(), few))),
            ],
        )?;
    }
    Ok(())
}

fn forks<T: Item>(table: &mut Table, count: usize, bars: &Bars) -> Result<()> {
    let each = |what: &str| named::<T>(what, count);
    let writes = fork_places(count);
    if table.wants(&each("Seq clone + one write")) {
        let (ours, imbl) = (Seq::<T>::gather(count), imbl::Vector::<T>::gather(count));
        compare(
            table,
            &each("Seq clone + one write"),
            Bar::SpeedAtLeast(bars.fork),
            vec![
                ("ours", Box::new(|| fork(&ours, &writes))),
                ("imbl", Box::new(|| fork(&imbl, &writes))),
            ],
        )?;
        let bytes = |asked: usize| Samples::new(vec![asked as f64 / writes.len() as f64; ROUNDS]);
        let (mine, _) = heap::asked(|| fork(&ours, &writes));
        let (peer, _) = heap::asked(|| fork(&imbl, &writes));
        table
            .row(&each("Seq clone + one write, bytes"), Unit::Bytes, &bytes(mine))
            .peer("imbl", &bytes(peer))
            .bar(Bar::CostAtMost(bars.fork_bytes));
    }
    Ok(())
}

fn get<T: Item, S: Sequence<T>>(seq: &S, at: &[usize]) -> f64 {
    timed(at.len(), || at.iter().fold(0u64, |sum, at| sum.wrapping_add(seq.item(*at).sum())))
}

fn push<T: Item, S: Sequence<T>>(count: usize, times: usize) -> f64 {
    timed(count * times, || (0..times).fold(None, |_, _| Some(black_box(S::gather(count)))))
}

fn set<T: Item>(seq: &mut impl Sequence<T>, at: &[usize]) -> f64 {
    timed(at.len(), || at.iter().for_each(|at| seq.put(*at, T::make(*at as u64 + 1))))
}

fn fork<T: Item>(seq: &impl Sequence<T>, at: &[usize]) -> f64 {
    timed(at.len(), || {
        for at in at {
            let mut fork = seq.clone();
            fork.put(*at, T::make(1));
            black_box(&fork);
        }
    })
}

/// A first write makes the path unique, so that most insertions meet unshared nodes.
fn insert<T: Item>(seq: &mut impl Squeeze<T>, at: &[usize]) -> f64 {
    timed(at.len(), || at.iter().for_each(|at| seq.squeeze(*at, T::make(1))))
}
