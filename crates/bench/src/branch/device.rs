//! The peers' file systems: ext4, xfs and btrfs on loop devices, overlays over a directory. For
//! root only.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::lab::{execute, utf8};

/// A file system that can clone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// xfs, files cloned by reflink.
    Xfs,
    /// btrfs, subvolumes cloned by snapshot.
    Btrfs,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Xfs => "xfs reflink",
            Kind::Btrfs => "btrfs snapshot",
        }
    }

    /// Its name in paths.
    pub fn file_name(self) -> &'static str {
        match self {
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }
}

/// A file system in a file, mounted through a loop device without double caching.
pub struct LoopDevice {
    kind: Kind,
    image: PathBuf,
    device: String,
    directory: PathBuf,
}

impl LoopDevice {
    /// Makes and mounts it; `place` becomes the mount's directory.
    pub fn new(place: &Path, kind: Kind, bytes: u64) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "loop devices need root");
        let image = place.with_extension("image");
        std::fs::File::create(&image)?.set_len(bytes)?;
        std::fs::create_dir_all(place)?;
        let device = execute("losetup", &["-f", "--show", "--direct-io=on", utf8(&image)?])?
            .trim()
            .to_owned();
        // From here on dropping it cleans up, whatever fails.
        let this = Self { kind, image, device, directory: place.to_owned() };
        match kind {
            Kind::Xfs => execute("mkfs.xfs", &["-q", "-f", "-m", "reflink=1", &this.device])?,
            Kind::Btrfs => execute("mkfs.btrfs", &["-q", "-f", &this.device])?,
        };
        execute("mount", &["-o", "noatime", &this.device, utf8(place)?])?;
        std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(this)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Copies a directory onto it, in the form that it clones.
    pub fn make_original(&self, source: &Path, original: &Path) -> Result<()> {
        match self.kind {
            Kind::Xfs => std::fs::create_dir(original)?,
            Kind::Btrfs => drop(execute("btrfs", &["subvolume", "create", utf8(original)?])?),
        }
        // Contents and the directory's own owner and mode.
        execute("cp", &["-a", "-T", utf8(source)?, utf8(original)?]).map(drop)
    }

    /// Clones what [`LoopDevice::make_original`] made.
    pub fn clone(&self, original: &Path, clone: &Path) -> Result<()> {
        let (original, clone) = (utf8(original)?, utf8(clone)?);
        match self.kind {
            Kind::Xfs => execute("cp", &["-a", "--reflink=always", original, clone]),
            Kind::Btrfs => execute("btrfs", &["subvolume", "snapshot", original, clone]),
        }
        .map(drop)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let directory = self.directory.to_string_lossy().into_owned();
        let _not_mounted = execute("umount", &[&directory]);
        if let Err(error) = execute("losetup", &["-d", &self.device]) {
            eprintln!("warning: {error:#}");
        }
        let _gone_with_its_directory = std::fs::remove_file(&self.image);
    }
}

/// An overlay of a fresh upper directory over a shared lower one.
pub struct Overlay {
    directory: PathBuf,
}

impl Overlay {
    /// The kernel's.
    pub fn kernel(lower: &Path, place: &Path) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "mounting an overlay needs root");
        Self::mount(lower, place, |options, directory| {
            execute("mount", &["-t", "overlay", "overlay", "-o", options, directory])
        })
    }

    /// fuse-overlayfs.
    pub fn fuse(lower: &Path, place: &Path) -> Result<Self> {
        Self::mount(lower, place, |options, directory| {
            execute("fuse-overlayfs", &["-o", options, directory])
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn mount(
        lower: &Path,
        place: &Path,
        mount: impl Fn(&str, &str) -> Result<String>,
    ) -> Result<Self> {
        let [upper, work, directory] = ["upper", "work", "merged"].map(|name| place.join(name));
        for directory in [&upper, &work, &directory] {
            std::fs::create_dir_all(directory)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        mount(&options, utf8(&directory)?)?;
        Ok(Self { directory })
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // A FUSE server may still be serving its last requests. The mount then goes when it has
        // answered.
        let directory = self.directory.to_string_lossy();
        let gone =
            execute("umount", &[&directory]).or_else(|_| execute("umount", &["-l", &directory]));
        if let Err(error) = gone {
            eprintln!("warning: {error:#}");
        }
    }
}
