//! A process that runs out of mappings, or of windows. Each test takes all there are, so one runs
//! at a time.

use std::sync::{Mutex, MutexGuard};

use tine_memory::{Error, ForkMode, Image, PAGE, Region};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

#[test]
fn the_budget_of_mappings_ends_in_an_error_and_not_in_a_crash() {
    let _alone = alone();
    let image = Image::from_bytes(&[1; PAGE]).unwrap();
    let mut forks = Vec::new();
    let refused = loop {
        match image.fork() {
            Ok(fork) => forks.push(fork),
            Err(error) => break error,
        }
        assert!(forks.len() < 1 << 20);
    };
    assert!(matches!(refused, Error::VmaBudget { .. }), "{refused}");
    assert!(forks.len() > 10_000);
    forks.truncate(10);
    assert_eq!(image.fork().unwrap()[0], 1);
}

#[test]
fn windows_that_have_closed_do_not_count() {
    let _alone = alone();
    let mut region = Region::zeroed(PAGE).unwrap();
    let mut forks = Vec::new();
    for round in 0..5000 {
        region[0] = round as u8;
        let mut fork = region.fork_by(ForkMode::Lazy).unwrap();
        region.settle().unwrap();
        fork.settle().unwrap();
        forks.push(fork);
    }
    assert!(forks.iter().enumerate().all(|(round, fork)| fork[0] == round as u8));
}

#[test]
fn when_there_are_too_many_windows_lazy_forks_say_so_and_others_are_eager() {
    let _alone = alone();
    let mut region = Region::zeroed(PAGE).unwrap();
    region[0] = 7;
    let mut forks = Vec::new();
    let refused = loop {
        match region.fork_by(ForkMode::Lazy) {
            Ok(fork) => forks.push(fork),
            Err(error) => break error,
        }
        assert!(forks.len() < 10_000);
    };
    assert!(matches!(refused, Error::Windows { .. }), "{refused}");
    for round in 0..10 {
        region[0] = round;
        let fork = region.fork().unwrap();
        assert_eq!((fork[0], region[0]), (round, round));
    }
    assert!(forks.iter().all(|fork| fork[0] == 7));
}
