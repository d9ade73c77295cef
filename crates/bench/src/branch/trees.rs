//! Many small files: made and removed, unpacked from an archive, scanned by git.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::device::Overlay;
use super::lab::{Lab, execute, utf8};

const SMALL_FILES: usize = 12_000;
const TREE_FILES: usize = 15_000;
const FILES_A_DIRECTORY: usize = 50;

/// Prints the rows of small files.
pub fn run(table: &mut Table) -> Result<()> {
    let (small, untar, status) = (
        "create and remove 12,000 small files",
        "untar of 15,000 files",
        "git status, warm, 15,000 files",
    );
    if ![small, untar, status].iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let lab = Lab::new()?;
    lab.empty_branch("b")?;
    let mount = lab.mount("b")?;
    let lower = lab.path("lower");
    std::fs::create_dir(&lower)?;
    let overlay = Overlay::fuse(&lower, &lab.path("overlay"));
    let plain = lab.plain();
    let mut places = vec![mount.as_path(), plain.as_path()];
    places.extend(overlay.as_ref().ok().map(Overlay::directory));
    if let Err(error) = &overlay {
        table.not_run("untar and git status on fuse-overlayfs", &format!("{error:#}"));
    }

    if table.wants(small) {
        let samples = in_each(&places[..2], create_and_remove)?;
        table
            .row(small, Unit::Seconds, &samples[0])
            .peer("plain", &samples[1])
            .bar(Bar::SpeedAtLeast(0.8));
    }
    if table.wants(untar) {
        let archive = make_archive(&lab)?;
        let samples = in_each(&places, |place| unpack(&archive, place))?;
        print(table, untar, &samples, 0.2);
    }
    if table.wants(status) {
        for place in &places {
            make_repository(&place.join("repository"))?;
        }
        let samples = in_each(&places, |place| git_status(&place.join("repository")))?;
        print(table, status, &samples, 0.4);
    }
    drop(overlay);
    lab.unmount("b")
}

/// Compares ours with the plain file system, and with fuse-overlayfs if that runs.
fn print(table: &mut Table, what: &str, samples: &[Samples], bar: f64) {
    let row = table.row(what, Unit::Seconds, &samples[0]);
    row.peer("plain", &samples[1]).bar(Bar::SpeedAtLeast(bar));
    if let Some(overlay) = samples.get(2) {
        let row = table.row(what, Unit::Seconds, &samples[0]);
        row.peer("fuse-overlayfs", overlay).bar(Bar::SpeedAtLeast(1.0));
    }
}

fn in_each(places: &[&Path], measure: impl Fn(&Path) -> Result<f64>) -> Result<Vec<Samples>> {
    let mut rounds = Rounds::new(5);
    for place in places {
        rounds.contestant(|| measure(place));
    }
    rounds.run()
}

fn create_and_remove(place: &Path) -> Result<f64> {
    let top = place.join("small");
    let start = Instant::now();
    for n in 0..SMALL_FILES {
        let directory = top.join((n / 200).to_string());
        if n % 200 == 0 {
            std::fs::create_dir_all(&directory)?;
        }
        std::fs::write(directory.join(format!("file-{n}")), [n as u8; 1000])?;
    }
    std::fs::remove_dir_all(&top)?;
    Ok(start.elapsed().as_secs_f64())
}

/// A tree like a source repository's: files of 1 to 20 kB.
fn make_tree(top: &Path) -> Result<()> {
    let text = "let mut branch = store.fork(\"main\", \"attempt\")?;\n".repeat(420);
    for n in 0..TREE_FILES {
        let directory = top.join(format!("crate-{}/src", n / FILES_A_DIRECTORY));
        if n % FILES_A_DIRECTORY == 0 {
            std::fs::create_dir_all(&directory)?;
        }
        let length = 1_000 + n * 7_919 % 19_000;
        std::fs::write(directory.join(format!("module_{n}.rs")), &text.as_bytes()[..length])?;
    }
    Ok(())
}

fn make_archive(lab: &Lab) -> Result<std::path::PathBuf> {
    let (tree, archive) = (lab.path("tree"), lab.path("tree.tar"));
    make_tree(&tree)?;
    execute("tar", &["-C", utf8(&tree)?, "-cf", utf8(&archive)?, "."])?;
    std::fs::remove_dir_all(&tree)?;
    Ok(archive)
}

fn unpack(archive: &Path, place: &Path) -> Result<f64> {
    let target = place.join("unpacked");
    std::fs::create_dir(&target)?;
    let start = Instant::now();
    execute("tar", &["-C", utf8(&target)?, "-xf", utf8(archive)?])?;
    let elapsed = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&target)?;
    Ok(elapsed)
}

fn make_repository(place: &Path) -> Result<()> {
    make_tree(place)?;
    git(place, &["init", "-q"])?;
    git(place, &["add", "."])?;
    git(
        place,
        &["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "all"],
    )
}

fn git_status(repository: &Path) -> Result<f64> {
    let start = Instant::now();
    git(repository, &["status", "--porcelain"])?;
    Ok(start.elapsed().as_secs_f64())
}

fn git(directory: &Path, arguments: &[&str]) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(directory).args(["-c", "safe.directory=*"]).args(arguments);
    let output = git.output().context("start git")?;
    anyhow::ensure!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
