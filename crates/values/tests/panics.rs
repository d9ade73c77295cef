//! `Clone`, `Ord`, `Hash`, `Eq` and `Drop` that panic at the k-th call: values stay whole, and
//! forks are not affected.

use std::cell::Cell;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tine_values::{HashMap, OrdMap, Seq};

thread_local! {
    /// Calls until the next panic. Zero for no panic.
    static FUSE: Cell<u32> = const { Cell::new(0) };
    /// Live items, to detect one that is dropped twice or lost.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// Set if `Drop` counts as a call.
    static DROPS: Cell<bool> = const { Cell::new(false) };
}

fn burn() {
    let left = FUSE.get();
    if left > 0 {
        FUSE.set(left - 1);
        if left == 1 {
            panic!("the fuse has burnt");
        }
    }
}

#[derive(Debug)]
struct Fused(u32);

impl Fused {
    fn new(item: u32) -> Self {
        LIVE.set(LIVE.get() + 1);
        Fused(item)
    }
}

impl Clone for Fused {
    fn clone(&self) -> Self {
        burn();
        Fused::new(self.0)
    }
}

impl Drop for Fused {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
        if DROPS.get() && !std::thread::panicking() {
            burn();
        }
    }
}

impl PartialEq for Fused {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Fused {}

impl PartialOrd for Fused {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fused {
    fn cmp(&self, other: &Self) -> Ordering {
        burn();
        self.0.cmp(&other.0)
    }
}

impl Hash for Fused {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

/// Runs `work` on a fork of `base` and on an unshared value, with a panic at each call in turn,
/// until none is left. `whole` checks both values after each.
fn at_each_call<V: Clone>(
    make: impl Fn() -> V,
    mut work: impl FnMut(&mut V),
    whole: impl Fn(&V, bool) -> bool,
) {
    let before = LIVE.get();
    for (shared, drops) in [(true, false), (false, false), (true, true), (false, true)] {
        DROPS.set(drops);
        let mut call = 1;
        loop {
            let base = make();
            let mut value = if shared { base.clone() } else { make() };
            FUSE.set(call);
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut value)));
            let burnt = FUSE.get() == 0;
            FUSE.set(0);
            assert!(whole(&base, true), "the base at call {call}");
            assert!(whole(&value, false), "the value at call {call}");
            drop((base, value));
            assert!(burnt || outcome.is_ok());
            if !burnt {
                break;
            }
            call += 1 + call / 16;
        }
        assert!(LIVE.get() >= before, "items dropped twice");
        // The compiler does not drop a return value when an argument's `Drop` panics, so items may
        // be lost then.
        assert!(drops || LIVE.get() == before, "items lost");
    }
    DROPS.set(false);
}

const COUNT: u32 = 900;

fn in_step(items: &[u32], len: usize) -> bool {
    items.len() == len
}

#[test]
fn a_sequence_survives_panics_in_every_edit() {
    let make = || (0..COUNT).map(Fused::new).collect::<Seq<Fused>>();
    let whole = |seq: &Seq<Fused>, base: bool| {
        let items: Vec<u32> = seq.iter().map(|item| item.0).collect();
        let by_index = (0..seq.len()).all(|at| seq.get(at).map(|item| item.0) == Some(items[at]));
        in_step(&items, seq.len()) && by_index && (!base || items.iter().copied().eq(0..COUNT))
    };
    let edits: [fn(&mut Seq<Fused>); 9] = [
        |seq| (0..40).for_each(|at| seq.insert(at * 7, Fused::new(at as u32))),
        |seq| (0..40).for_each(|at| drop(seq.remove(at * 3))),
        |seq| (0..40).for_each(|at| drop(seq.set(at * 5, Fused::new(1)))),
        |seq| (0..300).for_each(|item| seq.push(Fused::new(item))),
        |seq| (0..300).for_each(|_| drop(seq.pop())),
        |seq| {
            let mut tail = seq.split_off(333);
            seq.append(&mut tail);
        },
        |seq| drop(seq.drain(100..400)),
        |seq| seq.retain(|item| item.0 % 3 != 0),
        |seq| seq.iter_mut().for_each(|item| item.0 += 0),
    ];
    edits.into_iter().for_each(|edit| at_each_call(make, edit, whole));
}

#[test]
fn an_ordered_map_survives_panics_in_every_edit() {
    let make =
        || (0..COUNT).map(|key| (Fused::new(key * 2), Fused::new(key))).collect::<OrdMap<_, _>>();
    let whole = |map: &OrdMap<Fused, Fused>, base: bool| {
        let keys: Vec<u32> = map.keys().map(|key| key.0).collect();
        in_step(&keys, map.len())
            && keys.is_sorted_by(|a, b| a < b)
            && keys.iter().all(|key| map.contains_key(&Fused::new(*key)))
            && (!base || map.values().map(|value| value.0).eq(0..COUNT))
    };
    let edits: [fn(&mut OrdMap<Fused, Fused>); 7] = [
        |map| (0..60).for_each(|key| drop(map.insert(Fused::new(key * 9), Fused::new(0)))),
        |map| (0..60).for_each(|key| drop(map.remove(&Fused::new(key * 6)))),
        |map| (0..200).for_each(|key| drop(map.insert(Fused::new(5000 + key), Fused::new(0)))),
        |map| {
            let mut rest = map.split_off(&Fused::new(700));
            map.append(&mut rest);
        },
        |map| *map.entry(Fused::new(301)).or_insert(Fused::new(1)) = Fused::new(2),
        |map| map.retain(|key, _| key.0 % 8 != 0),
        |map| map.range_mut(Fused::new(100)..Fused::new(900)).for_each(|(_, value)| value.0 += 0),
    ];
    edits.into_iter().for_each(|edit| at_each_call(make, edit, whole));
}

#[test]
fn a_hash_map_survives_panics_in_every_edit() {
    let make =
        || (0..COUNT).map(|key| (Fused::new(key), Fused::new(key))).collect::<HashMap<_, _>>();
    let whole = |map: &HashMap<Fused, Fused>, base: bool| {
        let keys: Vec<u32> = map.keys().map(|key| key.0).collect();
        in_step(&keys, map.len())
            && keys.iter().all(|key| map.contains_key(&Fused::new(*key)))
            && (!base
                || (0..COUNT)
                    .all(|key| map.get(&Fused::new(key)).is_some_and(|value| value.0 == key)))
    };
    let edits: [fn(&mut HashMap<Fused, Fused>); 4] = [
        |map| (0..80).for_each(|key| drop(map.insert(Fused::new(key * 90), Fused::new(0)))),
        |map| (0..80).for_each(|key| drop(map.remove(&Fused::new(key * 6)))),
        |map| map.retain(|key, _| key.0 % 5 != 0),
        |map| map.values_mut().for_each(|value| value.0 += 0),
    ];
    edits.into_iter().for_each(|edit| at_each_call(make, edit, whole));
}

#[test]
fn comparing_merging_and_differing_leave_their_inputs_alone_when_they_panic() {
    let base: OrdMap<Fused, Fused> =
        (0..COUNT).map(|key| (Fused::new(key), Fused::new(key))).collect();
    let (mut ours, mut theirs) = (base.clone(), base.clone());
    (0..30).for_each(|key| drop(ours.insert(Fused::new(key * 11), Fused::new(1))));
    (0..30).for_each(|key| drop(theirs.remove(&Fused::new(key * 13))));
    for call in (1..4000).step_by(7) {
        FUSE.set(call);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            drop(OrdMap::merge3(&base, &ours, &theirs, |conflict| conflict.ours.cloned()));
            ours == theirs
        }));
        FUSE.set(0);
        assert!(base.values().map(|value| value.0).eq(0..COUNT));
        assert_eq!((ours.len(), theirs.len()), (COUNT as usize, COUNT as usize - 30));
    }
}
