//! Forks of ordered maps against forks of `BTreeMap`.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use super::OrdMap;
use super::kind::Ordered;
use crate::engine::check::check;

type Model = BTreeMap<u16, u8>;

fn sound(map: &OrdMap<u16, u8>) {
    check::<Ordered<u16, u8>>(
        &map.tree.root,
        |mark, inner, step| {
            step == 0 || *mark <= inner.kids[step].first().0 && last(&inner.kids[step - 1]) < *mark
        },
        false,
    );
    assert!(map.keys().is_sorted_by(|a, b| a < b));
}

fn last(node: &crate::engine::node::Node<Ordered<u16, u8>>) -> u16 {
    match node.kids().last() {
        Some(kid) => last(kid),
        None => node.items().last().unwrap().0,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Fork,
    Drop,
    Insert(u16, u8),
    Remove(u16),
    Entry(u16),
    Split(u16),
    Append,
    Retain(u8),
    RangeMut(u16, u16),
    Pop(bool),
    Extract(u8),
    Rising(u8),
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
            2 => key.clone().prop_map(Step::Entry),
            2 => key.clone().prop_map(Step::Split),
            2 => Just(Step::Append),
            1 => any::<u8>().prop_map(Step::Retain),
            1 => (key.clone(), key).prop_map(|(a, b)| Step::RangeMut(a, b)),
            1 => any::<bool>().prop_map(Step::Pop),
            1 => any::<u8>().prop_map(Step::Extract),
            1 => any::<u8>().prop_map(Step::Rising),
        ],
    )
}

fn apply(versions: &mut Vec<(OrdMap<u16, u8>, Model)>, which: usize, step: Step) {
    let live = versions.len();
    let which = which % live;
    let other = versions[(which + 1) % live].clone();
    let (map, model) = &mut versions[which];
    match step {
        Step::Fork if live < 6 => versions.push(versions[which].clone()),
        Step::Drop if live > 1 => drop(versions.remove(which)),
        Step::Fork | Step::Drop => {}
        Step::Insert(key, value) => assert_eq!(map.insert(key, value), model.insert(key, value)),
        Step::Remove(key) => assert_eq!(map.remove(&key), model.remove(&key)),
        Step::Entry(key) => {
            let change = |value: &mut u8| *value = value.wrapping_add(3);
            *map.entry(key).and_modify(change).or_insert(1) ^= 1;
            *model.entry(key).and_modify(change).or_insert(1) ^= 1;
        }
        Step::Split(key) => {
            let pair = (map.split_off(&key), model.split_off(&key));
            versions.push(pair);
            if versions.len() > 6 {
                versions.remove(0);
            }
        }
        Step::Append => {
            let (mut fork, mut items) = other;
            map.append(&mut fork);
            model.append(&mut items);
            assert!(fork.is_empty());
        }
        Step::Retain(limit) => {
            let keep = |_: &u16, value: &mut u8| {
                *value ^= 1;
                *value < limit
            };
            map.retain(keep);
            model.retain(keep);
        }
        Step::RangeMut(a, b) => {
            let range = a.min(b)..=a.max(b);
            assert!(map.range(range.clone()).eq(model.range(range.clone())));
            assert!(map.range(range.clone()).rev().eq(model.range(range.clone()).rev()));
            map.range_mut(range.clone()).for_each(|(_, value)| *value ^= 1);
            model.range_mut(range).for_each(|(_, value)| *value ^= 1);
        }
        Step::Pop(true) => assert_eq!(map.pop_first(), model.pop_first()),
        Step::Pop(false) => assert_eq!(map.pop_last(), model.pop_last()),
        Step::Extract(bits) => {
            let doomed = |key: &u16, value: &mut u8| {
                *value ^= 1;
                *key as u8 & 7 == bits & 7
            };
            let range = u16::from(bits) / 2..u16::from(bits);
            let out: Vec<_> = map.extract_if(range.clone(), doomed).collect();
            assert_eq!(out, model.extract_if(range, doomed).collect::<Vec<_>>());
        }
        Step::Rising(count) => {
            for key in 160..160 + u16::from(count % 50) {
                map.insert(key, 0);
                model.insert(key, 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_live_fork_equals_its_tree_map_after_each_step(
        start in proptest::collection::btree_map(0u16..160, any::<u8>(), 0..60),
        steps in proptest::collection::vec(step(), 1..120),
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
                prop_assert_eq!(a == b, model_a == model_b);
                prop_assert_eq!(a.cmp(b), model_a.cmp(model_b));
                let diff = a.diff(b);
                prop_assert_eq!(diff.is_empty(), model_a == model_b);
                let mut patched = a.clone();
                patched.apply(&diff.to_patch()).unwrap();
                sound(&patched);
                prop_assert_eq!(&patched, b);
                prop_assert_eq!(&OrdMap::merge3(a, a, b, |_| unreachable!()), b);
                prop_assert_eq!(&OrdMap::merge3(a, b, a, |_| unreachable!()), b);
            }
        }
    }
}
