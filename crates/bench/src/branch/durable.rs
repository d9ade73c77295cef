//! Work that waits for the disk: flushed writes, and the first write into a large file of a fork.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::device::{Kind, LoopDevice, Overlay};
use super::files::duel;
use super::lab::{Lab, utf8};
use super::load::{self, make_file, noise};

const FILE_BYTES: u64 = 64 << 20;
const DURATION: Duration = Duration::from_secs(1);
const LARGE_BYTES: u64 = 1_000_000_000;

/// Measures one round of a peer, in seconds.
type Peer<'a> = Box<dyn Fn(u64) -> Result<f64> + 'a>;

/// Prints the rows of durable work.
pub fn run(table: &mut Table) -> Result<()> {
    flushed_writes(table)?;
    first_write(table)
}

fn flushed_writes(table: &mut Table) -> Result<()> {
    let (one, four) = ("4 KiB write + fsync, 1 job", "4 KiB write + fsync, 4 jobs on 4 files");
    if !table.wants(one) && !table.wants(four) {
        return Ok(());
    }
    let lab = Lab::new()?;
    lab.empty_branch("b")?;
    let mount = lab.mount("b")?;
    let files = |directory: &Path| -> Result<Vec<File>> {
        let paths = (0..4).map(|n| directory.join(format!("file-{n}")));
        paths.map(|path| make_file(&path, FILE_BYTES).and_then(|()| load::open(&path))).collect()
    };
    let (ours, plain) = (files(&mount)?, files(&lab.plain())?);
    for (what, jobs) in [(one, 1), (four, 4)] {
        if !table.wants(what) {
            continue;
        }
        let samples = duel(
            |seed| load::flushed_writes_of_jobs(&ours[..jobs], DURATION, seed),
            |seed| load::flushed_writes_of_jobs(&plain[..jobs], DURATION, seed),
        )?;
        table
            .row(what, Unit::PerSecond, &samples[0])
            .peer("plain", &samples[1])
            .bar(Bar::SpeedAtLeast(0.6));
        table.note("goal: ≥ 0.9×");
        table.print_probe();
    }
    drop((ours, plain));
    lab.unmount("b")
}

/// The first 8 KiB into a file of 1 GB that a fork shares, flushed.
fn first_write(table: &mut Table) -> Result<()> {
    let what = "first 8 KiB write + fsync into 1 GB of a fork";
    if !table.wants(what) {
        return Ok(());
    }
    let lab = Lab::new()?;
    let source = lab.plain().join("source");
    std::fs::create_dir(&source)?;
    make_file(&source.join("large"), LARGE_BYTES)?;
    lab.tine(&["import", utf8(&source)?, "base"])?;

    let mut round = 0;
    let ours = rounds_of(|| {
        round += 1;
        let name = format!("fork-{round}");
        lab.tine(&["branch", &name, "--from", "base"])?;
        let mount = lab.mount(&name)?;
        let seconds = first_page(&mount.join("large"), round)?;
        lab.unmount(&name)?;
        Ok(seconds)
    })?;
    table.row(what, Unit::Seconds, &ours).bar(Bar::AtMost(5e-3));
    table.print_probe();

    let peers: [(&str, Peer<'_>); 2] = [
        (
            "overlayfs",
            Box::new(|round| overlay(&lab, &source, &format!("kernel-{round}"), Overlay::kernel)),
        ),
        (
            "fuse-overlayfs",
            Box::new(|round| overlay(&lab, &source, &format!("fuse-{round}"), Overlay::fuse)),
        ),
    ];
    for (name, measure) in peers {
        let what = format!("{what}, {name}");
        let mut round = 0;
        match rounds_of(|| {
            round += 1;
            measure(round)
        }) {
            Ok(samples) => drop(table.row(&what, Unit::Seconds, &samples).bar(Bar::Printed)),
            Err(error) => table.not_run(&what, &format!("{error:#}")),
        }
    }
    for kind in [Kind::Xfs, Kind::Btrfs] {
        let what = format!("{what}, {}", kind.name());
        match reflink(&lab, &source, kind) {
            Ok(samples) => drop(table.row(&what, Unit::Seconds, &samples).bar(Bar::Printed)),
            Err(error) => table.not_run(&what, &format!("{error:#}")),
        }
    }
    Ok(())
}

fn rounds_of(measure: impl FnMut() -> Result<f64>) -> Result<Samples> {
    let mut rounds = Rounds::new(5).cold();
    rounds.contestant(measure);
    Ok(rounds.run()?.remove(0))
}

fn first_page(file: &Path, round: u64) -> Result<f64> {
    let page = noise(8192, round);
    let start = Instant::now();
    // Opening counts: an overlay copies the whole file then.
    let file = load::open(file)?;
    file.write_all_at(&page, (LARGE_BYTES / 8192 / 7 * round % (LARGE_BYTES / 8192)) * 8192)?;
    file.sync_data()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Each round has a new upper directory, into which the whole file is copied up.
fn overlay(
    lab: &Lab,
    source: &Path,
    name: &str,
    mount: impl Fn(&Path, &Path) -> Result<Overlay>,
) -> Result<f64> {
    let place = lab.path(name);
    let overlay = mount(source, &place)?;
    let seconds = first_page(&overlay.directory().join("large"), 1)?;
    drop(overlay);
    std::fs::remove_dir_all(&place)?;
    Ok(seconds)
}

fn reflink(lab: &Lab, source: &Path, kind: Kind) -> Result<Samples> {
    let device = LoopDevice::new(&lab.path(kind.file_name()), kind, 4 << 30)?;
    let original = device.directory().join("original");
    device.make_original(source, &original)?;
    let mut round = 0;
    rounds_of(|| {
        round += 1;
        let clone = device.directory().join(format!("clone-{round}"));
        device.clone(&original, &clone)?;
        first_page(&clone.join("large"), round)
    })
}
