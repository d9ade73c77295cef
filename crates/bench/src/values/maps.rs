//! Maps: filling, finding, reading in order, writing to a fork, and bytes for each entry.

use anyhow::Result;
use std::collections::BTreeMap;
use std::hint::black_box;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_values::hash::RandomState;
use tine_values::{HashMap, OrdMap};

use super::{
    Measure, ROUNDS, compare, compare_reads, heap, item::Item, named, places, timed, with_rpds,
};

type ImblHash<V> = imbl::GenericHashMap<u64, V, RandomState, imbl::shared_ptr::DefaultSharedPtr>;
type ImHash<V> = im::HashMap<u64, V, RandomState>;
type RpdsHash<V> = rpds::HashTrieMapSync<u64, V, RandomState>;
type StdHash<V> = std::collections::HashMap<u64, V, RandomState>;

/// What each row must reach against imbl, as speeds: insert, get, iterate, clone and one write.
pub struct Bars {
    ordered: [f64; 4],
    hashed: [f64; 4],
}

/// A cost of at most 1.1 times is a speed of at least 1 / 1.1.
pub const BARS: Bars = Bars { ordered: [1.0, 1.0, 4.0, 1.0 / 1.1], hashed: [1.0, 1.0, 3.0, 0.9] };

pub const PARITY: Bars = Bars { ordered: [0.9; 4], hashed: [0.9; 4] };

/// A map of any crate.
trait Map<V: Item>: Clone {
    fn empty() -> Self;
    fn put(&mut self, key: u64, value: V);
    fn find(&self, key: u64) -> Option<&V>;
    fn total(&self) -> u64;
}

macro_rules! map {
    ($kind:ty, $empty:expr, $put:ident) => {
        impl<V: Item> Map<V> for $kind {
            fn empty() -> Self {
                $empty
            }

            fn put(&mut self, key: u64, value: V) {
                self.$put(key, value);
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

map!(OrdMap<u64, V>, OrdMap::new(), insert);
map!(imbl::OrdMap<u64, V>, imbl::OrdMap::new(), insert);
map!(im::OrdMap<u64, V>, im::OrdMap::new(), insert);
map!(rpds::RedBlackTreeMapSync<u64, V>, rpds::RedBlackTreeMap::new_sync(), insert_mut);
map!(BTreeMap<u64, V>, BTreeMap::new(), insert);
map!(HashMap<u64, V>, HashMap::new(), insert);
map!(ImblHash<V>, ImblHash::with_hasher(RandomState::default()), insert);
map!(ImHash<V>, ImHash::with_hasher(RandomState::default()), insert);
map!(RpdsHash<V>, RpdsHash::new_with_hasher_and_ptr_kind(RandomState::default()), insert_mut);
map!(StdHash<V>, StdHash::default(), insert);

pub fn run<V: Item>(table: &mut Table, count: usize, bars: &Bars) -> Result<()> {
    rows::<V, Ordered>(table, count, bars.ordered)?;
    rows::<V, Hashed>(table, count, bars.hashed)
}

/// The maps that are compared with each other.
trait Family<V: Item> {
    const NAME: &'static str;
    type Ours: Map<V>;
    type Imbl: Map<V>;
    type Im: Map<V>;
    type Rpds: Map<V>;
    type Std: Map<V>;
}

struct Ordered;

impl<V: Item> Family<V> for Ordered {
    const NAME: &'static str = "OrdMap";
    type Ours = OrdMap<u64, V>;
    type Imbl = imbl::OrdMap<u64, V>;
    type Im = im::OrdMap<u64, V>;
    type Rpds = rpds::RedBlackTreeMapSync<u64, V>;
    type Std = BTreeMap<u64, V>;
}

struct Hashed;

impl<V: Item> Family<V> for Hashed {
    const NAME: &'static str = "HashMap";
    type Ours = HashMap<u64, V>;
    type Imbl = ImblHash<V>;
    type Im = ImHash<V>;
    type Rpds = RpdsHash<V>;
    type Std = StdHash<V>;
}

fn rows<V: Item, F: Family<V>>(table: &mut Table, count: usize, bars: [f64; 4]) -> Result<()> {
    let keys: Vec<u64> = places(count, usize::MAX).into_iter().map(|key| key as u64).collect();
    let reads: Vec<u64> =
        places(count.max(100_000), count).into_iter().map(|at| keys[at]).collect();
    let what = |what: &str| named::<V>(&format!("{} {what}", F::NAME), count);
    let times = 1_000_000usize.div_ceil(count).min(100);
    let [insert, get, iterate, fork] = bars.map(Bar::SpeedAtLeast);

    if table.wants(&what("insert")) {
        let mut contestants: Vec<(_, Measure<'_>)> = vec![
            ("ours", Box::new(|| fill::<V, F::Ours>(&keys, times))),
            ("imbl", Box::new(|| fill::<V, F::Imbl>(&keys, times))),
            ("std", Box::new(|| fill::<V, F::Std>(&keys, times))),
        ];
        if with_rpds(count) {
            contestants.push(("rpds", Box::new(|| fill::<V, F::Rpds>(&keys, times))));
        }
        compare(table, &what("insert"), insert, contestants)?;
    }
    if table.wants(&what("get"))
        || table.wants(&what("iterate"))
        || table.wants(&what("clone + one write"))
    {
        let (ours, imbl) = (filled::<V, F::Ours>(&keys), filled::<V, F::Imbl>(&keys));
        let (im, std) = (filled::<V, F::Im>(&keys), filled::<V, F::Std>(&keys));
        let rpds = with_rpds(count).then(|| filled::<V, F::Rpds>(&keys));
        if table.wants(&what("get")) {
            let mut contestants: Vec<(_, Measure<'_>)> = vec![
                ("ours", Box::new(|| find(&ours, &reads))),
                ("imbl", Box::new(|| find(&imbl, &reads))),
                ("im", Box::new(|| find(&im, &reads))),
                ("std", Box::new(|| find(&std, &reads))),
            ];
            if let Some(rpds) = &rpds {
                contestants.push(("rpds", Box::new(|| find(rpds, &reads))));
            }
            compare_reads(table, &what("get"), get, contestants)?;
        }
        if table.wants(&what("iterate")) {
            let mut contestants: Vec<(_, Measure<'_>)> = vec![
                ("ours", Box::new(|| read(&ours, count, times))),
                ("imbl", Box::new(|| read(&imbl, count, times))),
                ("im", Box::new(|| read(&im, count, times))),
                ("std", Box::new(|| read(&std, count, times))),
            ];
            if let Some(rpds) = &rpds {
                contestants.push(("rpds", Box::new(|| read(rpds, count, times))));
            }
            compare_reads(table, &what("iterate"), iterate, contestants)?;
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
    timed(keys.len() * times, || {
        (0..times).fold(None, |_, _| Some(black_box(filled::<V, M>(keys))))
    })
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

/// Bytes for each entry of a hash map, at sizes between a thousand and four million. The worst is
/// compared with the bar.
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
