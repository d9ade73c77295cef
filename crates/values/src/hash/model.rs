//! Forks of hash maps against forks of `std`'s, with a good hasher, one of few values and one of a
//! single value.

use core::hash::{BuildHasher, Hasher};
use proptest::prelude::*;
use std::collections::HashMap as Std;
use std::vec::Vec;

use super::HashMap;
use super::check::check;
use super::trie::rank;
use crate::model::{KEYS, LIVE_MAX, Step, laws_between, step, take_step};

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
enum Own {
    Extract(u8),
    Few(u8),
}

fn own() -> impl Strategy<Value = Own> {
    prop_oneof![any::<u8>().prop_map(Own::Extract), any::<u8>().prop_map(Own::Few)]
}

type Versions = Vec<(Ours, Std<u16, u8>)>;

fn take_own(versions: &mut Versions, which: usize, step: Own) {
    let (map, model) = &mut versions[which];
    match step {
        Own::Extract(bits) => {
            let doomed = |key: &u16, _: &mut u8| *key as u8 & 7 == bits & 7;
            let out: std::collections::BTreeMap<_, _> = map.extract_if(doomed).collect();
            assert_eq!(out, model.extract_if(doomed).collect());
        }
        // Like sets: by reference, so that leaves that lose nothing stay shared.
        Own::Few(bits) => {
            let marked: Vec<bool> = map.keys().map(|key| *key as u8 & 15 == bits & 15).collect();
            assert_eq!(map.extract(&marked).len(), marked.iter().filter(|doomed| **doomed).count());
            model.retain(|key, _| *key as u8 & 15 != bits & 15);
        }
    }
}

fn apply(versions: &mut Versions, which: usize, step: Step<Own>) {
    take_step!(versions, which, step, take_own);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_live_fork_equals_its_hash_map_after_each_step(
        mask in prop_oneof![Just(0), Just(6), Just(u64::MAX)],
        start in proptest::collection::hash_map(KEYS, any::<u8>(), 0..60),
        steps in proptest::collection::vec(step(2, own()), 1..120),
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
                laws_between!(HashMap, (a, model_a), (b, model_b));
                // The same entries under another hasher compare and differ in the same way.
                let elsewhere = HashMap::build(b.clone(), Colliding(mask ^ 2));
                laws_between!(HashMap, (a, model_a), (&elsewhere, model_b));
            }
        }
    }
}
