//! The same experiment on every file system that can clone: a tree of 1 GB is cloned, and 1 % of
//! its pages are rewritten.
//!
//! The time of a clone ends when its first byte is read where it will be used. It includes the
//! program that makes the clone and, for tine and the overlays, its mount. The disk space of a
//! clone is what the file system holds in addition after the writes are flushed.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::device::{Kind, LoopDevice, Overlay};
use super::lab::{Lab, execute, utf8};
use super::load::{Places, make_file, noise};

const FILES: u64 = 50;
const FILE_BYTES: u64 = 20_000_000;
const PAGE: u64 = 8192;
const REWRITTEN: u64 = FILES * FILE_BYTES / PAGE / 100;

/// What is done in a clone.
type Work<'a> = &'a mut dyn FnMut(&Path) -> Result<()>;

/// Makes the clone of a round and does the work in it.
type Clone<'a> = Box<dyn Fn(u64, Work<'_>) -> Result<()> + 'a>;

/// Mounts an overlay over a directory, with its upper part in another.
type Mount = fn(&Path, &Path) -> Result<Overlay>;

/// A way to clone.
struct Way<'a> {
    name: &'static str,
    /// A path on the file system whose space counts.
    holds: PathBuf,
    clone: Clone<'a>,
}

/// Prints the rows of clones.
pub fn run(table: &mut Table) -> Result<()> {
    let (time, disk) =
        ("clone of 1 GB in files, until read", "disk of such a clone, 1 % rewritten");
    if !table.wants(time) && !table.wants(disk) {
        return Ok(());
    }
    let lab = Lab::new()?;
    let source = lab.plain().join("source");
    std::fs::create_dir(&source)?;
    for n in 0..FILES {
        make_file(&source.join(n.to_string()), FILE_BYTES)?;
    }
    lab.tine(&["import", utf8(&source)?, "base"])?;

    let mut ways = vec![ours(&lab), copies(&lab, &source)];
    for kind in [Kind::Xfs, Kind::Btrfs] {
        match reflinks(&lab, &source, kind) {
            Ok(way) => ways.push(way),
            Err(error) => table.not_run(&format!("{time}, {}", kind.name()), &format!("{error:#}")),
        }
    }
    let overlays: [(&str, Mount); 2] =
        [("overlayfs", Overlay::kernel), ("fuse-overlayfs", Overlay::fuse)];
    for (name, mount) in overlays {
        match mount(&source, &lab.path(&format!("{name}-probe"))) {
            Ok(_works) => ways.push(overlay(&lab, &source, name, mount)),
            Err(error) => table.not_run(&format!("{time}, {name}"), &format!("{error:#}")),
        }
    }

    let grown: Vec<RefCell<Vec<f64>>> = ways.iter().map(|_| RefCell::default()).collect();
    let mut rounds = Rounds::new(5).cold();
    for (way, grown) in ways.iter().zip(&grown) {
        let mut round = 0;
        rounds.contestant(move || {
            round += 1;
            let (seconds, bytes) = measure(way, round)?;
            grown.borrow_mut().push(bytes);
            Ok(seconds)
        });
    }
    let times = rounds.run()?;
    let grown: Vec<Samples> = grown.into_iter().map(|it| Samples::new(it.into_inner())).collect();
    for (what, unit, samples) in [(time, Unit::Seconds, &times), (disk, Unit::Bytes, &grown)] {
        for (way, peer) in ways.iter().zip(samples).skip(1) {
            table.row(what, unit, &samples[0]).peer(way.name, peer).bar(Bar::Printed);
        }
        if what == time {
            table.note(
                "ours is a process that starts to serve the mount; `tine branch` alone has a row",
            );
        }
    }
    Ok(())
}

/// Seconds until the clone is read, and bytes that it holds after the rewrite.
fn measure(way: &Way<'_>, round: u64) -> Result<(f64, f64)> {
    let before = held(&way.holds)?;
    let start = Instant::now();
    let mut seconds = 0.0;
    let mut bytes = 0.0;
    (way.clone)(round, &mut |clone| {
        let mut byte = [0];
        File::open(clone.join("0"))?.read_exact_at(&mut byte, 0)?;
        seconds = start.elapsed().as_secs_f64();
        rewrite(clone, round)?;
        bytes = held(&way.holds)? - before;
        Ok(())
    })?;
    Ok((seconds, bytes))
}

fn rewrite(clone: &Path, round: u64) -> Result<()> {
    let (page, mut places) = (noise(PAGE as usize, round), Places::new(round));
    let files = (0..FILES).map(|n| super::load::open(&clone.join(n.to_string())));
    let files = files.collect::<Result<Vec<File>>>()?;
    for _ in 0..REWRITTEN {
        let file = &files[places.below(FILES) as usize];
        file.write_all_at(&page, places.below(FILE_BYTES / PAGE) * PAGE)?;
    }
    files.iter().try_for_each(|file| Ok(file.sync_data()?))
}

/// Bytes in use on the file system of `path`, after everything was flushed to it.
fn held(path: &Path) -> Result<f64> {
    let file = File::open(path)?;
    rustix::fs::syncfs(&file)?;
    let stat = rustix::fs::fstatvfs(&file)?;
    Ok((stat.f_blocks - stat.f_bfree) as f64 * stat.f_frsize as f64)
}

fn ours(lab: &Lab) -> Way<'_> {
    let clone = |round, work: Work<'_>| {
        let name = format!("clone-{round}");
        lab.tine(&["branch", &name, "--from", "base"])?;
        // The branch is not deleted: space that it gives back would be counted for the next one.
        let worked = work(&lab.mount(&name)?);
        lab.unmount(&name)?;
        worked
    };
    Way { name: "tine", holds: lab.plain(), clone: Box::new(clone) }
}

fn copies<'a>(lab: &'a Lab, source: &'a Path) -> Way<'a> {
    let clone = |round, work: Work<'_>| {
        let copy = lab.plain().join(format!("copy-{round}"));
        execute("cp", &["-a", utf8(source)?, utf8(&copy)?])?;
        let worked = work(&copy);
        std::fs::remove_dir_all(&copy)?;
        worked
    };
    Way { name: "cp -a", holds: lab.plain(), clone: Box::new(clone) }
}

fn reflinks<'a>(lab: &Lab, source: &Path, kind: Kind) -> Result<Way<'a>> {
    let device =
        LoopDevice::new(&lab.path(&format!("clones-{}", kind.file_name())), kind, 8 << 30)?;
    let original = device.directory().join("original");
    device.make_original(source, &original)?;
    let holds = device.directory().to_owned();
    let clone = move |round, work: Work<'_>| {
        let clone = device.directory().join(format!("clone-{round}"));
        device.clone(&original, &clone)?;
        work(&clone)
    };
    Ok(Way { name: kind.name(), holds, clone: Box::new(clone) })
}

fn overlay<'a>(lab: &'a Lab, source: &'a Path, name: &'static str, mount: Mount) -> Way<'a> {
    let clone = move |round, work: Work<'_>| {
        let place = lab.path(&format!("{name}-{round}"));
        let overlay = mount(source, &place)?;
        let worked = work(overlay.directory());
        drop(overlay);
        std::fs::remove_dir_all(&place)?;
        worked
    };
    Way { name, holds: lab.plain(), clone: Box::new(clone) }
}
