//! Laws of values at full node sizes: differences, patches, merges, standard traits, threads.

use std::collections::{BTreeMap, BTreeSet};

use tine_values::{Bytes, Change, HashMap, HashSet, OrdMap, OrdSet, Seq, Text};

const COUNT: u64 = 20_000;

fn ord() -> OrdMap<u64, u64> {
    (0..COUNT).map(|key| (key * 2, key)).collect()
}

fn hash() -> HashMap<u64, u64> {
    ord().into_iter().collect()
}

#[test]
fn a_diff_after_each_single_update_is_that_update() {
    let (base, scattered) = (ord(), hash());
    for key in 0..COUNT {
        let (mut fork, mut other) = (base.clone(), scattered.clone());
        let change = match key % 3 {
            0 => {
                fork.insert(key * 2 + 1, 7);
                other.insert(key * 2 + 1, 7);
                Change::Added(key * 2 + 1, 7)
            }
            1 => {
                fork.remove(&(key * 2));
                other.remove(&(key * 2));
                Change::Removed(key * 2, key)
            }
            _ => {
                fork.insert(key * 2, u64::MAX);
                other.insert(key * 2, u64::MAX);
                Change::Changed(key * 2, key, u64::MAX)
            }
        };
        assert_eq!(base.diff(&fork).to_patch().changes, [change]);
        assert_eq!(scattered.diff(&other).to_patch().changes, [change]);
    }
}

#[test]
fn a_diff_of_sequences_after_each_single_edit_is_that_edit() {
    let base: Seq<u64> = (0..COUNT).collect();
    for at in (0..COUNT as usize).step_by(3) {
        let mut fork = base.clone();
        let edit = match at % 9 {
            0 => {
                fork.insert(at, u64::MAX);
                (at..at, at..at + 1)
            }
            3 => {
                fork.remove(at);
                (at..at + 1, at..at)
            }
            _ => {
                fork.set(at, u64::MAX);
                (at..at + 1, at..at + 1)
            }
        };
        assert_eq!(base.diff(&fork).ranges().collect::<Vec<_>>(), [edit]);
    }
}

#[test]
fn a_patch_that_does_not_fit_changes_nothing_and_says_so() {
    let base = ord();
    let mut fork = base.clone();
    fork.insert(1, 1);
    fork.insert(4, 9);
    let patch = base.diff(&fork).to_patch();
    let mut other = base.clone();
    other.remove(&4);
    let kept = other.clone();
    let error = other.apply(&patch).unwrap_err();
    assert_eq!(error.at(), 1);
    assert!(error.to_string().contains("a key to change is absent or has another value"));
    assert!(other == kept);

    let (words, mut edited) = (Seq::from(["a", "b", "c"]), Seq::from(["a", "b", "c"]));
    edited.remove(1);
    let patch = words.diff(&edited).to_patch();
    let mut short: Seq<&str> = Seq::from(["a"]);
    assert!(short.apply(&patch).is_err());
    assert_eq!(short.len(), 1);
}

#[test]
fn a_merge_asks_only_about_what_both_forks_changed_differently() {
    let base = ord();
    let (mut ours, mut theirs) = (base.clone(), base.clone());
    ours.insert(0, 100);
    theirs.insert(0, 200);
    ours.insert(2, 5);
    theirs.insert(2, 5);
    ours.remove(&4);
    theirs.insert(6, 7);
    theirs.remove(&8);
    let mut asked = Vec::new();
    let merged = OrdMap::merge3(&base, &ours, &theirs, |conflict| {
        asked.push((*conflict.key, conflict.base.copied()));
        Some(conflict.ours? + conflict.theirs?)
    });
    assert_eq!(asked, [(0, Some(0))]);
    assert_eq!((merged[&0], merged[&2], merged[&6]), (300, 5, 7));
    assert!(!merged.contains_key(&4) && !merged.contains_key(&8));
    assert_eq!(merged.len(), base.len() - 2);
}

#[test]
fn overlapping_edits_of_a_sequence_are_one_conflict_with_all_three_sides() {
    let base: Seq<u32> = (0..5000).collect();
    let (mut ours, mut theirs) = (base.clone(), base.clone());
    ours.splice(100..103, [1, 1]);
    theirs.splice(102..104, [2]);
    theirs.push(9);
    let mut conflicts = Vec::new();
    let merged = Seq::merge3(&base, &ours, &theirs, |conflict| {
        conflicts.push(conflict.clone());
        Seq::from([7, 7])
    });
    assert_eq!(conflicts.len(), 1);
    let conflict = &conflicts[0];
    assert_eq!(conflict.at, 100);
    assert!(conflict.base == Seq::from([100, 101, 102, 103]));
    assert!(conflict.ours == Seq::from([1, 1, 103]));
    assert!(conflict.theirs == Seq::from([100, 101, 2]));
    assert!(merged.range(98..104).eq(&[98, 99, 7, 7, 104, 105]));
    assert_eq!((merged.len(), merged.last()), (4999, Some(&9)));
}

#[test]
fn texts_merge_line_edits_of_two_people() {
    let lines = |change: &[(usize, &str)]| {
        let text = |line: usize| {
            let found = change.iter().find(|(at, _)| *at == line);
            found.map_or(format!("zeile äöü {line}\n"), |(_, text)| format!("{text}\n"))
        };
        (0..500).map(text).collect::<String>()
    };
    let base = Text::from(lines(&[]).as_str());
    let edit = |mut text: Text, line: usize, with: &str| {
        let all = text.to_string();
        let start = all.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
        let end = start + all[start..].find('\n').unwrap();
        text.replace_range(start..end, with);
        text
    };
    let (ours, theirs) = (edit(base.clone(), 10, "oürs"), edit(base.clone(), 400, "theirs 🌳"));
    let merged = Text::merge3(&base, &ours, &theirs, |_| unreachable!("no line was edited twice"));
    assert!(merged == lines(&[(10, "oürs"), (400, "theirs 🌳")]).as_str());
}

#[test]
fn unrelated_sequences_differ_as_a_whole_and_still_patch() {
    let (a, b): (Seq<u64>, Seq<u64>) = ((0..30_000).collect(), (50_000..90_000).collect());
    let mut patched = a.clone();
    patched.apply(&a.diff(&b).to_patch()).unwrap();
    assert!(patched == b);
}

#[test]
fn sets_behave_like_those_of_std() {
    let items: Vec<u32> = (0..3000).map(|n| n * 7919 % 5000).collect();
    let (ord, hash): (OrdSet<u32>, HashSet<u32>) =
        (items.iter().copied().collect(), items.iter().copied().collect());
    let model: BTreeSet<u32> = items.iter().copied().collect();
    assert!(ord.iter().eq(&model));
    assert_eq!(hash.len(), model.len());
    assert!((0..5000).all(|n| hash.contains(&n) == model.contains(&n)));
    assert!(ord.range(100..200).eq(model.range(100..200)));
    let mut fork = hash.clone();
    let out: BTreeSet<u32> = fork.extract_if(|n| n % 2 == 0).collect();
    assert!(out.iter().all(|n| n % 2 == 0) && out.len() + fork.len() == hash.len());
    assert!(fork.is_subset(&hash) && hash.difference(&fork).count() == out.len());
    let merged = HashSet::merge3(&hash, &fork, &hash);
    assert!(merged == fork);
}

#[test]
fn sets_unite_and_differ_like_those_of_std() {
    let sets: [BTreeSet<u32>; 4] = [
        BTreeSet::new(),
        (0..300).collect(),
        (100..900).step_by(3).collect(),
        (0..1000).filter(|n| n % 5 < 2).collect(),
    ];
    for (a, b) in sets.iter().flat_map(|a| sets.iter().map(move |b| (a, b))) {
        let ord = [a, b].map(|set| set.iter().copied().collect::<OrdSet<u32>>());
        assert!(ord[0].union(&ord[1]).eq(a.union(b)));
        assert!(ord[0].symmetric_difference(&ord[1]).eq(a.symmetric_difference(b)));
        assert!(ord[0].intersection(&ord[1]).eq(a.intersection(b)));
        assert!(ord[0].difference(&ord[1]).eq(a.difference(b)));
        assert_eq!(ord[0].is_superset(&ord[1]), a.is_superset(b));
        assert_eq!(ord[0].is_disjoint(&ord[1]), a.is_disjoint(b));
        let mut hash = [a, b].map(|set| set.iter().copied().collect::<HashSet<u32>>());
        let sorted = |items: &mut dyn Iterator<Item = &u32>| {
            let mut items: Vec<u32> = items.copied().collect();
            items.sort_unstable();
            items
        };
        assert!(sorted(&mut hash[0].union(&hash[1])).iter().eq(a.union(b)));
        let apart = sorted(&mut hash[0].symmetric_difference(&hash[1]));
        assert!(apart.iter().eq(a.symmetric_difference(b)));
        assert_eq!(hash[0].drain().count(), a.len());
        assert!(hash[0].is_empty());
    }
}

#[test]
fn entries_of_both_maps_take_what_those_of_std_take() {
    let (mut ord, mut hash) = (ord(), hash());
    assert_eq!(*ord.entry(1).or_insert_with_key(|key| key + 41), 42);
    assert_eq!(*hash.entry(1).or_insert_with_key(|key| key + 41), 42);
    assert_eq!(*ord.entry(1).or_insert_with_key(|_| 0), 42);
    let tine_values::ord::Entry::Occupied(entry) = ord.entry(1) else { unreachable!() };
    assert_eq!(entry.remove_entry(), (1, 42));
    let tine_values::hash::Entry::Occupied(entry) = hash.entry(1) else { unreachable!() };
    assert_eq!(entry.remove(), 42);
    assert!(!ord.contains_key(&1) && !hash.contains_key(&1));
}

#[test]
fn values_print_hash_and_order_like_those_of_std() {
    use std::hash::BuildHasher;
    let (seq, map) = (Seq::from([1, 2, 3]), OrdMap::from([(1, "a"), (2, "b")]));
    assert_eq!(format!("{seq:?} {map:?}"), r#"[1, 2, 3] {1: "a", 2: "b"}"#);
    assert_eq!(
        format!("{:?} {:?}", Text::from("é\n"), Bytes::from(&b"\x00a"[..])),
        r#""é\n" b"\x00a""#
    );
    let hasher = std::hash::RandomState::new();
    let (mut built, mut grown) = ((0..999).collect::<Seq<i32>>(), Seq::new());
    (0..999).for_each(|item| grown.push(item));
    assert_eq!(hasher.hash_one(&built), hasher.hash_one(&grown));
    built.pop();
    assert!(built < grown);
    let std: BTreeMap<i32, &str> = map.clone().into_iter().collect();
    assert!(map.iter().eq(&std));
}

#[test]
fn forks_are_written_by_many_threads_without_locks() {
    let base: Seq<u64> = (0..COUNT).collect();
    let map = ord();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (mut seq, mut map) = (base.clone(), map.clone());
            scope.spawn(move || {
                for at in 0..2000 {
                    seq.set((at * 7 + thread) as usize, thread);
                    map.insert(at * 2 + 1, thread);
                    map.remove(&(at * 2));
                }
                assert_eq!(
                    (0..2000).filter(|at| seq[(at * 7 + thread) as usize] == thread).count(),
                    2000
                );
                assert_eq!(map.len() as u64, COUNT);
            });
        }
    });
    assert!(base.iter().copied().eq(0..COUNT));
    assert_eq!(map, ord());
}

#[test]
fn values_cross_threads_when_their_items_do() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Seq<u64>>();
    crosses::<OrdMap<u64, String>>();
    crosses::<OrdSet<u64>>();
    crosses::<HashMap<u64, String>>();
    crosses::<HashSet<u64>>();
    crosses::<Text>();
    crosses::<Bytes>();
}

#[test]
fn large_and_tiny_items_fit_leaves_of_their_size() {
    let mut pages: Seq<[u8; 256]> = (0..300).map(|n| [n as u8; 256]).collect();
    pages.insert(150, [7; 256]);
    assert_eq!((pages[149][0], pages[150][0], pages[151][0]), (149, 7, 150));
    let mut units: Seq<()> = (0..5000).map(|_| ()).collect();
    units.remove(17);
    assert_eq!((units.len(), units.iter().count()), (4999, 4999));
    let huge: Seq<[u64; 1000]> = (0..50).map(|n| [n; 1000]).collect();
    assert!(huge.iter().enumerate().all(|(at, item)| item[999] == at as u64));
}
