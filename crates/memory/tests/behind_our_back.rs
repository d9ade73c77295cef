//! Pages that come, move or are replaced with no access of the program: whatever locks, fills,
//! merges or collapses them, a region holds what it held, in every fork mode.
//!
//! Each way is tried in a separate process, on every generation of a family of forks, before and
//! after each step.

mod child;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use child::in_child;
use tine_memory::{
    Baseline, CopyAhead, ForkMode, HUGE, Image, Merger, PAGE, PersistentRegion, Probe, Region,
    SharedRegion,
};

const MODES: [ForkMode; 4] = [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy];

const MADV_POPULATE_READ: i32 = 22;
const MADV_POPULATE_WRITE: i32 = 23;

/// What happens to the memory of a region behind its back. Returns `false` if this system or user
/// cannot do it.
type Meddle = fn(&[u8]) -> bool;

fn advise(bytes: &[u8], advice: i32) -> bool {
    let pages = bytes.len() / PAGE * PAGE;
    // SAFETY: the advice changes no content of these pages, which the tests are there to show.
    unsafe { libc::madvise(bytes.as_ptr() as *mut libc::c_void, pages, advice) == 0 }
}

/// Gives advice about each part. A refusal, as of missing pages, does no harm.
fn try_each<'a>(parts: impl Iterator<Item = &'a [u8]>, advice: i32) -> bool {
    for part in parts {
        advise(part, advice);
    }
    true
}

/// Every third part of some length, so that what concerns a part splits mappings.
fn parts(bytes: &[u8], len: usize) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(len).skip(1).step_by(3).filter(move |part| part.len() == len)
}

fn lock(bytes: &[u8]) -> bool {
    // SAFETY: locking memory changes no content. It may fail where pages are missing; the flag is
    // set then too.
    unsafe { libc::mlock(bytes.as_ptr().cast(), bytes.len()) };
    true
}

fn lock_all(flags: i32) -> bool {
    // SAFETY: as above.
    let locked = unsafe { libc::mlockall(flags) } == 0;
    // An ordinary user may lock some megabytes; the tests take more.
    locked && may_lock()
}

fn may_lock() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is valid for the call; the other takes nothing.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    // SAFETY: takes nothing.
    limit.rlim_cur > 4 << 30 || unsafe { libc::geteuid() } == 0
}

/// Advice as another process would give it.
fn advise_from_outside(bytes: &[u8], advice: i32) -> bool {
    // SAFETY: a new descriptor of this process, with no other owner; then advice as above.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0);
        if process < 0 {
            return false;
        }
        let process = OwnedFd::from_raw_fd(process as i32);
        let pages = bytes.len() / PAGE * PAGE;
        let part = libc::iovec { iov_base: bytes.as_ptr() as *mut libc::c_void, iov_len: pages };
        libc::syscall(libc::SYS_process_madvise, process.as_raw_fd(), &part, 1, advice, 0) >= 0
    }
}

/// Makes the kernel move each page to another place, as the balancing of memory nodes and
/// compaction do.
fn migrate(bytes: &[u8]) -> bool {
    let pages: Vec<*const u8> = bytes.chunks(PAGE).map(<[u8]>::as_ptr).collect();
    let nodes = vec![0_i32; pages.len()];
    let mut status = vec![0_i32; pages.len()];
    // SAFETY: the arrays are as long as the count says. Pages that migrate keep their content.
    let moved = unsafe {
        let (pages, nodes, status) = (pages.as_ptr(), nodes.as_ptr(), status.as_mut_ptr());
        libc::syscall(libc::SYS_move_pages, 0, bytes.len().div_ceil(PAGE), pages, nodes, status, 2)
    };
    let _ = std::fs::write("/proc/sys/vm/compact_memory", "1"); // For root alone.
    moved >= 0
}

/// An image of data, a long hole, and data, with patches.
fn image() -> (Image, Vec<u8>) {
    let mut bytes = vec![0; 3 * HUGE + 17];
    for page in (0..HUGE / PAGE).chain(2 * HUGE / PAGE..3 * HUGE / PAGE) {
        bytes[page * PAGE..(page + 1) * PAGE].fill((page % 250) as u8 + 1);
    }
    let mut region = Image::from_bytes(&bytes).unwrap().fork().unwrap();
    for page in [7, 9, 2 * HUGE / PAGE + 3] {
        region[page * PAGE] = 251;
        bytes[page * PAGE] = 251;
    }
    (region.seal().unwrap(), bytes)
}

struct Member {
    region: Region,
    holds: Vec<u8>,
    /// What a reset brings back.
    origin: Vec<u8>,
}

impl Member {
    fn check(&self, what: &str) {
        if self.region[..] == self.holds[..] {
            return;
        }
        let Some(at) = (0..self.holds.len()).find(|at| self.region[*at] != self.holds[*at]) else {
            return;
        };
        let (page, is, was) = (at / PAGE, self.region[at], self.holds[at]);
        panic!("{what}: page {page} holds {is} in place of {was}");
    }

    /// Writes some pages of each part of the image, and zeros over others.
    fn write(&mut self, seed: usize) {
        for (part, step) in [(0, 37), (1, 41), (2, 43)] {
            for page in (seed * 5 % step..HUGE / PAGE).step_by(step) {
                let at = (part * HUGE / PAGE + page) * PAGE;
                let value = if page % 2 == 0 { seed as u8 + 100 } else { 0 };
                self.region[at..at + PAGE].fill(value);
                self.holds[at..at + PAGE].fill(value);
            }
        }
    }
}

/// Forks a family by a mode, and does with it all that a region can.
fn exercise(way: &str, mode: ForkMode, meddle: Meddle) {
    let mut family = fork_family(way, mode, meddle);
    use_once(&mut family, &format!("{way}, {mode:?}"), meddle);
    share(&mut family, &format!("{way}, {mode:?}"), meddle);
    reset(&mut family, &format!("{way}, {mode:?}"), meddle);
}

fn fork_family(way: &str, mode: ForkMode, meddle: Meddle) -> Vec<Member> {
    let (image, bytes) = image();
    let region = image.fork().unwrap();
    let mut family = vec![Member { region, holds: bytes.clone(), origin: bytes }];
    for generation in 0..4 {
        let what = format!("{way}, {mode:?}, generation {generation}");
        let parent = family.last_mut().unwrap();
        parent.region.set_copy_ahead(CopyAhead::OFF);
        parent.write(generation);
        meddle(&parent.region);
        let region = parent.region.fork_by(mode).unwrap_or_else(|e| panic!("{what}: {e}"));
        let holds = parent.holds.clone();
        if mode == ForkMode::Layer {
            parent.origin.clone_from(&holds);
        }
        let origin = match mode {
            ForkMode::Layer => holds.clone(),
            _ => parent.origin.clone(),
        };
        let mut child = Member { region, holds, origin };
        meddle(&child.region);
        meddle(&parent.region);
        if generation % 2 == 0 {
            child.check(&format!("{what}, child"));
            parent.check(&format!("{what}, parent"));
        }
        child.write(generation + 10);
        parent.write(generation + 20);
        meddle(&child.region);
        child.check(&format!("{what}, child that was written"));
        parent.check(&format!("{what}, parent that was written"));
        family.push(child);
    }
    family
}

/// Settles, seals, forks or grows each member.
fn use_once(family: &mut [Member], way: &str, meddle: Meddle) {
    for (at, member) in family.iter_mut().enumerate() {
        let what = format!("{way}, member {at}");
        meddle(&member.region);
        member.check(&what);
        match at % 4 {
            0 => member.region.settle().unwrap(),
            1 => {
                let sealed = member.region.seal().unwrap();
                assert!(sealed.fork().unwrap()[..] == member.holds[..], "{what}, sealed");
                member.origin.clone_from(&member.holds);
            }
            2 => {
                let fork = member.region.fork_by(ForkMode::Eager).unwrap();
                assert!(fork[..] == member.holds[..], "{what}, eagerly again");
            }
            _ => {
                member.region.grow(4 * HUGE).unwrap();
                member.holds.resize(4 * HUGE, 0);
                member.origin.resize(4 * HUGE, 0);
            }
        }
        meddle(&member.region);
        member.check(&format!("{what}, afterwards"));
    }
}

fn share(family: &mut [Member], way: &str, meddle: Meddle) {
    for (at, member) in family.iter_mut().enumerate() {
        let what = format!("{way}, member {at}, shared");
        member.write(at);
        meddle(&member.region);
        let image = member.region.share().unwrap_or_else(|e| panic!("{what}: {e}"));
        meddle(&member.region);
        member.check(&what);
        let mut fork = image.fork().unwrap();
        meddle(&fork);
        fork[3 * PAGE] = 99;
        fork.reset().unwrap();
        assert!(fork[..] == member.holds[..], "{what}, fork");
    }
}

fn reset(family: &mut [Member], way: &str, meddle: Meddle) {
    for (at, member) in family.iter_mut().enumerate() {
        let what = format!("{way}, member {at}, reset");
        for warm in [false, true] {
            if warm && Probe::new().has_windows() {
                member.region.keep_warm().unwrap();
                meddle(&member.region);
            }
            member.write(3);
            meddle(&member.region);
            member.region.reset().unwrap_or_else(|e| panic!("{what}: {e}"));
            member.holds.clone_from(&member.origin);
            meddle(&member.region);
            member.check(&what);
        }
    }
}

/// Saves a shared region and commits a persistent region in each way.
fn save(way: &str, meddle: Meddle) {
    let (image, bytes) = image();
    let mut member = Member { region: image.fork().unwrap(), holds: bytes.clone(), origin: bytes };
    member.write(1);
    meddle(&member.region);
    let mut holds = member.holds;
    let len = holds.len();
    let (shared, mut shards) = SharedRegion::new(member.region, 1).unwrap();
    let (mut sink, mut baseline) = (Vec::new(), Baseline::default());
    for round in 0..4 {
        let what = format!("{way}, save {round}");
        let snapshot = shared.snapshot().unwrap();
        let before = holds.clone();
        meddle(&snapshot);
        for page in (round * 3..len / PAGE).step_by(50) {
            shards[0].guard()[page * PAGE] = round as u8;
            holds[page * PAGE] = round as u8;
        }
        meddle(&shards[0].guard());
        if round % 2 == 0 {
            let mut out = Vec::new();
            snapshot.write_to(&mut out).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(out == before, "{what}, written out");
        } else {
            assert!(snapshot[..] == before[..], "{what}, looked at");
            drop(snapshot);
        }
        shared.save_changes(&mut sink, &mut baseline).unwrap_or_else(|e| panic!("{what}: {e}"));
        meddle(&shards[0].guard());
        assert!(shards[0].guard()[..] == holds[..], "{what}, live");
        // A second save, by the kernel's record.
        shards[0].guard()[9 * PAGE] = 77;
        holds[9 * PAGE] = 77;
        meddle(&shards[0].guard());
        shared.save_changes(&mut sink, &mut baseline).unwrap_or_else(|e| panic!("{what}: {e}"));
        sink.resize(len, 0);
        assert!(sink == holds, "{what}, changes");
    }

    let mut persistent = PersistentRegion::open(&holds, holds.clone()).unwrap();
    for round in 0..4 {
        meddle(&persistent);
        persistent[round * 31 * PAGE..][..PAGE].fill(if round % 2 == 0 { 5 } else { 0 });
        meddle(&persistent);
        persistent.commit().unwrap();
        assert!(persistent.sink().clone() == persistent[..], "{way}, commit {round}");
    }

    let mut merger = Merger::new();
    merger.add(&image);
    assert!(merger.scan().unwrap()[0].fork().unwrap()[..] == image.fork().unwrap()[..], "{way}");
}

/// Tries a way in a separate process.
fn try_way(test: &str, begin: fn() -> bool, meddle: Meddle) {
    if !in_child(test, |_| ()) {
        return;
    }
    if !Probe::new().has_windows() {
        println!("skipped: {test}: {}", Probe::new());
        return;
    }
    if !begin() || !meddle(&Region::zeroed(HUGE).unwrap()) {
        println!("skipped: {test}: this user or system cannot do it");
        return;
    }
    // Each by itself, so that one that fails does not hide the others.
    let failed = MODES
        .into_iter()
        .filter(|mode| std::panic::catch_unwind(|| exercise(test, *mode, meddle)).is_err());
    assert_eq!(failed.collect::<Vec<_>>(), []);
    save(test, meddle);
}

macro_rules! ways {
    ($($name:ident: $begin:expr, $meddle:expr;)*) => {
        $(#[test]
        fn $name() {
            try_way(stringify!($name), $begin, $meddle);
        })*
    };
}

ways! {
    nothing_happens: || true, |_| true;
    all_memory_is_locked_before: || lock_all(libc::MCL_CURRENT | libc::MCL_FUTURE), |_| true;
    memory_to_come_is_locked: || lock_all(libc::MCL_FUTURE), |_| true;
    memory_is_locked_as_it_is_touched:
        || lock_all(libc::MCL_FUTURE | libc::MCL_ONFAULT), |_| true;
    all_memory_is_locked_again_and_again: || true, |_| lock_all(libc::MCL_CURRENT);
    a_whole_region_is_locked: may_lock, lock;
    parts_of_a_region_are_locked:
        may_lock, |bytes| parts(bytes, 50 * PAGE).all(lock);
    parts_of_a_region_are_locked_and_unlocked: may_lock, |bytes| {
        parts(bytes, 50 * PAGE).all(lock);
        // SAFETY: unlocking changes no content.
        unsafe { libc::munlock(bytes.as_ptr().cast(), bytes.len() / 2) == 0 }
    };
    a_region_is_populated_for_reading: || true, |bytes| {
        try_each(parts(bytes, 20 * PAGE), MADV_POPULATE_READ)
    };
    a_region_is_populated_for_writing: || true, |bytes| {
        try_each(parts(bytes, 20 * PAGE), MADV_POPULATE_WRITE)
    };
    a_whole_region_is_populated: || true, |bytes| {
        advise(bytes, MADV_POPULATE_WRITE);
        true
    };
    a_region_is_collapsed_into_huge_pages: || true, |bytes| {
        try_each(bytes.chunks(HUGE), libc::MADV_COLLAPSE)
    };
    parts_of_a_region_may_have_huge_pages: || true, |bytes| {
        try_each(bytes.chunks(HUGE).step_by(2), libc::MADV_HUGEPAGE);
        advise(bytes, libc::MADV_COLLAPSE);
        true
    };
    another_process_collapses_a_region: || true, |bytes| {
        advise_from_outside(bytes, libc::MADV_COLLAPSE);
        true
    };
    another_process_pages_a_region_out: || true, |bytes| {
        advise_from_outside(bytes, libc::MADV_COLD);
        advise_from_outside(bytes, libc::MADV_PAGEOUT);
        advise_from_outside(bytes, libc::MADV_WILLNEED);
        true
    };
    a_region_migrates: || true, migrate;
    parts_of_a_region_are_told_apart: || true, |bytes| {
        parts(bytes, 30 * PAGE).all(|part| advise(part, libc::MADV_RANDOM))
    };
}
