//! Forks of hash maps against forks of `std`'s, with a good hasher, one of few values and one of a single value.

use core::hash::{BuildHasher, Hasher};
use proptest::prelude::*;
use std::collections::HashMap as Std;
use std::vec::Vec;

use super::HashMap;
use super::check::check;
use super::trie::rank;

/// Hashes to one of `.0 + 1` values.
#[derive(Clone, Copy, Debug)]
struct Colliding(u64);

struct Few(u64, u64);

impl BuildHasher for Colliding {
    type Hasher = Few;

    fn build_hasher(&self) -> Few {
        Few(self.0, 0)
    }
}

impl Hasher for Few {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.1 = self.1.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        (self.1 ^ (self.1 >> 17)) & self.0
    }
}

type Ours = HashMap<u16, u8, Colliding>;

fn sound(map: &Ours) {
    check(&map.trie.root, &|key| rank(&map.hasher, key));
}

#[derive(Clone, Debug)]
enum Step {
    Fork,
    Drop,
    Insert(u16, u8),
    Remove(u16),
    Entry(u16),
    Retain(u8),
    AddToAll,
    Extract(u8),
    Few(u8),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let key = 0u16..160;
    (
        any::<usize>(),
        prop_oneof![
            2 => Just(Step::Fork),
            1 => Just(Step::Drop),
            12 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
            10 => key.clone().prop_map(Step::Remove),
            2 => key.prop_map(Step::Entry),
            1 => any::<u8>().prop_map(Step::Retain),
            1 => Just(Step::AddToAll),
            1 => any::<u8>().prop_map(Step::Extract),
            1 => any::<u8>().prop_map(Step::Few),
        ],
    )
}

fn apply(versions: &mut Vec<(Ours, Std<u16, u8>)>, which: usize, step: Step) {
    let live = versions.len();
    let which = which % live;
    let (map, model) = &mut versions[which];
    match step {
        Step::Fork if live < 6 => versions.push(versions[which].clone()),
        Step::Drop if live > 1 => drop(versions.remove(which)),
        Step::Fork | Step::Drop => {}
        Step::Insert(key, value) => assert_eq!(map.insert(key, value), model.insert(key, value)),
        Step::Remove(key) => assert_eq!(map.remove(&key), model.remove(&key)),
        Step::Entry(key) => {
            *map.entry(key).or_default() ^= 1;
            *model.entry(key).or_default() ^= 1;
        }
        Step::Retain(limit) => {
            let keep = |_: &u16, value: &mut u8| {
                *value ^= 1;
                *value < limit
            };
            map.retain(keep);
            model.retain(keep);
        }
        Step::Extract(bits) => {
            let doomed = |key: &u16, _: &mut u8| *key as u8 & 7 == bits & 7;
            let out: std::collections::BTreeMap<_, _> = map.extract_if(doomed).collect();
            assert_eq!(out, model.extract_if(doomed).collect());
        }
        // As sets do it: by reference, so that leaves that lose nothing stay shared.
        Step::Few(bits) => {
            let marked: Vec<bool> = map.keys().map(|key| *key as u8 & 15 == bits & 15).collect();
            assert_eq!(map.extract(&marked).len(), marked.iter().filter(|doomed| **doomed).count());
            model.retain(|key, _| *key as u8 & 15 != bits & 15);
        }
        Step::AddToAll => {
            map.values_mut().for_each(|value| *value = value.wrapping_add(1));
            model.values_mut().for_each(|value| *value = value.wrapping_add(1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_live_fork_equals_its_hash_map_after_each_step(
        mask in prop_oneof![Just(0), Just(6), Just(u64::MAX)],
        start in proptest::collection::hash_map(0u16..160, any::<u8>(), 0..60),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let entries = start.iter().map(|(key, value)| (*key, *value));
        let map = HashMap::build(entries.clone(), Colliding(mask));
        let mut versions = [(map, start)].to_vec();
        for (which, step) in steps {
            apply(&mut versions, which, step);
            for (map, model) in &versions {
                sound(map);
                prop_assert_eq!(map.len(), model.len());
                prop_assert!((0..160).all(|key| map.get(&key) == model.get(&key)));
                prop_assert!(map.iter().all(|(key, value)| model.get(key) == Some(value)));
            }
        }
        for (a, model_a) in &versions {
            for (b, model_b) in &versions {
                prop_assert_eq!(a == b, model_a == model_b);
                // The same entries under another hasher compare and differ alike.
                let elsewhere = HashMap::build(b.clone(), Colliding(mask ^ 2));
                prop_assert_eq!(a == &elsewhere, model_a == model_b);
                for newer in [b, &elsewhere] {
                    let diff = a.diff(newer);
                    prop_assert_eq!(diff.is_empty(), model_a == model_b);
                    let mut patched = a.clone();
                    patched.apply(&diff.to_patch()).unwrap();
                    sound(&patched);
                    prop_assert_eq!(&patched, b);
                }
                prop_assert_eq!(&HashMap::merge3(a, a, b, |_| unreachable!()), b);
                prop_assert_eq!(&HashMap::merge3(a, b, a, |_| unreachable!()), b);
            }
        }
    }
}
