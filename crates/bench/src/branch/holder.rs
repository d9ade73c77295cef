//! Memory: of the holder after work, and of the page cache when many branches read the same bytes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::device::Overlay;
use super::lab::{Lab, drop_caches, utf8};
use super::load::make_file;

const SHARED_BYTES: u64 = 500_000_000;
const BRANCHES: usize = 20;

/// Prints the rows of memory.
pub fn run(table: &mut Table) -> Result<()> {
    let (resident, cached) =
        ("resident memory of the holder", "page cache of 20 branches reading the same 500 MB");
    if !table.wants(resident) && !table.wants(cached) {
        return Ok(());
    }
    let lab = Lab::new()?;
    let source = lab.plain().join("source");
    std::fs::create_dir(&source)?;
    make_file(&source.join("large"), SHARED_BYTES)?;
    lab.tine(&["import", utf8(&source)?, "base"])?;

    let mut mounts = Vec::new();
    for n in 0..BRANCHES {
        let name = format!("branch-{n}");
        lab.tine(&["branch", &name, "--from", "base"])?;
        mounts.push(lab.mount(&name)?);
    }
    let ours = cache_of_reading(&mounts)?;
    let memory = resident_bytes_of_holder(&lab)?;
    if table.wants(resident) {
        table.row(resident, Unit::Bytes, &Samples::new(vec![memory])).bar(Bar::AtMost(300e6));
        table.note("20 branches mounted, each has read 500 MB");
    }
    for n in 0..BRANCHES {
        lab.unmount(&format!("branch-{n}"))?;
    }

    let overlays: Result<Vec<_>> = (0..BRANCHES)
        .map(|n| Overlay::kernel(&source, &lab.path(&format!("overlay-{n}"))))
        .collect();
    let row = table.row(cached, Unit::Bytes, &Samples::new(vec![ours]));
    match overlays {
        Ok(overlays) => {
            let directories: Vec<PathBuf> =
                overlays.iter().map(|overlay| overlay.directory().to_owned()).collect();
            let peer = Samples::new(vec![cache_of_reading(&directories)?]);
            row.peer("overlayfs", &peer).bar(Bar::Printed);
        }
        Err(_) => drop(row.bar(Bar::Printed)),
    }
    Ok(())
}

/// What the kernel caches in addition after everything was read once.
fn cache_of_reading(directories: &[PathBuf]) -> Result<f64> {
    drop_caches();
    let before = cached_bytes()?;
    for directory in directories {
        let mut file = std::fs::File::open(directory.join("large"))?;
        std::io::copy(&mut file, &mut std::io::sink())?;
    }
    Ok((cached_bytes()? - before).max(0.0))
}

fn cached_bytes() -> Result<f64> {
    kilobytes(Path::new("/proc/meminfo"), "Cached:")
}

/// The holder is the process that has the store's file open.
fn resident_bytes_of_holder(lab: &Lab) -> Result<f64> {
    let store = lab.store().canonicalize()?;
    for process in std::fs::read_dir("/proc")?.flatten() {
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has_store = descriptors
            .flatten()
            .any(|one| std::fs::read_link(one.path()).is_ok_and(|file| file == store));
        if has_store && process.file_name() != std::process::id().to_string().as_str() {
            return kilobytes(&process.path().join("status"), "VmRSS:");
        }
    }
    anyhow::bail!("no process has {} open", store.display())
}

fn kilobytes(file: &Path, name: &str) -> Result<f64> {
    let text = std::fs::read_to_string(file)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("{name} in {}", file.display()))?;
    let count: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(count * 1024.0)
}
