//! Maps: filling, finding, reading in order, writing to a fork, and bytes an entry.

use anyhow::Result;
use std::collections::BTreeMap;
use std::hint::black_box;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_values::hash::RandomState;
use tine_values::{HashMap, OrdMap};

use super::{ROUNDS, compare, heap, item::Item, named, places, timed};

type ImblHash<V> = imbl::GenericHashMap<u64, V, RandomState, imbl::shared_ptr::DefaultSharedPtr>;
type ImHash<V> = im::HashMap<u64, V, RandomState>;
type StdHash<V> = std::collections::HashMap<u64, V, RandomState>;

/// What each row must reach against imbl, as speeds: insert, get, iterate, clone and one write.
pub struct Bars {
    ordered: [f64; 4],
    hashed: [f64; 4],
}

/// A cost of at most 1.1 times is a speed of at least 1 / 1.1.
pub const BARS: Bars = Bars { ordered: [1.0, 1.0, 4.0, 1.0 / 1.1], hashed: [1.0, 1.0, 3.0, 0.9] };

pub const PARITY: Bars = Bars { ordered: [0.9; 4], hashed: [0.9; 4] };

/// A map of any maker.
trait Map<V: Item>: Clone {
    fn empty() -> Self;
    fn put(&mut self, key: u64, value: V);
    fn find(&self, key: u64) -> Option<&V>;
    fn total(&self) -> u64;
}

macro_rules! map {
    ($kind:ty, $empty:expr) => {
        impl<V: Item> Map<V> for $kind {
            fn empty() -> Self {
                $empty
            }

            fn put(&mut self, key: u64, value: V) {
                self.insert(key, value);
            }

            fn find(&self, key: u64) -> Option<&V> {
                self.get(&key)
            }

            fn total(&self) -> u64 {
                self.iter().map(|(key, value)| key ^ value.sum()).fold(0, u64::wrapping_add)
            }
        }
    };
}

map!(OrdMap<u64, V>, OrdMap::new());
map!(imbl::OrdMap<u64, V>, imbl::OrdMap::new());
map!(im::OrdMap<u64, V>, im::OrdMap::new());
map!(BTreeMap<u64, V>, BTreeMap::new());
map!(HashMap<u64, V>, HashMap::new());
map!(ImblHash<V>, ImblHash::with_hasher(RandomState::default()));
map!(ImHash<V>, ImHash::with_hasher(RandomState::default()));
map!(StdHash<V>, StdHash::default());

pub fn run<V: Item>(table: &mut Table, count: usize, bars: &Bars) -> Result<()> {
    rows::<V, OrdMap<u64, V>, imbl::OrdMap<u64, V>, im::OrdMap<u64, V>, BTreeMap<u64, V>>(
        table,
        "OrdMap",
        count,
        bars.ordered,
    )?;
    rows::<V, HashMap<u64, V>, ImblHash<V>, ImHash<V>, StdHash<V>>(
        table,
        "HashMap",
        count,
        bars.hashed,
    )
}

fn rows<V, Ours, Imbl, Im, Std>(
    table: &mut Table,
    kind: &str,
    count: usize,
    bars: [f64; 4],
) -> Result<()>
where
    V: Item,
    Ours: Map<V>,
    Imbl: Map<V>,
    Im: Map<V>,
    Std: Map<V>,
{
    let keys: Vec<u64> = places(count, usize::MAX).into_iter().map(|key| key as u64).collect();
    let reads: Vec<u64> =
        places(count.max(100_000), count).into_iter().map(|at| keys[at]).collect();
    let what = |what: &str| named::<V>(&format!("{kind} {what}"), count);
    let times = 1_000_000usize.div_ceil(count).min(100);
    let [insert, get, iterate, fork] = bars.map(Bar::SpeedAtLeast);

    if table.wants(&what("insert")) {
        compare(
            table,
            &what("insert"),
            insert,
            vec![
                ("ours", Box::new(|| fill::<V, Ours>(&keys, times))),
                ("imbl", Box::new(|| fill::<V, Imbl>(&keys, times))),
                ("std", Box::new(|| fill::<V, Std>(&keys, times))),
            ],
        )?;
    }
    if table.wants(&what("get"))
        || table.wants(&what("iterate"))
        || table.wants(&what("clone + one write"))
    {
        let (ours, imbl) = (filled::<V, Ours>(&keys), filled::<V, Imbl>(&keys));
        let (im, std) = (filled::<V, Im>(&keys), filled::<V, Std>(&keys));
        if table.wants(&what("get")) {
            compare(
                table,
                &what("get"),
                get,
                vec![
                    ("ours", Box::new(|| find(&ours, &reads))),
                    ("imbl", Box::new(|| find(&imbl, &reads))),
                    ("im", Box::new(|| find(&im, &reads))),
                    ("std", Box::new(|| find(&std, &reads))),
                ],
            )?;
        }
        if table.wants(&what("iterate")) {
            compare(
                table,
                &what("iterate"),
                iterate,
                vec![
                    ("ours", Box::new(|| read(&ours, count, times))),
                    ("imbl", Box::new(|| read(&imbl, count, times))),
                    ("std", Box::new(|| read(&std, count, times))),
                ],
            )?;
        }
        if table.wants(&what("clone + one write")) {
            let some = &reads[..20_000];
            compare(
                table,
                &what("clone + one write"),
                fork,
                vec![
                    ("ours", Box::new(|| write(&ours, some))),
                    ("imbl", Box::new(|| write(&imbl, some))),
                ],
            )?;
        }
    }
    Ok(())
}

fn filled<V: Item, M: Map<V>>(keys: &[u64]) -> M {
    let mut map = M::empty();
    keys.iter().for_each(|key| map.put(*key, V::make(*key)));
    map
}

fn fill<V: Item, M: Map<V>>(keys: &[u64], times: usize) -> f64 {
    timed(keys.len() * times, || (0..times).map(|_| black_box(filled::<V, M>(keys))).last())
}

fn find<V: Item>(map: &impl Map<V>, keys: &[u64]) -> f64 {
    timed(keys.len(), || {
        keys.iter().fold(0u64, |sum, key| sum.wrapping_add(map.find(*key).map_or(0, Item::sum)))
    })
}

fn read<V: Item>(map: &impl Map<V>, count: usize, times: usize) -> f64 {
    timed(count * times, || (0..times).fold(0, |sum, _| black_box(map.total()) ^ sum))
}

fn write<V: Item>(map: &impl Map<V>, keys: &[u64]) -> f64 {
    timed(keys.len(), || {
        for key in keys {
            let mut fork = map.clone();
            fork.put(*key, V::make(1));
            black_box(&fork);
        }
    })
}

/// Bytes an entry of a hash map, at sizes between a thousand and four million; the worst is held to the bar.
pub fn footprints(table: &mut Table) {
    let what = "HashMap bytes an entry, worst from 1 k to 4 M";
    if !table.wants(what) {
        return;
    }
    let keys: Vec<u64> = places(4_000_000, usize::MAX).into_iter().map(|key| key as u64).collect();
    let sizes = (0..25).map(|step| (1000.0 * 4000f64.powf(f64::from(step) / 24.0)) as usize);
    let (mut worst, mut imbl_worst) = (0.0f64, 0.0f64);
    let mut shown = Vec::new();
    for size in sizes {
        let (bytes, map) = heap::held(|| filled::<u64, HashMap<u64, u64>>(&keys[..size]));
        drop(map);
        let (peer, map) = heap::held(|| filled::<u64, ImblHash<u64>>(&keys[..size]));
        drop(map);
        let (each, peer) = (bytes as f64 / size as f64, peer as f64 / size as f64);
        shown.push(format!("{each:.0}"));
        (worst, imbl_worst) = (worst.max(each), imbl_worst.max(peer));
    }
    let same = |value: f64| Samples::new(vec![value; ROUNDS]);
    table
        .row(what, Unit::Bytes, &same(worst))
        .peer("imbl", &same(imbl_worst))
        .bar(Bar::AtMost(45.0));
    table.note(&format!("at 25 sizes: {}", shown.join(" ")));
}
