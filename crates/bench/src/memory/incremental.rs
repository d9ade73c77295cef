//! Incremental saves of a gibibyte of which little was written, compared with a save of all of it.

use anyhow::Result;
use tine_bench::rounds::seconds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::{Baseline, PAGE, PageSink, Region, Shard, SharedRegion};

use super::{GIB, PAGES, Random};

pub fn run(table: &mut Table) -> Result<()> {
    for dirty in [10, 1000, 100_000] {
        let what = format!("incremental save of 1 GiB, {dirty} pages written");
        if table.wants(&what) {
            row(table, &what, dirty)?;
        }
    }
    Ok(())
}

fn row(table: &mut Table, what: &str, dirty: usize) -> Result<()> {
    let mut region = Region::zeroed(GIB)?;
    region.fill(1);
    let (shared, mut shards) = SharedRegion::new(region, 1)?;
    let mut random = Random(dirty as u64);
    let mut write = |shard: &mut Shard| {
        let mut guard = shard.guard();
        (0..dirty).for_each(|_| guard[random.below(PAGES) * PAGE + 8] ^= 1);
    };
    let save = |baseline: &mut Baseline| -> Result<(f64, f64)> {
        let mut saved = None;
        let took = seconds(|| saved = Some(shared.save_changes(&mut Forgetting, baseline)));
        Ok((took, saved.transpose()?.map_or(0.0, |saved| saved.pause.as_secs_f64())))
    };
    let mut baseline = Baseline::default();
    let (mut all, mut ours, mut pauses) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..6 {
        write(&mut shards[0]);
        let (whole, _) = save(&mut Baseline::default())?;
        // The second save begins the record.
        save(&mut baseline)?;
        write(&mut shards[0]);
        let (took, pause) = save(&mut baseline)?;
        if round > 0 {
            all.push(whole);
            ours.push(took);
            pauses.push(pause);
        }
    }
    let (ours, all) = (Samples::new(ours), Samples::new(all));
    table.row(what, Unit::Seconds, &ours).peer("all of it", &all).bar(Bar::Printed);
    table.row(&format!("{what}: pause"), Unit::Seconds, &Samples::new(pauses)).bar(Bar::Printed);
    Ok(())
}

/// A sink that costs nothing.
struct Forgetting;

impl PageSink for Forgetting {
    fn write_at(&mut self, bytes: &[u8], _offset: u64) -> std::io::Result<()> {
        std::hint::black_box(bytes);
        Ok(())
    }

    fn commit(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
