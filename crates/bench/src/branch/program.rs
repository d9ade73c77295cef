//! `tine branch` as a user runs it: a whole process, with and without a holder.

use std::time::Instant;

use anyhow::{Context, Result};
use tine_bench::rounds::Rounds;
use tine_bench::table::{Bar, Table, Unit};

use super::lab::Lab;
use super::load::make_file;

const BAR: f64 = 15e-3;

/// Prints the rows of the program.
pub fn run(table: &mut Table) -> Result<()> {
    let (alone, held) = ("`tine branch`, store free", "`tine branch`, source mounted");
    if !table.wants(alone) && !table.wants(held) {
        return Ok(());
    }
    let lab = Lab::new()?;
    let source = lab.path("source");
    std::fs::create_dir(&source)?;
    make_file(&source.join("data"), 100_000_000)?;
    lab.tine(&["import", super::lab::utf8(&source)?, "base"])?;
    measure(table, alone, &lab)?;
    lab.mount("base")?;
    measure(table, held, &lab)?;
    table.print_probe();
    lab.unmount("base")
}

fn measure(table: &mut Table, what: &str, lab: &Lab) -> Result<()> {
    let mut rounds = Rounds::new(15);
    let mut round = 0;
    rounds.contestant(|| {
        round += 1;
        let name = format!("fork-{}-{round}", what.len());
        let start = Instant::now();
        let result = lab.tine(&["branch", &name, "--from", "base"])?;
        let elapsed = start.elapsed().as_secs_f64();
        let flush = result["created"][0]["flush_us"].as_f64().context("`flush_us` in the JSON")?;
        Ok(elapsed - flush / 1e6)
    });
    let samples = rounds.run()?;
    table.row(what, Unit::Seconds, &samples[0]).bar(Bar::AtMost(BAR));
    Ok(())
}
