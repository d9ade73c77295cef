//! A row in which every engine does the same work, compared with the best of some of them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::peers::ENGINES;
use super::subject::{Engine, Subject};

/// An engine with its directory. Its files stay when it is closed.
pub struct Contestant {
    pub engine: Engine,
    pub subject: Option<Box<dyn Subject>>,
    directory: TempDir,
    cache_bytes: u64,
}

impl Contestant {
    /// Makes an empty store of the engine.
    pub fn new(engine: Engine, cache_bytes: u64) -> Result<Self> {
        let directory = tempfile::tempdir().context("make a directory for a store")?;
        let mut contestant = Self { engine, subject: None, directory, cache_bytes };
        contestant.open()?;
        Ok(contestant)
    }

    pub fn subject(&self) -> Result<&dyn Subject> {
        self.subject.as_deref().with_context(|| format!("{} is closed", self.engine.name))
    }

    fn open(&mut self) -> Result<()> {
        let opened = (self.engine.open)(self.directory.path(), self.cache_bytes);
        self.subject = Some(opened.with_context(|| format!("open {}", self.engine.name))?);
        Ok(())
    }

    /// Closes the store and drops its pages from the host's cache. Returns the directory of its
    /// files.
    pub fn close_cold(&mut self) -> Result<&Path> {
        self.subject = None;
        forget_pages(self.directory.path())?;
        Ok(self.directory.path())
    }

    /// Does the same and opens the store again, with nothing cached.
    pub fn reopen_cold(&mut self) -> Result<()> {
        self.close_cold()?;
        self.open()
    }

    /// Closes the store for good. Returns the bytes that its files take on the host.
    pub fn close(mut self) -> Result<u64> {
        self.subject = None;
        host_bytes(self.directory.path())
    }
}

fn host_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes +=
            if metadata.is_dir() { host_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

fn forget_pages(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else {
            let file = std::fs::File::open(path)?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// All engines, each with an empty store.
pub fn contestants(cache_bytes: u64) -> Result<Vec<Contestant>> {
    ENGINES.iter().map(|engine| Contestant::new(*engine, cache_bytes)).collect()
}

/// What a row demands.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub what: &'a str,
    pub bar: Bar,
    /// The bar is about the best of these.
    pub against: &'a [&'a str],
    /// Shown under the row.
    pub goal: &'a str,
    pub rounds: usize,
}

/// Runs `work` for every contestant in every round and prints the row. `work` gets the number of
/// the call and returns the seconds of one operation.
pub fn contest<C>(
    table: &mut Table,
    wanted: Wanted<'_>,
    contestants: &mut [C],
    name: impl Fn(&C) -> &'static str,
    mut work: impl FnMut(&mut C, usize) -> Result<f64>,
) -> Result<()> {
    let names: Vec<_> = contestants.iter().map(name).collect();
    let samples = {
        let work = std::cell::RefCell::new(&mut work);
        let mut rounds = Rounds::new(wanted.rounds).cold();
        for (contestant, name) in contestants.iter_mut().zip(&names) {
            let (work, mut call) = (&work, 0);
            rounds.contestant(move || {
                call += 1;
                (work.borrow_mut())(contestant, call - 1).with_context(|| format!("measure {name}"))
            });
        }
        rounds.run()?
    };
    report(table, wanted, Unit::Seconds, &names, &samples);
    Ok(())
}

/// Prints a row: ours, the best of the peers that the bar names, and all others under it.
pub fn report(
    table: &mut Table,
    wanted: Wanted<'_>,
    unit: Unit,
    names: &[&str],
    samples: &[Samples],
) {
    let rivals = || names.iter().zip(samples).filter(|(name, _)| wanted.against.contains(name));
    let best = rivals().min_by(|a, b| a.1.median().total_cmp(&b.1.median()));
    let mut row = table.row(wanted.what, unit, &samples[0]);
    if let Some((name, samples)) = best {
        row = row.peer(name, samples);
    }
    row.bar(wanted.bar);
    let ours = samples[0].median();
    let shown: Vec<_> = names
        .iter()
        .zip(samples)
        .skip(1)
        .map(|(name, samples)| format!("{name} {:.2}×", samples.median() / ours))
        .collect();
    table.note(&format!("cost beside ours: {}{}", shown.join(", "), wanted.goal));
}

/// Seconds of one of the `count` operations that `work` does.
pub fn per_operation<T>(count: usize, work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    std::hint::black_box(work()?);
    Ok(start.elapsed().as_secs_f64() / count as f64)
}
