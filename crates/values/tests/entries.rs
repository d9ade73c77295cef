//! Ranges and entries of maps compared with those of `std`, also with ends in the wrong order, and
//! with keys whose `Ord`, `Hash` or `Eq` contradict themselves.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use tine_values::{HashMap, OrdMap, OrdSet};

fn bound() -> impl Strategy<Value = Bound<u8>> {
    prop_oneof![
        (0..40u8).prop_map(Bound::Included),
        (0..40u8).prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ]
}

/// The result, or the message of the panic without the name of the type.
fn outcome<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    // Many panics are expected, and none needs to be printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    result.map_err(|panic| {
        let text = match panic.downcast::<&str>() {
            Ok(text) => text.to_string(),
            Err(panic) => *panic.downcast::<String>().expect("a panic has a message"),
        };
        text.split(" in ").next().unwrap_or_default().to_owned()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_range_gives_what_a_btree_map_gives_and_panics_when_that_does(
        keys in prop::collection::btree_set(0..40u8, 0..25),
        range in (bound(), bound()),
    ) {
        let std: BTreeMap<u8, u8> = keys.iter().map(|key| (*key, *key)).collect();
        let mut own: OrdMap<u8, u8> = keys.iter().map(|key| (*key, *key)).collect();
        let set: OrdSet<u8> = keys.iter().copied().collect();
        let wanted = outcome(|| std.range(range).map(|(key, _)| *key).collect::<Vec<_>>());
        let found = outcome(|| own.range(range).map(|(key, _)| *key).collect::<Vec<_>>());
        prop_assert_eq!(&found, &wanted);
        let changed = outcome(|| own.range_mut(range).map(|(key, _)| *key).collect::<Vec<_>>());
        prop_assert_eq!(&changed, &wanted);
        let std: BTreeSet<u8> = keys;
        let wanted = outcome(|| std.range(range).copied().collect::<Vec<_>>());
        prop_assert_eq!(outcome(|| set.range(range).copied().collect::<Vec<_>>()), wanted);
    }
}

thread_local! {
    /// What `Ord`, `Eq` and `Hash` of a [`Moody`] return next.
    static MOOD: Cell<u64> = const { Cell::new(0) };
}

fn mood(of: u64) -> u64 {
    MOOD.set(MOOD.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    (MOOD.get() >> 33) % of
}

/// A key that compares and hashes arbitrarily.
#[derive(Clone, Debug)]
struct Moody(#[allow(dead_code)] String);

impl PartialEq for Moody {
    fn eq(&self, _: &Moody) -> bool {
        mood(4) == 0
    }
}
impl Eq for Moody {}
impl PartialOrd for Moody {
    fn partial_cmp(&self, other: &Moody) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Moody {
    fn cmp(&self, _: &Moody) -> Ordering {
        [Ordering::Less, Ordering::Equal, Ordering::Greater][mood(3) as usize]
    }
}
impl Hash for Moody {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(mood(1000));
    }
}

macro_rules! entries_of_moody_keys {
    ($map:ident, $entry:path) => {{
        use $entry as Entry;
        for seed in 0..40 {
            MOOD.set(seed);
            let mut map: $map<Moody, u64> = $map::new();
            let mut forks = Vec::new();
            for n in 0..400u64 {
                let key = Moody(n.to_string());
                match n % 8 {
                    0 => *map.entry(key).or_insert(n) += 1,
                    1 => *map.entry(key).and_modify(|value| *value += 1).or_default() += 1,
                    _ => match map.entry(key) {
                        Entry::Occupied(mut entry) => {
                            let value = *entry.get();
                            assert_eq!(entry.insert(n), value);
                            *entry.get_mut() += 1;
                            if n % 3 == 0 {
                                assert_eq!(entry.remove(), n + 1);
                            } else {
                                assert_eq!(*entry.into_mut(), n + 1);
                            }
                        }
                        Entry::Vacant(entry) => {
                            let value = entry.insert(n);
                            assert_eq!(*value, n);
                            *value += 1;
                        }
                    },
                }
                if n % 50 == 0 {
                    forks.push((map.clone(), map.values().copied().collect::<Vec<_>>()));
                }
            }
            assert_eq!(map.iter().count(), map.len());
            for (fork, values) in forks {
                assert!(fork.values().copied().eq(values), "a fork was changed");
            }
        }
    }};
}

#[test]
fn entries_of_keys_that_contradict_themselves_stay_where_they_were_found() {
    entries_of_moody_keys!(OrdMap, tine_values::ord::Entry);
    entries_of_moody_keys!(HashMap, tine_values::hash::Entry);
}

#[test]
fn an_entry_that_is_filled_is_the_one_that_the_map_has() {
    let mut map: OrdMap<u64, u64> = OrdMap::new();
    let mut hash: HashMap<u64, u64> = HashMap::new();
    let mut keys = 1u64;
    for n in 0..20_000 {
        keys = keys.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let key = keys >> 50;
        let fork = (n % 500 == 0).then(|| (map.clone(), hash.clone()));
        *map.entry(key).or_insert(0) += key;
        *hash.entry(key).or_insert(0) += key;
        assert_eq!((map[&key] % key.max(1), hash[&key]), (0, map[&key]));
        if let Some((old_map, old_hash)) = fork {
            assert_eq!(old_map.get(&key), old_hash.get(&key));
        }
    }
    assert_eq!(map.len(), hash.len());
    assert!(map.keys().is_sorted() && map.iter().all(|(key, value)| hash[key] == *value));
}
