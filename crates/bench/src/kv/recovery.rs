//! Opening a store of 10 GB after a power failure at the worst moment: a checkpoint is complete on
//! the disk, but the superblock does not name it yet, so the journal since the checkpoint before is
//! as long as possible.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_store::{BLOCK_BYTES, Branch, Device, FileDevice, Options, Store};

use super::data::Random;
use super::gaps::fill;

const OPEN: &str = "open after a crash, 10 GB store";
const BYTES: u64 = 10 << 30;
const MAP: &[u8] = b"large";

pub fn run(table: &mut Table) -> Result<()> {
    const ROUNDS: u64 = 5;
    if !table.wants(OPEN) {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    let store = Store::create(&path, &Options::default())?;
    fill(&store.create_branch("main")?, MAP, BYTES)?;
    store.close()?;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        write_until_cut(&path, round)?;
        let start = Instant::now();
        let store = Store::open(&path, &Options::default())?;
        times.push(start.elapsed().as_secs_f64());
        store.close()?;
    }
    table.row(OPEN, Unit::Seconds, &Samples::new(times)).bar(Bar::AtMost(2.0));
    table.print_probe();
    Ok(())
}

/// Writes blocks and pairs all over the store, until its file fails.
fn write_until_cut(path: &Path, seed: u64) -> Result<()> {
    const WARM_UP: u64 = 4000;
    let file = Arc::new(CutOff {
        file: FileDevice::open(path, true)?,
        armed: false.into(),
        off: false.into(),
    });
    let store = Store::open_on(file.clone(), &Options::default())?;
    let branch = store.branch("main")?;
    let mut random = Random::new(seed);
    let mut commits = 0;
    while change(&branch, &mut random).is_ok() {
        commits += 1;
        // Before that, the journal may move to its larger ring.
        if commits == WARM_UP {
            file.armed.store(true, Ordering::Release);
        }
    }
    anyhow::ensure!(file.off.load(Ordering::Acquire), "a store failed before its power was cut");
    Ok(())
}

/// Makes a block, and 32 pairs, durable.
fn change(branch: &Branch, random: &mut Random) -> Result<()> {
    let place = random.next() % (BYTES / BLOCK_BYTES as u64);
    let staged = branch.stage(&[place as u8; BLOCK_BYTES])?;
    let mut txn = branch.write()?;
    txn.map(MAP, place, staged)?;
    let mut pairs = txn.table("x")?;
    for _ in 0..32 {
        pairs.put((random.next() % 2_000_000).to_be_bytes(), [3; 150])?;
    }
    txn.commit()?;
    Ok(branch.sync()?)
}

/// A file that drops all writes from the first superblock on that is written once it is armed.
#[derive(Debug)]
struct CutOff {
    file: FileDevice,
    armed: AtomicBool,
    off: AtomicBool,
}

impl CutOff {
    /// Superblocks lie in front of the journal's first ring.
    const SUPERBLOCKS_END: u64 = 512 * BLOCK_BYTES as u64;

    fn on(&self) -> io::Result<&FileDevice> {
        if self.off.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(&self.file)
    }
}

impl Device for CutOff {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.on()?.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if offset < Self::SUPERBLOCKS_END && self.armed.load(Ordering::Acquire) {
            self.off.store(true, Ordering::Release);
        }
        self.on()?.write_at(offset, buf)
    }

    fn sync(&self) -> io::Result<()> {
        self.on()?.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.on()?.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.on()?.set_len(bytes)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.on()?.allocate(range)
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        self.on()?.punch(range)
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.on()?.allocated_bytes()
    }

    fn host_free_bytes(&self) -> io::Result<u64> {
        self.on()?.host_free_bytes()
    }
}
