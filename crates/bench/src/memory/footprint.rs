//! What a hundred forks of 100 MB occupy in addition to the image: proportional memory (PSS) and
//! page tables.

use anyhow::{Context, Result};
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::{Image, PAGE, Region};

/// 100 MB in whole huge pages, so that `collapse` can have all of it.
const BYTES: usize = 50 << 21;
const FORKS: usize = 100;
const ROUNDS: usize = 5;

pub fn run(table: &mut Table) -> Result<()> {
    let read = |fork: &mut Region| super::read_all(fork);
    let write = |fork: &mut Region| (0..25).for_each(|n| fork[n * 1000 * PAGE] = 2);
    let whole = BYTES as f64;
    row(table, "untouched", false, |_| (), 64.0 * 1024.0)?;
    row(table, "25 pages written", false, write, 256.0 * 1024.0)?;
    row(table, "fully read", false, read, whole * 0.25e-2)?;
    row(table, "fully read after collapse", true, read, whole * 0.05e-2)
}

fn row(
    table: &mut Table,
    name: &str,
    collapse: bool,
    mut touch: impl FnMut(&mut Region),
    bar: f64,
) -> Result<()> {
    let what = format!("100 forks of 100 MB, {name}: PSS + page tables, each");
    if !table.wants(&what) {
        return Ok(());
    }
    let image = Image::builder(BYTES)?.fill(|bytes| bytes.fill(1))?.seal()?;
    if collapse {
        image.collapse()?;
    }
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        // One more fork, touched in the same way, accounts for the image's pages in both figures.
        let mut carrier = image.fork()?;
        touch(&mut carrier);
        let before = occupied()?;
        let mut forks = (0..FORKS).map(|_| image.fork()).collect::<Result<Vec<_>, _>>()?;
        forks.iter_mut().for_each(&mut touch);
        samples.push((occupied()? - before) / FORKS as f64);
    }
    table.row(&what, Unit::Bytes, &Samples::new(samples)).bar(Bar::AtMost(bar));
    Ok(())
}

/// Bytes of this process's proportional set and page tables.
fn occupied() -> Result<f64> {
    let field = |file: &str, name: &str| -> Result<f64> {
        let text = std::fs::read_to_string(file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.context("a field is missing")?.trim().trim_end_matches(" kB");
        Ok(kilobytes.parse::<f64>()? * 1024.0)
    };
    Ok(field("/proc/self/smaps_rollup", "Pss:")? + field("/proc/self/status", "VmPTE:")?)
}
