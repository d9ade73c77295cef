//! Cached work on one file: reads that hit the cache, and writes that are not flushed.

use std::time::Duration;

use anyhow::Result;
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::lab::Lab;
use super::load::{self, make_file};

const FILE_BYTES: u64 = 256 << 20;
const DURATION: Duration = Duration::from_millis(800);

/// Prints the rows of cached work.
pub fn run(table: &mut Table) -> Result<()> {
    let (reads, writes) = ("warm 4 KiB random reads", "buffered 4 KiB random writes");
    if !table.wants(reads) && !table.wants(writes) {
        return Ok(());
    }
    let lab = Lab::new()?;
    lab.empty_branch("b")?;
    let mount = lab.mount("b")?;
    for directory in [&mount, &lab.plain()] {
        make_file(&directory.join("file"), FILE_BYTES)?;
    }
    let (ours, plain) = (load::open(&mount.join("file"))?, load::open(&lab.plain().join("file"))?);

    if table.wants(reads) {
        // The kernel caches files of FUSE in single pages. The second peer is cached in the same
        // way.
        let paged = lab.plain().join("paged");
        load::make_file_by(&paged, FILE_BYTES, load::BLOCK)?;
        let paged = load::open(&paged)?;
        let mut rounds = Rounds::new(7);
        for file in [&ours, &plain, &paged] {
            let mut seed = 0;
            rounds.contestant(move || {
                seed += 1;
                load::reads_per_second(file, DURATION, seed)
            });
        }
        let samples = rounds.run()?;
        for (name, peer, bar) in [
            ("plain", &samples[1], Bar::SpeedAtLeast(0.9)),
            ("plain, cached in single pages", &samples[2], Bar::Printed),
        ] {
            table.row(reads, Unit::PerSecond, &samples[0]).peer(name, peer).bar(bar);
        }
    }
    if table.wants(writes) {
        let write = |file: &std::fs::File, seed| {
            let rate = load::writes_per_second(file, DURATION, seed)?;
            // The next round begins with a clean cache.
            file.sync_data()?;
            Ok(rate)
        };
        let samples = duel(|seed| write(&ours, seed), |seed| write(&plain, seed))?;
        table
            .row(writes, Unit::PerSecond, &samples[0])
            .peer("plain", &samples[1])
            .bar(Bar::SpeedAtLeast(0.9));
    }
    drop((ours, plain));
    lab.unmount("b")
}

/// Compares ours with the plain file system, with the same places for both in each round.
pub fn duel(
    mut ours: impl FnMut(u64) -> Result<f64>,
    mut plain: impl FnMut(u64) -> Result<f64>,
) -> Result<Vec<Samples>> {
    let mut rounds = Rounds::new(7);
    let (mut first, mut second) = (0, 0);
    rounds.contestant(|| {
        first += 1;
        ours(first)
    });
    rounds.contestant(|| {
        second += 1;
        plain(second)
    });
    rounds.run()
}
