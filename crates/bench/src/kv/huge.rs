//! A branch of 5 TB: one sparse map of five million extents of one block each. It is forked,
//! opened, listed and deleted.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_store::{BLOCK_BYTES, Branch, Options, Store};

const FORK: &str = "fork of a branch of 5 TB in 5 million extents, p50";
const OPEN: &str = "clean open of it";
const LIST: &str = "listing its extents";
const DELETE: &str = "deleting it, until all is free";
const MEMORY: &str = "memory that opening, listing and deleting it took";

const EXTENTS: u64 = 5_000_000;
/// One block of data for each MiB.
const STRIDE_BLOCKS: u64 = 256;
const MAP: &[u8] = b"sparse";
/// The default limits of the cache, of changed nodes and of buffered small data, and room for the
/// list of free blocks.
const MEMORY_BYTES_MAX: f64 = 512e6;

pub fn run(table: &mut Table) -> Result<()> {
    if ![FORK, OPEN, LIST, DELETE, MEMORY].iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    let store = Store::create(&path, &Options::default())?;
    sparse(&store.create_branch("main")?)?;
    let mut forks = Vec::new();
    for n in 0..500 {
        let name = format!("fork{n}");
        forks.push(seconds(|| Ok(store.fork("main", &name)?))?.0);
    }
    table.row(FORK, Unit::Seconds, &Samples::new(forks)).bar(Bar::AtMost(1e-3));
    (0..500).try_for_each(|n| store.delete(&format!("fork{n}")))?;
    store.close()?;

    let before = Memory::begin()?;
    let (open, store) = seconds(|| Ok(Store::open(&path, &Options::default())?))?;
    show(table, OPEN, open, Bar::AtMost(50e-3));
    let (list, extents) = seconds(|| count(&store.branch("main")?))?;
    ensure!(extents == EXTENTS, "it has {extents} extents");
    show(table, LIST, list, Bar::Printed);
    let (delete, ()) = seconds(|| free(&store, &path))?;
    show(table, DELETE, delete, Bar::Printed);
    let taken = Samples::new(vec![before.taken()?]);
    table.row(MEMORY, Unit::Bytes, &taken).bar(Bar::AtMost(MEMORY_BYTES_MAX));
    Ok(store.close()?)
}

fn show(table: &mut Table, what: &str, seconds: f64, bar: Bar) {
    table.row(what, Unit::Seconds, &Samples::new(vec![seconds])).bar(bar);
}

fn seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let start = Instant::now();
    let done = work()?;
    Ok((start.elapsed().as_secs_f64(), done))
}

fn sparse(branch: &Branch) -> Result<()> {
    const A_TRANSACTION: u64 = 250;
    let data = [9; BLOCK_BYTES];
    for first in (0..EXTENTS).step_by(A_TRANSACTION as usize) {
        let staged: Vec<_> =
            (0..A_TRANSACTION).map(|_| branch.stage(&data)).collect::<Result<_, _>>()?;
        let mut txn = branch.write()?;
        for (extent, staged) in (first..).zip(staged) {
            txn.map(MAP, extent * STRIDE_BLOCKS, staged)?;
        }
        txn.commit()?;
    }
    Ok(branch.sync()?)
}

fn count(branch: &Branch) -> Result<u64> {
    branch.read()?.extents(MAP, 0).try_fold(0, |sum, run| run.map(|_| sum + 1).map_err(Into::into))
}

/// Deletes the branch and waits until the file has shrunk.
fn free(store: &Store, path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let full = path.metadata()?.blocks();
    store.delete("main")?;
    let start = Instant::now();
    while store.usage()?.reclaim_pending_bytes > 0 || path.metadata()?.blocks() > full / 10 {
        ensure!(start.elapsed() < Duration::from_secs(120), "the space did not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The resident memory of the process, whose peak is reset.
struct Memory {
    resident: f64,
}

impl Memory {
    fn begin() -> Result<Memory> {
        std::fs::write("/proc/self/clear_refs", "5").context("begin a new peak of memory")?;
        Ok(Memory { resident: status("VmRSS:")? })
    }

    /// How far the peak lies above the beginning, in bytes.
    fn taken(&self) -> Result<f64> {
        Ok(status("VmHWM:")? - self.resident)
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.with_context(|| format!("{name} is missing"))?.trim().parse()?;
    Ok(kilobytes * 1024.0)
}
