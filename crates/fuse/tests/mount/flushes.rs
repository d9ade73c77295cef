//! Flushes that the mount foresees: as few as were asked for, and each of them true.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tine_store::{Device, MemoryDevice};

use crate::branch::Workshop;
use crate::{Test, tests};

pub const TESTS: &[Test] = tests!(flushes:
    a_habit_of_flushing_costs_one_flush_each
    a_flush_that_failed_before_it_was_asked_for_is_told
    programs_that_flush_side_by_side_all_find_their_data_flushed
);

const ROUNDS: u64 = 400;

/// A disk that counts its flushes, and fails them on request.
#[derive(Debug, Default)]
struct Disk {
    memory: MemoryDevice,
    flushes: AtomicU64,
    broken: AtomicBool,
}

impl Device for Disk {
    fn sync(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is broken"));
        }
        self.memory.sync()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.memory.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.memory.write_at(offset, buf)
    }

    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.memory.set_len(bytes)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.memory.allocate(range)
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        self.memory.punch(range)
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.memory.allocated_bytes()
    }

    fn host_free_bytes(&self) -> io::Result<u64> {
        self.memory.host_free_bytes()
    }
}

/// Writes one page of a file, as databases do for a commit, and flushes it.
fn commit(file: &File, round: u64) -> io::Result<()> {
    file.write_all_at(&[round as u8; 4096], round % 16 * 4096)?;
    file.sync_data()
}

pub fn a_habit_of_flushing_costs_one_flush_each() {
    let disk = Arc::new(Disk::default());
    let workshop = Workshop::on(disk.clone());
    let mounted = workshop.mount("main");
    let file = File::create(mounted.path("log")).unwrap();
    for round in 0..32 {
        commit(&file, round).unwrap();
    }
    let before = disk.flushes.load(Ordering::SeqCst);
    let branch = workshop.store.branch("main").unwrap();
    for round in 0..ROUNDS {
        commit(&file, round).unwrap();
        assert!(branch.is_durable(), "round {round}");
    }
    let flushes = disk.flushes.load(Ordering::SeqCst) - before;
    // A guess fails now and then, where the clock ticks between a write and its request; and a
    // checkpoint flushes on its own.
    assert!((ROUNDS..ROUNDS + ROUNDS / 4).contains(&flushes), "{flushes} flushes");
    drop(file);
    mounted.close();
}

pub fn a_flush_that_failed_before_it_was_asked_for_is_told() {
    let disk = Arc::new(Disk::default());
    let workshop = Workshop::on(disk.clone());
    let mounted = workshop.mount("main");
    let file = File::create(mounted.path("log")).unwrap();
    for round in 0..ROUNDS {
        commit(&file, round).unwrap();
    }
    disk.broken.store(true, Ordering::SeqCst);
    for round in 0..3 {
        let told = commit(&file, round).unwrap_err();
        assert_eq!(told.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    }
    assert!(!mounted.reports.lock().unwrap().is_empty());
}

pub fn programs_that_flush_side_by_side_all_find_their_data_flushed() {
    let disk = Arc::new(Disk::default());
    let workshop = Workshop::on(disk.clone());
    let mounted = workshop.mount("main");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let path = mounted.path(&format!("log-{number}"));
            scope.spawn(move || {
                let file = File::create(path).unwrap();
                (0..ROUNDS).for_each(|round| commit(&file, round).unwrap());
            });
        }
    });
    // Nothing of what was acknowledged waits for another flush.
    assert!(workshop.store.branch("main").unwrap().is_durable());
    mounted.close();
}
