//! Forking: untouched regions, and regions that have been written.

use std::os::fd::AsFd;

use anyhow::Result;
use tine_bench::rounds::{Rounds, seconds};
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::{ForkMode, PAGE, Region};

use super::peers::{Child, PlainMemory, PrivateMap};
use super::{GIB, PAGES, Random, gibibyte};

pub fn run(table: &mut Table) -> Result<()> {
    untouched(table)?;
    many(table)?;
    for dirty in [10, 100, 1000, 10_000, 100_000] {
        written(table, dirty)?;
    }
    Ok(())
}

/// The middle one of many single forks, each measured alone.
fn middle(count: usize, mut fork: impl FnMut() -> Result<f64>) -> Result<f64> {
    let samples: Result<Vec<f64>> = (0..count).map(|_| fork()).collect();
    Ok(Samples::new(samples?).median())
}

fn untouched(table: &mut Table) -> Result<()> {
    let what = "fork of an untouched 1 GiB region, p50";
    if !table.wants(what) {
        return Ok(());
    }
    let image = gibibyte()?;
    let fd = image.to_fd()?;
    let mut region = image.fork()?;
    let plain = PlainMemory::new(GIB)?;
    let mut copy = PlainMemory::new(GIB)?;
    let mut rounds = Rounds::new(9);
    let ours = rounds.contestant(|| {
        middle(200, || {
            let mut fork = None;
            let took = seconds(|| fork = Some(region.fork()));
            fork.transpose()?;
            Ok(took)
        })
    });
    let fork2 = rounds.contestant(|| Ok(Child::fork(|| ())?.took.as_secs_f64()));
    let by_hand = rounds.contestant(|| {
        middle(200, || {
            let mut map = None;
            let took = seconds(|| map = Some(PrivateMap::new(fd.as_fd(), GIB)));
            map.transpose()?;
            Ok(took)
        })
    });
    let memcpy =
        rounds.contestant(|| Ok(seconds(|| copy.bytes_mut().copy_from_slice(plain.bytes()))));
    let clone = rounds.contestant(|| {
        let vec = plain.bytes()[..GIB / 4].to_vec();
        Ok(4.0 * seconds(|| drop(std::hint::black_box(vec.clone()))))
    });
    let samples = rounds.run()?;
    table.row(what, Unit::Seconds, &samples[ours]).bar(Bar::AtMost(5e-6));
    for (peer, index, bar) in [
        ("fork(2)", fork2, Bar::SpeedAtLeast(3000.0)),
        ("mmap by hand", by_hand, Bar::Printed),
        ("memcpy", memcpy, Bar::Printed),
        ("Vec::clone", clone, Bar::Printed),
    ] {
        table.row(what, Unit::Seconds, &samples[ours]).peer(peer, &samples[index]).bar(bar);
    }
    Ok(())
}

fn many(table: &mut Table) -> Result<()> {
    let what = "the 10,000th live fork of 1 GiB, p50 of 100";
    if !table.wants(what) {
        return Ok(());
    }
    let image = gibibyte()?;
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let mut living = Vec::with_capacity(10_000);
        let mut times = Vec::with_capacity(10_000);
        for _ in 0..10_000 {
            let mut fork = None;
            times.push(seconds(|| fork = Some(image.fork())));
            living.extend(fork.transpose()?);
        }
        if round > 0 {
            first.push(Samples::new(times[..100].to_vec()).median());
            last.push(Samples::new(times[9_900..].to_vec()).median());
        }
    }
    let (first, last) = (Samples::new(first), Samples::new(last));
    table.row(what, Unit::Seconds, &last).peer("the first 100", &first).bar(Bar::CostAtMost(2.0));
    Ok(())
}

fn written(table: &mut Table, dirty: usize) -> Result<()> {
    let what = format!("fork of 1 GiB with {dirty} dirty pages");
    if !table.wants(&what) {
        return Ok(());
    }
    let image = gibibyte()?;
    let mut random = Random(dirty as u64 + 7);
    let mut fork_by = |mode| -> Result<f64> {
        let mut region: Region = image.fork()?;
        super::read_all(&region);
        for _ in 0..dirty {
            region[random.below(PAGES) * PAGE] = 2;
        }
        let mut fork = None;
        let took = seconds(|| fork = Some(region.fork_by(mode)));
        fork.transpose()?;
        Ok(took)
    };
    let modes = [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy];
    let mut samples = [const { Vec::new() }; 4];
    for round in 0..6 {
        for (mode, samples) in modes.into_iter().zip(&mut samples) {
            let took = fork_by(mode)?;
            if round > 0 {
                samples.push(took);
            }
        }
    }
    let [auto, eager, layer, lazy] = samples.map(Samples::new);
    let named = [("eager", &eager), ("layer", &layer), ("lazy", &lazy)];
    let best = named.into_iter().min_by(|a, b| a.1.median().total_cmp(&b.1.median()));
    if let Some((name, best)) = best {
        table
            .row(&format!("{what}, Auto"), Unit::Seconds, &auto)
            .peer(name, best)
            .bar(Bar::CostAtMost(1.2));
    }
    table
        .row(&format!("{what}, lazy"), Unit::Seconds, &lazy)
        .peer("eager", &eager)
        .bar(Bar::AtMost(0.5e-3));
    table.row(&format!("{what}, layer"), Unit::Seconds, &layer).bar(Bar::Printed);
    Ok(())
}
