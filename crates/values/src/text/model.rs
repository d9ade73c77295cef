//! Forks of texts against forks of strings, with characters of one to four bytes.

use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

use super::{Text, Utf8, merge3};
use crate::engine::check::check;
use crate::engine::node::Node;

fn sound(text: &Text) {
    if let Some(tree) = text.as_tree() {
        check::<Utf8>(
            &tree.root,
            |mark, inner, step| {
                *mark == inner.children[..step].iter().map(Node::len).sum::<usize>()
            },
            true,
        );
        // Each leaf is text by itself.
        tree.leaves().for_each(|leaf| assert!(core::str::from_utf8(leaf).is_ok()));
    }
}

fn piece() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just('a'), Just('é'), Just('木'), Just('🌳'), Just('\n')],
        0..24,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at % (text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Fork,
    Push(String),
    Replace(usize, usize, String),
    Split(usize),
    Append,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_live_fork_equals_its_string_after_each_step(
        start in piece(),
        steps in proptest::collection::vec((any::<usize>(), prop_oneof![
            1 => Just(Step::Fork),
            2 => piece().prop_map(Step::Push),
            5 => (any::<usize>(), any::<usize>(), piece()).prop_map(|(a, b, text)| Step::Replace(a, b, text)),
            1 => any::<usize>().prop_map(Step::Split),
            1 => Just(Step::Append),
        ]), 1..50),
    ) {
        let mut versions: Vec<(Text, String)> = [(Text::from(start.as_str()), start)].into();
        for (which, step) in steps {
            let which = which % versions.len();
            let other = versions[(which + 1) % versions.len()].clone();
            let (text, model) = &mut versions[which];
            match step {
                Step::Fork => versions.push(versions[which].clone()),
                Step::Push(piece) => {
                    text.push_str(&piece);
                    model.push_str(&piece);
                }
                Step::Replace(a, b, piece) => {
                    let (a, b) = (boundary(model, a), boundary(model, b));
                    let range = a.min(b)..a.max(b).min(a.min(b) + 30);
                    let range = range.start..boundary(model, range.end).max(range.start);
                    text.replace_range(range.clone(), &piece);
                    model.replace_range(range, &piece);
                }
                Step::Split(at) => {
                    let at = boundary(model, at);
                    let pair = (text.split_off(at), model.split_off(at));
                    versions.push(pair);
                }
                Step::Append if model.len() + other.1.len() < 600 => {
                    text.append(&other.0);
                    model.push_str(&other.1);
                }
                Step::Append => {}
            }
            while versions.len() > 5 {
                versions.remove(0);
            }
            for (text, model) in &versions {
                sound(text);
                prop_assert_eq!(text, model.as_str());
                prop_assert_eq!(&text.to_string(), model);
                prop_assert!(text.lines().eq(model.lines()));
                prop_assert!(text.chars().eq(model.chars()));
                prop_assert!((0..model.len() + 2)
                    .all(|at| text.is_char_boundary(at) == model.is_char_boundary(at)));
            }
        }
        for (a, model_a) in &versions {
            for (b, model_b) in &versions {
                prop_assert_eq!(a == b, model_a == model_b);
                prop_assert_eq!(a.cmp(b), model_a.cmp(model_b));
                let mut patched = a.clone();
                patched.apply(&a.diff(b)).unwrap();
                sound(&patched);
                prop_assert_eq!(&patched, b);
                prop_assert_eq!(&merge3(a, a, b, |_| unreachable!()), b);
                prop_assert_eq!(&merge3(a, b, a, |_| unreachable!()), b);
            }
        }
    }
}
