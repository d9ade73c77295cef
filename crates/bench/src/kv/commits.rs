//! Durable commits: one compared with a bare append, and those of several branches that share their
//! flushes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_setfl};
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_store::{Branch, Options, Store};

const SINGLE: &str = "durable commit of one pair, p50";
const GROUP: &str = "8 threads commit durably on 8 branches, beside 1";
const COMMITS: usize = 400;
const THREADS: usize = 8;
const BLOCK_BYTES: usize = 4096;

pub fn run(table: &mut Table) -> Result<()> {
    if table.wants(SINGLE) {
        single(table)?;
    }
    if table.wants(GROUP) {
        group(table)?;
    }
    Ok(())
}

/// One transaction that puts one pair, then returns when it is durable.
pub fn commit_durably(branch: &Branch, number: u64) -> Result<()> {
    let mut txn = branch.write()?;
    txn.put(&number.to_be_bytes(), &[number as u8; 100])?;
    txn.commit()?;
    Ok(branch.sync()?)
}

fn single(table: &mut Table) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Store::create(&directory.path().join("store"), &Options::default())?;
    let branch = store.create_branch("main")?;
    let bare = BareAppend::new()?;
    let (mut number, mut place) = (0, 0);
    let mut rounds = Rounds::new(9);
    let ours = rounds.contestant(|| {
        median_of(|| {
            number += 1;
            commit_durably(&branch, number)
        })
    });
    let append = rounds.contestant(|| {
        median_of(|| {
            place += 1;
            bare.append(place)
        })
    });
    let samples = rounds.run()?;
    table
        .row(SINGLE, Unit::Seconds, &samples[ours])
        .peer("append + fdatasync", &samples[append])
        .bar(Bar::CostAtMost(1.4));
    table.note("goal: ≤ 1.2×");
    table.print_probe();
    Ok(())
}

fn median_of(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(Samples::new(times).median())
}

/// A file that is written in advance. The next block is overwritten and flushed.
pub struct BareAppend {
    file: File,
    /// Longer than a block, so that it contains an aligned one.
    buffer: Vec<u8>,
}

impl BareAppend {
    const BLOCKS: usize = 4096;

    pub fn new() -> Result<Self> {
        let file = tempfile::tempfile().context("make a file for the bare append")?;
        let bytes = Self::BLOCKS * BLOCK_BYTES;
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)?;
        file.write_all_at(&vec![1; bytes], 0)?;
        file.sync_all()?;
        // Like the store: with O_DIRECT, if the host supports it.
        let _buffered = fcntl_setfl(&file, OFlags::DIRECT);
        Ok(Self { file, buffer: vec![7; 2 * BLOCK_BYTES] })
    }

    pub fn append(&self, block: usize) -> Result<()> {
        let shift = self.buffer.as_ptr().align_offset(BLOCK_BYTES);
        let bytes = &self.buffer[shift..shift + BLOCK_BYTES];
        self.file.write_all_at(bytes, (block % Self::BLOCKS * BLOCK_BYTES) as u64)?;
        Ok(self.file.sync_data()?)
    }
}

fn group(table: &mut Table) -> Result<()> {
    const DURATION: Duration = Duration::from_millis(500);
    let directory = tempfile::tempdir()?;
    let store = Store::create(&directory.path().join("store"), &Options::default())?;
    let branches: Vec<_> =
        (0..THREADS).map(|n| store.create_branch(&format!("b{n}"))).collect::<Result<_, _>>()?;
    let mut rounds = Rounds::new(7);
    let eight = rounds.contestant(|| commits_a_second(&branches, DURATION));
    let one = rounds.contestant(|| commits_a_second(&branches[..1], DURATION));
    let samples = rounds.run()?;
    table
        .row(GROUP, Unit::PerSecond, &samples[eight])
        .peer("1 thread", &samples[one])
        .bar(Bar::SpeedAtLeast(3.0));
    table.print_probe();
    Ok(())
}

fn commits_a_second(branches: &[Branch], duration: Duration) -> Result<f64> {
    let start = Instant::now();
    let commits = std::thread::scope(|scope| {
        let committers: Vec<_> = branches
            .iter()
            .map(|branch| {
                scope.spawn(move || -> Result<u64> {
                    let mut commits = 0;
                    while start.elapsed() < duration {
                        commit_durably(branch, commits)?;
                        commits += 1;
                    }
                    Ok(commits)
                })
            })
            .collect();
        committers.into_iter().try_fold(0, |sum, committer| match committer.join() {
            Ok(commits) => commits.map(|commits| sum + commits),
            Err(_) => anyhow::bail!("a committer panicked"),
        })
    })?;
    Ok(commits as f64 / start.elapsed().as_secs_f64())
}
