//! Write amplification, and how physical writes spread: the same changes in a tine store and a
//! SQLite database, each on its own ext4, and in a file on btrfs.
//!
//! Each has a file system on a loop device, whose counter includes everything that reaches it:
//! journals, copies, the file system's own records. A workload ends when everything that it
//! deferred is on the device. The spread comes from comparing the device before and after: how
//! often, on average, each place was written that has changed.

mod pages;
mod volume;

use anyhow::Result;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::data::Random;
use pages::{BtrfsFile, Database, PAGE_BYTES, Pages, Store};
use volume::{FileSystem, Volume};

/// 64 MiB.
const PAGES: u64 = 16_384;

/// What is changed, in transactions that are durable when they return.
struct Workload {
    what: &'static str,
    transactions: usize,
    /// Pages of one transaction. They are consecutive if it loads.
    pages: usize,
    load: bool,
}

const WORKLOADS: [Workload; 3] = [
    Workload { what: "64 MB loaded", transactions: 64, pages: PAGES as usize / 64, load: true },
    Workload { what: "single pages at random", transactions: 2000, pages: 1, load: false },
    Workload { what: "100 pages at random at a time", transactions: 100, pages: 100, load: false },
];

type Open = fn(&std::path::Path) -> Result<Box<dyn Pages>>;

/// Ours first.
const SUBJECTS: [(&str, FileSystem, Open); 3] = [
    ("tine", FileSystem::Ext4, |directory| Ok(Box::new(Store::new(directory)?))),
    ("SQLite", FileSystem::Ext4, |directory| Ok(Box::new(Database::new(directory)?))),
    ("btrfs", FileSystem::Btrfs, |directory| Ok(Box::new(BtrfsFile::new(directory)?))),
];

/// What a workload did to the device.
struct Wear {
    /// Bytes written to the device for each byte of the pages.
    amplification: f64,
    /// Times that each changed place was written.
    times: f64,
}

pub fn run(table: &mut Table) -> Result<()> {
    let name = |workload: &Workload| format!("device bytes ÷ user bytes, {}", workload.what);
    if !WORKLOADS.iter().any(|workload| table.wants(&name(workload))) {
        return Ok(());
    }
    let mut all = Vec::new();
    for (subject, system, open) in SUBJECTS {
        match measure(system, open) {
            Ok(wear) => all.push((subject, wear)),
            Err(error) => table.not_run(&name(&WORKLOADS[0]), &format!("{subject}: {error:#}")),
        }
    }
    let [(_, ours), peers @ ..] = all.as_slice() else { return Ok(()) };
    for (at, workload) in WORKLOADS.iter().enumerate() {
        let samples = |wear: &Vec<Wear>| Samples::new(vec![wear[at].amplification]);
        let mut row = table.row(&name(workload), Unit::Number, &samples(ours));
        if let Some((peer, wear)) = peers.first() {
            row = row.peer(peer, &samples(wear));
        }
        row.bar(Bar::Printed);
        let shown: Vec<_> = all
            .iter()
            .map(|(subject, wear)| {
                let Wear { amplification, times } = &wear[at];
                format!("{subject} {amplification:.2}×, each changed place {times:.1} times")
            })
            .collect();
        table.note(&shown.join("; "));
    }
    Ok(())
}

/// All workloads, one after another.
fn measure(system: FileSystem, open: Open) -> Result<Vec<Wear>> {
    let volume = Volume::new(system)?;
    let mut subject = open(volume.directory())?;
    let mut random = Random::new(7);
    let mut measured = Vec::new();
    for workload in &WORKLOADS {
        let (before, written) = (volume.regions()?, volume.bytes_written()?);
        for transaction in 0..workload.transactions {
            let mut pages = Vec::with_capacity(workload.pages);
            for page in 0..workload.pages {
                let place = if workload.load {
                    (transaction * workload.pages + page) as u64
                } else {
                    random.next() % PAGES
                };
                pages.push((place, noise(&mut random)));
            }
            subject.write(&pages)?;
        }
        subject.write_deferred()?;
        volume.flush()?;
        let written = (volume.bytes_written()? - written) as f64;
        let changed = volume.bytes_changed(&before)? as f64;
        let user = (workload.transactions * workload.pages * PAGE_BYTES) as f64;
        measured.push(Wear { amplification: written / user, times: written / changed });
    }
    drop(subject);
    Ok(measured)
}

fn noise(random: &mut Random) -> Vec<u8> {
    let mut page = vec![0; PAGE_BYTES];
    random.fill(&mut page);
    page
}
