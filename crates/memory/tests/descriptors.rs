//! A process that has no descriptor left when it first needs memory. One test, since what the first
//! need finds is remembered for the whole process.

use std::fs::File;

use tine_memory::{Error, ForkMode, PAGE, Region};

/// Limits the process to `more` further descriptors. `None` lifts the limit.
fn allow(more: Option<u64>) {
    // The lowest number that is free is the one that the next descriptor gets.
    use std::os::fd::AsRawFd;
    let next = File::open("/dev/null").map(|file| file.as_raw_fd() as u64);
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is the call's to fill.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    limit.rlim_cur = more.map_or(limit.rlim_max, |more| next.unwrap() + more);
    // SAFETY: the structure is filled.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

#[test]
fn a_shortage_of_descriptors_is_named_and_not_remembered() {
    for left in 0..3 {
        allow(Some(left));
        let refused = Region::zeroed(PAGE).map(|_| ());
        allow(None);
        let refused = refused.unwrap_err();
        let Error::Os { source, .. } = &refused else { panic!("{left} left: {refused}") };
        assert_eq!(source.raw_os_error(), Some(libc::EMFILE), "{refused}");
        assert!(refused.to_string().contains("ulimit -n"), "{refused}");
    }
    let mut region = Region::zeroed(10 * PAGE).unwrap();
    region[5] = 5;
    assert_eq!(region.fork_by(ForkMode::Lazy).unwrap()[5], 5);
}
