//! Telling file systems apart, also after a reboot.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{fstatfs, fstatvfs};
use rustix::ioctl::{Getter, Opcode, ioctl, opcode};

/// What stays of a file system when its device gets another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filesystem {
    /// Its type, as `statfs(2)` tells it.
    pub kind: u64,
    /// The UUID that its file system wrote, where the kernel tells it (Linux 6.9).
    pub uuid: Option<[u8; 16]>,
    /// The number that `statfs(2)` tells, where that does not follow from the number of the device.
    pub id: u64,
}

const XFS: u64 = 0x5846_5342;

/// `FS_IOC_GETFSUUID` of `linux/fs.h`.
const GET_UUID: Opcode = opcode::read::<Uuid>(0x15, 0);

#[repr(C)]
struct Uuid {
    length: u8,
    bytes: [u8; 16],
}

impl Filesystem {
    /// The file system of an open file.
    ///
    /// # Errors
    /// Those of `statfs(2)`.
    pub fn of(file: impl AsFd) -> io::Result<Filesystem> {
        let kind = fstatfs(&file)?.f_type as u64;
        let uuid = uuid(&file);
        // With xfs it is the number of the device.
        let follows_device = kind == XFS && uuid.is_some();
        let id = if follows_device { 0 } else { fstatvfs(&file)?.f_fsid };
        Ok(Filesystem { kind, uuid, id })
    }
}

fn uuid(file: &impl AsFd) -> Option<[u8; 16]> {
    // SAFETY: the kernel fills a structure of this layout, all of whose bytes may have any value.
    let uuid = unsafe { ioctl(file, Getter::<GET_UUID, Uuid>::new()) }.ok()?;
    (uuid.length == 16).then_some(uuid.bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn files_of_one_file_system_have_one_identity_and_others_another() {
        let here = Filesystem::of(File::open(std::env::temp_dir()).unwrap()).unwrap();
        let again = Filesystem::of(tempfile()).unwrap();
        assert_eq!(here, again);
        let proc = Filesystem::of(File::open("/proc").unwrap()).unwrap();
        assert_ne!(here, proc);
    }

    fn tempfile() -> File {
        let path = std::env::temp_dir().join(format!("tine-filesystem-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }
}
