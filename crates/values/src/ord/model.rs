//! Forks of ordered maps against forks of `BTreeMap`.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::OrdMap;
use super::shape::Ordered;
use crate::engine::check::check;
use crate::model::{KEYS, LIVE_MAX, Step, laws_between, step, take_step};

type Model = BTreeMap<u16, u8>;

fn sound(map: &OrdMap<u16, u8>) {
    check::<Ordered<u16, u8>>(
        &map.tree.root,
        |mark, inner, step| {
            step == 0
                || *mark <= inner.children[step].first().0
                    && last(&inner.children[step - 1]) < *mark
        },
        false,
    );
    assert!(map.keys().is_sorted_by(|a, b| a < b));
}

fn last(node: &crate::engine::node::Node<Ordered<u16, u8>>) -> u16 {
    match node.children().last() {
        Some(child) => last(child),
        None => node.items().last().unwrap().0,
    }
}

#[derive(Clone, Debug)]
enum Own {
    Split(u16),
    Append,
    RangeMut(u16, u16),
    Pop(bool),
    Extract(u8),
    Rising(u8),
}

fn own() -> impl Strategy<Value = Own> {
    prop_oneof![
        2 => KEYS.prop_map(Own::Split),
        2 => Just(Own::Append),
        1 => (KEYS, KEYS).prop_map(|(a, b)| Own::RangeMut(a, b)),
        1 => any::<bool>().prop_map(Own::Pop),
        1 => any::<u8>().prop_map(Own::Extract),
        1 => any::<u8>().prop_map(Own::Rising),
    ]
}

type Versions = Vec<(OrdMap<u16, u8>, Model)>;

fn take_own(versions: &mut Versions, which: usize, step: Own) {
    let other = versions[(which + 1) % versions.len()].clone();
    let (map, model) = &mut versions[which];
    match step {
        Own::Split(key) => {
            let pair = (map.split_off(&key), model.split_off(&key));
            versions.push(pair);
            if versions.len() > LIVE_MAX {
                versions.remove(0);
            }
        }
        Own::Append => {
            let (mut fork, mut items) = other;
            map.append(&mut fork);
            model.append(&mut items);
            assert!(fork.is_empty());
        }
        Own::RangeMut(a, b) => {
            let range = a.min(b)..=a.max(b);
            assert!(map.range(range.clone()).eq(model.range(range.clone())));
            assert!(map.range(range.clone()).rev().eq(model.range(range.clone()).rev()));
            map.range_mut(range.clone()).for_each(|(_, value)| *value ^= 1);
            model.range_mut(range).for_each(|(_, value)| *value ^= 1);
        }
        Own::Pop(true) => assert_eq!(map.pop_first(), model.pop_first()),
        Own::Pop(false) => assert_eq!(map.pop_last(), model.pop_last()),
        Own::Extract(bits) => {
            let doomed = |key: &u16, value: &mut u8| {
                *value ^= 1;
                *key as u8 & 7 == bits & 7
            };
            let range = u16::from(bits) / 2..u16::from(bits);
            let out: Vec<_> = map.extract_if(range.clone(), doomed).collect();
            assert_eq!(out, model.extract_if(range, doomed).collect::<Vec<_>>());
        }
        Own::Rising(count) => {
            for key in KEYS.end..KEYS.end + u16::from(count % 50) {
                map.insert(key, 0);
                model.insert(key, 0);
            }
        }
    }
}

fn apply(versions: &mut Versions, which: usize, step: Step<Own>) {
    take_step!(versions, which, step, take_own);
}

/// Folds over a part of the map, from a place that single steps have reached.
fn folded(map: &OrdMap<u16, u8>, from: usize, to: usize) -> Vec<u16> {
    let mut items = map.keys();
    items.by_ref().take(from).for_each(drop);
    items.by_ref().rev().take(to).for_each(drop);
    items.fold(Vec::new(), |mut all, key| {
        all.push(*key);
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_live_fork_equals_its_tree_map_after_each_step(
        start in proptest::collection::btree_map(KEYS, any::<u8>(), 0..60),
        steps in proptest::collection::vec(step(8, own()), 1..120),
    ) {
        let map: OrdMap<u16, u8> = start.iter().map(|(key, value)| (*key, *value)).collect();
        let mut versions = [(map, start)].to_vec();
        for (which, step) in steps {
            apply(&mut versions, which, step);
            for (map, model) in &versions {
                sound(map);
                prop_assert!(map.iter().eq(model));
                prop_assert!(map.iter().rev().eq(model.iter().rev()));
                prop_assert_eq!(map.len(), model.len());
                prop_assert!((0..220).all(|key| map.get(&key) == model.get(&key)));
            }
        }
        for (a, model_a) in &versions {
            for (b, model_b) in &versions {
                prop_assert_eq!(a.cmp(b), model_a.cmp(model_b));
                laws_between!(OrdMap, (a, model_a), (b, model_b));
            }
            for (from, to) in [(0, 0), (1, 0), (0, 1), (5, 7), (23, 40)] {
                let end = model_a.len().saturating_sub(to).max(from.min(model_a.len()));
                let part = model_a.keys().copied().take(end).skip(from);
                prop_assert_eq!(folded(a, from, to), part.collect::<Vec<_>>());
            }
        }
    }
}
