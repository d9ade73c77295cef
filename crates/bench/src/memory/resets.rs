//! Write a thousand pages of a warm gibibyte, and go back.

use anyhow::Result;
use tine_bench::rounds::{Rounds, seconds};
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::{PAGE, Region};

use super::{PAGES, Random, gibibyte};

const DIRTY: usize = 1000;
const CYCLES: usize = 20;

pub fn run(table: &mut Table) -> Result<()> {
    let what = "write 1,000 pages of a warm 1 GiB and reset";
    if !table.wants(what) {
        return Ok(());
    }
    let image = gibibyte()?;
    let warm = || -> Result<Region> {
        let mut region = image.fork()?;
        super::read_all(&region);
        region.keep_warm()?;
        Ok(region)
    };
    let (mut same, mut fresh) = (warm()?, warm()?);
    let mut cold = image.fork()?;
    super::read_all(&cold);
    let mut random = Random(9);
    let pages: Vec<usize> = (0..DIRTY).map(|_| random.below(PAGES)).collect();
    let cycle = |region: &mut Region, next: &mut dyn FnMut(usize) -> usize| -> Result<f64> {
        let mut failed = Ok(());
        let took = seconds(|| {
            for _ in 0..CYCLES {
                for index in 0..DIRTY {
                    region[next(index) * PAGE] = 3;
                }
                failed = region.reset();
            }
        });
        failed?;
        Ok(took / CYCLES as f64)
    };
    let mut rounds = Rounds::new(7);
    let same = rounds.contestant(|| cycle(&mut same, &mut |index| pages[index]));
    let fresh = rounds.contestant(|| cycle(&mut fresh, &mut |_| random.below(PAGES)));
    let plain = rounds.contestant(|| cycle(&mut cold, &mut |index| pages[index]));
    let samples = rounds.run()?;
    for (name, index, bar) in [
        ("the same pages", same, Bar::AtMost(4e-3)),
        ("fresh random pages", fresh, Bar::AtMost(14e-3)),
        ("not kept warm", plain, Bar::Printed),
    ] {
        table.row(&format!("{what}, {name}"), Unit::Seconds, &samples[index]).bar(bar);
    }
    Ok(())
}
