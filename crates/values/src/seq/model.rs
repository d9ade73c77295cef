//! Forks of sequences against forks of vectors: after each step every live version is compared and
//! checked.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::shape::Sequence;
use super::{Seq, merge3};
use crate::engine::check::check;
use crate::engine::node::Node;

pub(crate) fn sound<T>(seq: &Seq<T>) {
    check::<Sequence<T>>(
        &seq.tree.root,
        |mark, inner, step| *mark == inner.children[..step].iter().map(Node::len).sum::<usize>(),
        false,
    );
}

#[derive(Clone, Debug)]
enum Step {
    Fork,
    Drop,
    Push(u8),
    PushFront(u8),
    Pop,
    PopFront,
    Insert(usize, u8),
    Remove(usize),
    Set(usize, u8),
    Split(usize),
    AppendOther,
    AppendRun(u8),
    Drain(usize, usize),
    Retain(u8),
    RetainMut(u8),
    Extract(usize, usize),
    AddToAll,
    Truncate(usize),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let at = any::<usize>();
    let item = any::<u8>();
    (
        any::<usize>(),
        prop_oneof![
            2 => Just(Step::Fork),
            1 => Just(Step::Drop),
            3 => item.prop_map(Step::Push),
            2 => item.prop_map(Step::PushFront),
            2 => Just(Step::Pop),
            2 => Just(Step::PopFront),
            6 => (at, item).prop_map(|(at, item)| Step::Insert(at, item)),
            6 => at.prop_map(Step::Remove),
            3 => (at, item).prop_map(|(at, item)| Step::Set(at, item)),
            2 => at.prop_map(Step::Split),
            2 => Just(Step::AppendOther),
            3 => item.prop_map(Step::AppendRun),
            2 => (at, at).prop_map(|(a, b)| Step::Drain(a, b)),
            1 => item.prop_map(Step::Retain),
            1 => item.prop_map(Step::RetainMut),
            1 => (at, at).prop_map(|(a, b)| Step::Extract(a, b)),
            1 => Just(Step::AddToAll),
            1 => at.prop_map(Step::Truncate),
        ],
    )
}

fn apply(versions: &mut Vec<(Seq<u8>, Vec<u8>)>, which: usize, step: Step) {
    let live = versions.len();
    let which = which % live;
    let other = versions[(which + 1) % live].clone();
    let (seq, model) = &mut versions[which];
    let len = model.len();
    match step {
        Step::Fork if live < 6 => {
            let fork = versions[which].clone();
            versions.push(fork);
        }
        Step::Drop if live > 1 => drop(versions.remove(which)),
        Step::Fork | Step::Drop => {}
        Step::Push(item) => {
            seq.push(item);
            model.push(item);
        }
        Step::PushFront(item) => {
            seq.push_front(item);
            model.insert(0, item);
        }
        Step::Pop => assert_eq!(seq.pop(), model.pop()),
        Step::PopFront => {
            assert_eq!(seq.pop_front(), (len > 0).then(|| model.remove(0)));
        }
        Step::Insert(at, item) => {
            seq.insert(at % (len + 1), item);
            model.insert(at % (len + 1), item);
        }
        Step::Remove(at) if len > 0 => assert_eq!(seq.remove(at % len), model.remove(at % len)),
        Step::Set(at, item) if len > 0 => {
            let old = core::mem::replace(&mut model[at % len], item);
            assert_eq!(seq.set(at % len, item), old);
        }
        Step::Remove(_) | Step::Set(..) => {}
        Step::Split(at) => {
            let at = at % (len + 1);
            let pair = (seq.split_off(at), model.split_off(at));
            versions.push(pair);
            if versions.len() > 6 {
                versions.remove(0);
            }
        }
        Step::AppendOther if len + other.1.len() < 400 => {
            let (mut fork, items) = other;
            seq.append(&mut fork);
            assert!(fork.is_empty());
            model.extend(items);
        }
        Step::AppendOther => {}
        Step::AppendRun(count) => {
            let run: Vec<u8> = (0..count % 40).collect();
            seq.extend(&run);
            model.extend(run);
        }
        Step::Drain(a, b) => {
            let (a, b) = (a % (len + 1), b % (len + 1));
            let range = a.min(b)..a.max(b);
            let drained: Vec<u8> = seq.drain(range.clone()).collect();
            assert_eq!(drained, model.drain(range).collect::<Vec<_>>());
        }
        Step::RetainMut(limit) => {
            let keep = |item: &mut u8| {
                *item ^= 1;
                *item < limit
            };
            seq.retain_mut(keep);
            model.retain_mut(keep);
        }
        Step::Extract(a, b) => {
            let (a, b) = (a % (len + 1), b % (len + 1));
            let range = a.min(b)..a.max(b);
            let doomed = |item: &mut u8| {
                *item ^= 2;
                item.is_multiple_of(3)
            };
            let out: Vec<u8> = seq.extract_if(range.clone(), doomed).collect();
            assert_eq!(out, model.extract_if(range, doomed).collect::<Vec<_>>());
        }
        Step::Retain(limit) => {
            seq.retain(|item| *item < limit);
            model.retain(|item| *item < limit);
        }
        Step::AddToAll => {
            seq.iter_mut().for_each(|item| *item = item.wrapping_add(1));
            model.iter_mut().for_each(|item| *item = item.wrapping_add(1));
        }
        Step::Truncate(at) => {
            seq.truncate(at % (len + 1));
            model.truncate(at % (len + 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_live_fork_equals_its_vector_after_each_step(
        start in proptest::collection::vec(any::<u8>(), 0..60),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut versions = [(start.iter().copied().collect::<Seq<u8>>(), start)].to_vec();
        for (which, step) in steps {
            apply(&mut versions, which, step);
            for (seq, model) in &versions {
                sound(seq);
                prop_assert_eq!(seq.len(), model.len());
                prop_assert!(seq.iter().eq(model));
                prop_assert!(seq.iter().rev().eq(model.iter().rev()));
                prop_assert!((0..model.len()).all(|at| seq.get(at) == model.get(at)));
                prop_assert_eq!(seq.get(model.len()), None);
                prop_assert_eq!(seq.chunks().map(<[u8]>::len).sum::<usize>(), model.len());
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
                prop_assert_eq!(&merge3(a, a, b, |_| unreachable!()), b);
                prop_assert_eq!(&merge3(a, b, a, |_| unreachable!()), b);
                prop_assert_eq!(&merge3(a, b, b, |_| unreachable!()), b);
            }
        }
        for (seq, model) in versions {
            prop_assert!(seq.clone().into_iter().rev().eq(model.iter().copied().rev()));
            prop_assert!(seq.into_iter().eq(model));
        }
    }

    #[test]
    fn edits_of_both_forks_outside_each_other_all_survive_a_merge(
        len in 20usize..300,
        ours in proptest::collection::btree_map(any::<u8>(), any::<bool>(), 0..12),
        theirs in proptest::collection::btree_map(any::<u8>(), any::<bool>(), 0..12),
    ) {
        // Each fork edits different places, four apart: it removes the item there or doubles it.
        let base: Seq<u32> = (0..len as u32 * 8).collect();
        let edited = |places: &std::collections::BTreeMap<u8, bool>, shift: usize| {
            let mut fork = base.clone();
            for (place, double) in places.iter().rev() {
                let at = usize::from(*place) * 8 % base.len() + shift;
                let Some(item) = fork.get(at).copied() else { continue };
                if *double { fork.insert(at, item) } else { fork.remove(at); }
            }
            fork
        };
        let (a, b) = (edited(&ours, 0), edited(&theirs, 4));
        let mut conflicts = 0;
        let merged = merge3(&base, &a, &b, |conflict| { conflicts += 1; conflict.ours });
        let swapped = merge3(&base, &b, &a, |conflict| { conflicts += 1; conflict.ours });
        sound(&merged);
        if ours.keys().chain(theirs.keys()).all(|at| usize::from(*at) * 8 < base.len()) {
            prop_assert_eq!(conflicts, 0);
            prop_assert_eq!(&merged, &swapped);
            prop_assert_eq!(merged.len() + base.len(), a.len() + b.len());
        }
    }

    #[test]
    fn both_ends_of_an_iterator_meet_anywhere(
        items in proptest::collection::vec(any::<u8>(), 0..80),
        ends in proptest::collection::vec(any::<bool>(), 0..90),
        split in (any::<usize>(), any::<usize>()),
    ) {
        let mut seq: Seq<u8> = items.iter().copied().collect();
        let (a, b) = (split.0 % (items.len() + 1), split.1 % (items.len() + 1));
        let range = a.min(b)..a.max(b);
        let mut model = items[range.clone()].iter();
        let mut part = seq.range(range);
        for front in &ends {
            prop_assert_eq!(part.len(), model.len());
            if *front {
                prop_assert_eq!(part.next(), model.next());
            } else {
                prop_assert_eq!(part.next_back(), model.next_back());
            }
        }
        drop(part);
        let fork = seq.clone();
        let mut model = items.clone();
        let mut mutable = model.iter_mut();
        let mut part = seq.iter_mut();
        for front in &ends {
            let (a, b) = if *front {
                (part.next(), mutable.next())
            } else {
                (part.next_back(), mutable.next_back())
            };
            prop_assert_eq!(a.is_some(), b.is_some());
            if let (Some(a), Some(b)) = (a, b) {
                prop_assert_eq!(*a, *b);
                *a ^= 1;
                *b ^= 1;
            }
        }
        drop(part);
        prop_assert!(seq.iter().eq(&model));
        prop_assert!(fork.iter().eq(&items));
    }
}
