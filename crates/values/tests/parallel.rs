//! Parallel iteration at full node sizes: it visits what iteration visits, leaf by leaf.
#![cfg(feature = "rayon")]

use rayon::iter::ParallelIterator;
use tine_values::{HashMap, OrdMap, Seq};

const COUNT: u64 = 20_000;

#[test]
fn parallel_iteration_hands_out_every_item_once_and_in_order() {
    let mut seq: Seq<u64> = (0..COUNT).collect();
    seq.insert(777, u64::MAX);
    let ord: OrdMap<u64, u64> = (0..COUNT).map(|key| (key * 7919 % COUNT, key)).collect();
    let hash: HashMap<u64, u64> = (0..COUNT).map(|key| (key, key ^ 1)).collect();

    assert_eq!(seq.par_iter().collect::<Vec<_>>(), seq.iter().collect::<Vec<_>>());
    assert_eq!(ord.par_iter().collect::<Vec<_>>(), ord.iter().collect::<Vec<_>>());
    assert_eq!(hash.par_iter().collect::<Vec<_>>(), hash.iter().collect::<Vec<_>>());
}

#[test]
fn parallel_iteration_of_nothing_is_nothing() {
    assert_eq!(Seq::<u64>::new().par_iter().count(), 0);
    assert_eq!(OrdMap::<u64, u64>::new().par_iter().count(), 0);
    assert_eq!(HashMap::<u64, u64>::new().par_iter().count(), 0);
}

#[test]
fn a_fork_is_written_while_another_is_read_in_parallel() {
    let base: Seq<u64> = (0..COUNT).collect();
    let mut fork = base.clone();
    let (sum, ()) = rayon::join(
        || base.par_iter().sum::<u64>(),
        || fork.iter_mut().for_each(|item| *item += 1),
    );
    assert_eq!(sum, COUNT * (COUNT - 1) / 2);
    assert_eq!(fork.par_iter().sum::<u64>(), sum + COUNT);
}
