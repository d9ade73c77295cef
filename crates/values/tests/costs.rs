//! What operations allocate: nothing for a clone or a write in place, one path for a write to a
//! fork.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use tine_values::{Bytes, HashMap, OrdMap, Seq, Text, Tracker, Value};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The counters are process-wide, and other tests and the harness would allocate at the same time.
/// So this is a single test of several parts.
#[test]
fn the_allocator_sees_what_values_promise() {
    a_clone_asks_for_nothing();
    a_write_to_a_value_with_one_owner_asks_for_nothing();
    a_write_to_a_fork_copies_one_path();
    usage_is_the_allocators_bytes_to_the_byte();
    exclusive_bytes_are_what_dropping_a_fork_frees();
    everything_is_freed_in_the_end();
}

fn asked<R>(work: impl FnOnce() -> R) -> (Stats, R) {
    let region = Region::new(COUNTING);
    let result = work();
    (region.change(), result)
}

fn held(change: Stats) -> usize {
    change.bytes_allocated - change.bytes_deallocated
}

const COUNT: u64 = 100_000;

fn seq() -> Seq<u64> {
    (0..COUNT).collect()
}

fn ord() -> OrdMap<u64, u64> {
    (0..COUNT).map(|key| (key, key)).collect()
}

fn hash() -> HashMap<u64, u64> {
    (0..COUNT).map(|key| (key, key)).collect()
}

fn a_clone_asks_for_nothing() {
    let (seq, ord, hash) = (seq(), ord(), hash());
    let (text, bytes) = (Text::from("x".repeat(5000).as_str()), Bytes::from(&[1; 5000][..]));
    let (change, _clones) = asked(|| {
        (seq.clone(), ord.clone(), hash.clone(), text.clone(), bytes.clone(), Text::from("small"))
    });
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}

fn a_write_to_a_value_with_one_owner_asks_for_nothing() {
    let (mut seq, mut ord, mut hash) = (seq(), ord(), hash());
    let (change, ()) = asked(|| {
        for at in (0..COUNT).step_by(97) {
            seq.set(at as usize, 0);
            ord.insert(at, 0);
            *hash.get_mut(&at).unwrap() = 0;
            hash.insert(at, 1);
        }
    });
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}

fn a_write_to_a_fork_copies_one_path() {
    let (seq, ord, hash) = (seq(), ord(), hash());
    for at in (0..COUNT).step_by(9973) {
        let (mut a, mut b, mut c) = (seq.clone(), ord.clone(), hash.clone());
        let (change, _) = asked(|| a.set(at as usize, 0));
        assert_eq!(change.allocations, seq.usage().depth, "Seq");
        let (change, _) = asked(|| b.insert(at, 0));
        assert_eq!(change.allocations, ord.usage().depth, "OrdMap");
        let (change, _) = asked(|| c.insert(at, 0));
        // Leaves of a trie lie at different depths, and `depth` is that of the deepest.
        assert!((2..=hash.usage().depth).contains(&change.allocations), "HashMap");
    }
}

fn usage_is_the_allocators_bytes_to_the_byte() {
    fn agree<V: Value>(make: impl FnOnce() -> V) {
        let (change, value) = asked(make);
        let usage = value.usage();
        assert_eq!(usage.total, held(change));
        assert_eq!((usage.exclusive, usage.shared), (usage.total, 0));
        let (change, fork) = asked(|| value.clone());
        assert_eq!(held(change), 0);
        let (usage, all) = (fork.usage(), value.usage().total);
        assert_eq!((usage.exclusive, usage.shared), (0, all));
    }
    agree(Seq::<u64>::new);
    for count in [1, 5, 10, 100, 130, 5000, 77_777] {
        agree(|| (0..count).collect::<Seq<u64>>());
        agree(|| (0..count).map(|byte| byte as u8).collect::<Bytes>());
        agree(|| {
            let mut seq = Seq::new();
            (0..count).for_each(|item| seq.insert(item as usize / 2, item));
            seq
        });
        agree(|| {
            let mut map = OrdMap::new();
            (0..count).for_each(|key| _ = map.insert(key.wrapping_mul(0x9e37_79b9), key));
            map
        });
        agree(|| {
            let mut map = HashMap::new();
            (0..count).for_each(|key| _ = map.insert(key, key));
            map
        });
    }
}

fn exclusive_bytes_are_what_dropping_a_fork_frees() {
    let base = ord();
    let mut fork = base.clone();
    (0..50).for_each(|key| _ = fork.insert(key * 1999, 0));
    let exclusive = fork.usage().exclusive;
    assert!(exclusive > 0 && exclusive < base.usage().total / 2);
    let mut tracker = Tracker::new();
    assert_eq!(tracker.add(&base).new_bytes, base.usage().total);
    let added = tracker.add(&fork);
    assert_eq!(
        (added.new_bytes, added.new_bytes + added.shared_bytes),
        (exclusive, fork.usage().total)
    );
    assert_eq!(tracker.total_bytes(), base.usage().total + exclusive);
    let (change, ()) = asked(|| drop(fork));
    assert_eq!(change.bytes_deallocated, exclusive);
    assert_eq!(base.usage().exclusive, base.usage().total);
}

fn everything_is_freed_in_the_end() {
    let (change, ()) = asked(|| {
        let mut versions = vec![seq()];
        for step in 0..200usize {
            let mut next = versions[step / 2].clone();
            next.insert(step * 31 % next.len(), 1);
            let mut tail = next.split_off(next.len() / 2);
            next.append(&mut tail);
            next.remove(step);
            versions.push(next);
        }
    });
    assert_eq!(change.bytes_allocated, change.bytes_deallocated);
}
