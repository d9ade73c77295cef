//! Small disks to be filled, which only root can make.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// A file system of its own, gone with the value.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// In memory, mounted on the directory.
    pub fn in_memory(directory: &Path, megabytes: u32) -> SmallDisk {
        let size = format!("size={megabytes}m");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "small"]).arg(directory));
        SmallDisk(directory.into())
    }

    /// As most people have it: ext4, on a file next to the directory that it is mounted on.
    pub fn ext4(directory: &Path, megabytes: u64) -> SmallDisk {
        let image = directory.with_extension("image");
        fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(directory));
        SmallDisk(directory.into())
    }

    /// Takes all of the space but `megabytes`, until the ballast is removed.
    pub fn fill_up_to(&self, megabytes: u64) -> Ballast {
        let path = self.0.join("ballast");
        let free = statvfs(&self.0).unwrap();
        let bytes = (free.f_bavail * free.f_frsize).checked_sub(megabytes << 20);
        let bytes = bytes.expect("the disk is too full for the test already");
        let file = OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, bytes).unwrap();
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A file that takes space.
pub struct Ballast(PathBuf);

impl Ballast {
    pub fn remove(self) {
        fs::remove_file(self.0).unwrap();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
