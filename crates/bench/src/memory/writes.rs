//! The first write to a shared page, and copies that run ahead of need.

use anyhow::Result;
use std::os::fd::AsFd;
use tine_bench::rounds::{Rounds, seconds};
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::{CopyAhead, ForkMode, Image, PAGE, Region, SharedRegion, Stats};

use super::peers::PrivateMap;
use super::{GIB, PAGES, Random, Zipf, gibibyte};

/// Pages written for each sample, far enough apart that no cluster forms.
const WRITES: usize = 10_000;
const STRIDE: usize = PAGES / WRITES;

pub fn run(table: &mut Table) -> Result<()> {
    first_write(table)?;
    let sequential = || Box::new(0..PAGES / 4) as Box<dyn Iterator<Item = usize>>;
    ahead(table, "sequential", sequential)?;
    // Objects of 64 KiB, each written completely, some of them often.
    ahead(table, "clustered Zipf", || {
        let (zipf, mut random) = (Zipf::new(PAGES / 16), Random(5));
        Box::new((0..PAGES / 16).flat_map(move |_| {
            let object = zipf.draw(&mut random);
            object * 16..object * 16 + 16
        }))
    })
}

fn first_write(table: &mut Table) -> Result<()> {
    let what = "first write to a shared page";
    if !table.wants(what) {
        return Ok(());
    }
    let image = gibibyte()?;
    let fd = image.to_fd()?;
    let mut rounds = Rounds::new(9);
    let write = |bytes: &mut [u8]| {
        let pages = bytes.iter_mut().step_by(PAGE * STRIDE);
        seconds(|| pages.for_each(|byte| *byte = 7)) / WRITES as f64
    };
    let region = rounds.contestant(|| Ok(write(&mut image.fork()?)));
    let kernel = rounds.contestant(|| Ok(write(PrivateMap::new(fd.as_fd(), GIB)?.bytes_mut())));
    let window = rounds.contestant(|| {
        let (_parent, mut fork) = lazy_fork(&image)?;
        Ok(write(&mut fork))
    });
    let samples = rounds.run()?;
    table
        .row(what, Unit::Seconds, &samples[region])
        .peer("mmap by hand", &samples[kernel])
        .bar(Bar::Printed);
    table
        .row(&format!("{what}, in a window"), Unit::Seconds, &samples[window])
        .peer("the kernel's fault", &samples[kernel])
        .bar(Bar::CostAtMost(3.0));
    Ok(())
}

/// A region whose pages are all written, and its lazy fork.
fn lazy_fork(image: &Image) -> Result<(Region, Region)> {
    let mut region = image.fork()?;
    region.set_copy_ahead(CopyAhead::OFF);
    region.iter_mut().step_by(PAGE * STRIDE).for_each(|byte| *byte = 5);
    let fork = region.fork_by(ForkMode::Lazy)?;
    Ok((region, fork))
}

fn ahead<'a>(
    table: &mut Table,
    name: &str,
    pages: impl Fn() -> Box<dyn Iterator<Item = usize> + 'a>,
) -> Result<()> {
    let what = format!("copy-ahead, {name} writes during a snapshot");
    if !table.wants(&what) {
        return Ok(());
    }
    let needed = {
        let mut seen = vec![false; PAGES];
        pages().for_each(|page| seen[page] = true);
        seen.iter().filter(|seen| **seen).count()
    };
    let measure = |policy| -> Result<(f64, Stats)> {
        let mut region = Region::zeroed(GIB)?;
        region.iter_mut().step_by(PAGE).for_each(|byte| *byte = 5);
        let (shared, mut shards) = SharedRegion::new(region, 1)?;
        shared.set_copy_ahead(policy);
        let snapshot = shared.snapshot()?;
        let mut guard = shards[0].guard();
        let took = seconds(|| pages().for_each(|page| guard[page * PAGE] = 9));
        let stats = shared.stats();
        drop(guard);
        drop(snapshot);
        Ok((needed as f64 / took, stats))
    };
    let mut copied = Vec::new();
    let mut rounds = Rounds::new(5);
    let ahead = rounds.contestant(|| {
        let (rate, stats) = measure(CopyAhead::default())?;
        copied.push((stats.pages_copied + stats.pages_copied_ahead) as f64 / needed as f64);
        Ok(rate)
    });
    let single = rounds.contestant(|| Ok(measure(CopyAhead::OFF)?.0));
    let samples = rounds.run()?;
    table
        .row(&what, Unit::PerSecond, &samples[ahead])
        .peer("one page at a time", &samples[single])
        .bar(Bar::SpeedAtLeast(1.5));
    table
        .row(&format!("{what}: copied ÷ needed"), Unit::Number, &Samples::new(copied))
        .bar(Bar::AtMost(1.7));
    Ok(())
}
