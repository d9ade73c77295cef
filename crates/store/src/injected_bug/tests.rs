//! The oracle, the checker or an assertion finds each mistake.

use super::InjectedBug;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

// Outside this crate, where the oracle lives too, options cannot be written as an expression.
#[allow(clippy::field_reassign_with_default)]
#[path = "../../tests/oracle/mod.rs"]
mod oracle;

use oracle::judge::{Depth, judge_seed};

const DEPTH: Depth = Depth { lives: 2, steps: 60, again_one_in: 20 };

thread_local! {
    static INJECTED: Cell<Option<InjectedBug>> = const { Cell::new(None) };
}

pub(crate) fn injected(defect: InjectedBug) -> bool {
    INJECTED.get() == Some(defect)
}

/// The first seed under which the oracle, the checker or an assertion finds the mistake.
fn found_by(defect: Option<InjectedBug>, seeds: u64) -> Option<u64> {
    INJECTED.set(defect);
    let found = (0..seeds).find(|seed| {
        let verdict = catch_unwind(AssertUnwindSafe(|| judge_seed(*seed, DEPTH)));
        !matches!(verdict, Ok(Ok(_)))
    });
    INJECTED.set(None);
    found
}

#[test]
fn the_oracle_finds_every_mistake_that_is_put_in_and_none_where_there_is_none() {
    assert_eq!(found_by(None, 4), None);
    for defect in [
        InjectedBug::CommitUnflushed,
        InjectedBug::CheckpointUnflushed,
        InjectedBug::ReuseEarly,
        InjectedBug::CountTooHigh,
        InjectedBug::CountTooLow,
        InjectedBug::GenerationStale,
        InjectedBug::SaltKept,
    ] {
        let found = found_by(Some(defect), 200);
        assert!(found.is_some(), "{defect:?} is not found");
        println!("{defect:?}: found by seed {}", found.unwrap_or_default());
    }
}
