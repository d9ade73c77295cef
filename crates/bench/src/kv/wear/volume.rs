//! A file system on a loop device that counts what is written to it. For root only.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Sparse, on the disk of temporary files.
const VOLUME_BYTES: u64 = 512 << 20;
/// What counts as one place of the device.
const REGION_BYTES: usize = 16 << 10;
const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Btrfs,
}

/// A separate, mounted file system. Dropping it removes it.
pub struct Volume {
    place: TempDir,
    device: String,
    directory: PathBuf,
}

impl Volume {
    pub fn new(system: FileSystem) -> Result<Volume> {
        ensure!(rustix::process::geteuid().is_root(), "loop devices need root");
        let place = tempfile::tempdir()?;
        let (image, directory) = (image(&place), place.path().join("mount"));
        File::create(&image)?.set_len(VOLUME_BYTES)?;
        std::fs::create_dir(&directory)?;
        let found = execute("losetup", &["-f", "--show", "--direct-io=on", text(&image)?])?;
        // From here on dropping it cleans up, whatever fails.
        let volume = Volume { place, device: found.trim().to_owned(), directory };
        match system {
            FileSystem::Ext4 => execute("mkfs.ext4", &["-q", "-F", &volume.device])?,
            FileSystem::Btrfs => execute("mkfs.btrfs", &["-q", "-f", &volume.device])?,
        };
        execute("mount", &["-o", "noatime", &volume.device, text(&volume.directory)?])?;
        Ok(volume)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes everything that the file system deferred to the device.
    pub fn flush(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.directory)?)?)
    }

    /// Bytes written to the device since it was made.
    pub fn bytes_written(&self) -> Result<u64> {
        const SECTORS_WRITTEN: usize = 6;
        let name = self.device.trim_start_matches("/dev/");
        let counters = std::fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        let sectors = counters.split_whitespace().nth(SECTORS_WRITTEN);
        let sectors: u64 = sectors.context("the device has no counters")?.parse()?;
        Ok(sectors * SECTOR_BYTES)
    }

    /// A hash of what each region of the device holds.
    pub fn regions(&self) -> Result<Vec<u64>> {
        let mut device = File::open(image(&self.place))?;
        let mut region = vec![0; REGION_BYTES];
        let mut hashes = Vec::new();
        for _ in 0..VOLUME_BYTES / REGION_BYTES as u64 {
            device.read_exact(&mut region)?;
            let mut hasher = DefaultHasher::new();
            hasher.write(&region);
            hashes.push(hasher.finish());
        }
        Ok(hashes)
    }

    /// Bytes of the regions that have changed.
    pub fn bytes_changed(&self, before: &[u64]) -> Result<u64> {
        let now = self.regions()?;
        let changed = before.iter().zip(&now).filter(|(before, now)| before != now).count();
        Ok((changed * REGION_BYTES) as u64)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let directory = self.directory.to_string_lossy().into_owned();
        let _not_mounted = execute("umount", &[&directory]);
        if let Err(error) = execute("losetup", &["-d", &self.device]) {
            eprintln!("warning: {error:#}");
        }
    }
}

fn image(place: &TempDir) -> PathBuf {
    place.path().join("image")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path of a volume is no text")
}

/// Runs a program and returns its output. If it fails, the error has its message.
fn execute(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("start {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
