//! What a large import does to commits at the same time.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::lab::{Lab, utf8};
use super::load::{self, BLOCK, Places, make_file, noise};

const IMPORT_FILES: u64 = 8;
const IMPORT_FILE_BYTES: u64 = 250_000_000;
const ROUNDS: usize = 5;

/// Prints the row of commits during an import.
pub fn run(table: &mut Table) -> Result<()> {
    let what = "commit p99 beside a 2 GB import";
    if !table.wants(what) {
        return Ok(());
    }
    let lab = Lab::new()?;
    lab.empty_branch("b")?;
    let mount = lab.mount("b")?;
    make_file(&mount.join("file"), 64 << 20)?;
    let source = lab.plain().join("source");
    std::fs::create_dir(&source)?;
    for n in 0..IMPORT_FILES {
        make_file(&source.join(n.to_string()), IMPORT_FILE_BYTES)?;
    }

    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let quiet = Instant::now() + Duration::from_secs(3);
        alone.push(p99(&mount.join("file"), || Ok(Instant::now() < quiet))?);
        let name = format!("import-{round}");
        let mut import = lab.command(&["import", utf8(&source)?, &name]);
        let mut import = import.stdout(std::process::Stdio::null()).spawn()?;
        beside.push(p99(&mount.join("file"), || Ok(import.try_wait()?.is_none()))?);
        ensure!(import.wait()?.success(), "the import failed");
        lab.tine(&["delete", &name, "--now"])?;
    }
    let (beside, alone) = (Samples::new(beside), Samples::new(alone));
    table.row(what, Unit::Seconds, &beside).peer("undisturbed", &alone).bar(Bar::CostAtMost(5.0));
    table.print_probe();
    lab.unmount("b")
}

/// The 99th percentile of flushed 4 KiB writes for as long as `go_on` returns `true`.
fn p99(file: &Path, mut go_on: impl FnMut() -> Result<bool>) -> Result<f64> {
    let file = load::open(file)?;
    let blocks = file.metadata()?.len() / BLOCK as u64;
    let (buffer, mut places, mut times) = (noise(BLOCK, 5), Places::new(5), Vec::new());
    while go_on()? {
        let start = Instant::now();
        file.write_all_at(&buffer, places.below(blocks) * BLOCK as u64)?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() * 99 / 100])
}
