//! What the models of both maps share: steps that a map and its counterpart in `std` take in the
//! same way, and the laws that hold between any two forks.

use core::fmt::Debug;
use core::ops::Range;
use proptest::prelude::*;

/// Forks that live at one time.
pub(crate) const LIVE_MAX: usize = 6;
/// The keys from which steps choose.
pub(crate) const KEYS: Range<u16> = 0..160;

/// A step that both maps have, or one that only one of them has.
#[derive(Clone, Debug)]
pub(crate) enum Step<Own> {
    Fork,
    Drop,
    Insert(u16, u8),
    Remove(u16),
    Entry(u16),
    Retain(u8),
    AddToAll,
    Own(Own),
}

/// A fork, and what happens to it.
pub(crate) fn step<Own: Clone + Debug>(
    weight: u32,
    own: impl Strategy<Value = Own>,
) -> impl Strategy<Value = (usize, Step<Own>)> {
    let change = prop_oneof![
        2 => Just(Step::Fork),
        1 => Just(Step::Drop),
        12 => (KEYS, any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
        10 => KEYS.prop_map(Step::Remove),
        2 => KEYS.prop_map(Step::Entry),
        1 => any::<u8>().prop_map(Step::Retain),
        1 => Just(Step::AddToAll),
        weight => own.prop_map(Step::Own),
    ];
    (any::<usize>(), change)
}

/// Takes a step on one fork of `$versions`, and the same on its model. `$own` takes the steps that
/// only this map has.
macro_rules! take_step {
    ($versions:ident, $which:ident, $step:ident, $own:expr) => {{
        let live = $versions.len();
        let which = $which % live;
        let (map, model) = &mut $versions[which];
        match $step {
            Step::Fork if live < LIVE_MAX => $versions.push($versions[which].clone()),
            Step::Drop if live > 1 => drop($versions.remove(which)),
            Step::Fork | Step::Drop => {}
            Step::Insert(key, value) => {
                assert_eq!(map.insert(key, value), model.insert(key, value));
            }
            Step::Remove(key) => assert_eq!(map.remove(&key), model.remove(&key)),
            Step::Entry(key) => {
                let change = |value: &mut u8| *value = value.wrapping_add(3);
                *map.entry(key).and_modify(change).or_insert(1) ^= 1;
                *model.entry(key).and_modify(change).or_insert(1) ^= 1;
            }
            Step::Retain(limit) => {
                let keep = |_: &u16, value: &mut u8| {
                    *value ^= 1;
                    *value < limit
                };
                map.retain(keep);
                model.retain(keep);
            }
            Step::AddToAll => {
                map.values_mut().for_each(|value| *value = value.wrapping_add(1));
                model.values_mut().for_each(|value| *value = value.wrapping_add(1));
            }
            Step::Own(step) => $own($versions, which, step),
        }
    }};
}
pub(crate) use take_step;

/// What must hold between two forks: they are equal if the models are, a patch leads from one to
/// the other, and merging the changes of one side gives that side.
macro_rules! laws_between {
    ($map:ident, ($a:expr, $model_a:expr), ($b:expr, $model_b:expr)) => {{
        let (a, b, alike) = ($a, $b, $model_a == $model_b);
        prop_assert_eq!(a == b, alike);
        let diff = a.diff(b);
        prop_assert_eq!(diff.is_empty(), alike);
        let mut patched = a.clone();
        patched.apply(&diff.to_patch()).unwrap();
        sound(&patched);
        prop_assert_eq!(&patched, b);
        prop_assert_eq!(&$map::merge3(a, a, b, |_| unreachable!()), b);
        prop_assert_eq!(&$map::merge3(a, b, a, |_| unreachable!()), b);
    }};
}
pub(crate) use laws_between;
