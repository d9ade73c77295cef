//! What the host says of one file, and by what it is known again.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, statx};
use tine_fs::{HostRecord, Kind, Time};
use tine_sys::filesystem::Filesystem;
use xxhash_rust::xxh3::xxh3_64;

/// What the host says of a file, without following it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Type and permission bits.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    /// Major and minor number of the device that it is on.
    pub dev: (u32, u32),
    pub number: u64,
    pub size: u64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    pub birth: Time,
}

impl Seen {
    /// An entry of a directory.
    pub fn at(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Seen> {
        Seen::of(directory, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// An open file.
    pub fn open(file: impl AsFd) -> io::Result<Seen> {
        Seen::of(file.as_fd(), b"", AtFlags::EMPTY_PATH)
    }

    fn of(directory: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> io::Result<Seen> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let found: Statx = statx(directory, name, flags, wanted)?;
        let knows_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
        Ok(Seen {
            mode: found.stx_mode.into(),
            nlink: found.stx_nlink,
            uid: found.stx_uid,
            gid: found.stx_gid,
            rdev: (found.stx_rdev_major, found.stx_rdev_minor),
            dev: (found.stx_dev_major, found.stx_dev_minor),
            number: found.stx_ino,
            size: found.stx_size,
            atime: time(found.stx_atime),
            mtime: time(found.stx_mtime),
            ctime: time(found.stx_ctime),
            birth: if knows_birth { time(found.stx_btime) } else { Time::default() },
        })
    }

    /// What kind of file it is, if it is of one that is known.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of_mode(self.mode)
    }

    /// Returns `true` unless it was replaced or changed since.
    pub fn is_same(&self, later: &Seen) -> bool {
        let mark = |seen: &Seen| (seen.dev, seen.number, seen.size, seen.mtime, seen.ctime);
        mark(self) == mark(later)
    }

    /// Returns `true` if it is the file that was recorded at its path. Another identity of the file
    /// system says little against number and birth: some have a new one after a reboot, and a
    /// directory may be where another file system begins.
    pub fn is_file_of(&self, known: &HostRecord, filesystem: u64) -> bool {
        let told_apart = self.birth != Time::default() || self.kind() == Some(Kind::Directory);
        (filesystem == known.filesystem || told_apart)
            && (self.number, self.birth) == (known.number, known.birth)
    }

    /// What a branch remembers of it. It was seen after `now` was read from the clock.
    pub fn record(&self, filesystem: u64, now: Time) -> HostRecord {
        HostRecord {
            filesystem,
            number: self.number,
            size: self.size,
            mtime: self.mtime,
            ctime: self.ctime,
            birth: self.birth,
            settled: is_before(self.ctime, now),
        }
    }
}

/// Returns `true` if a change from `now` on has a later time than `ctime`, on this file system.
fn is_before(ctime: Time, now: Time) -> bool {
    /// The clock that files are stamped with moves every 10 ms at the slowest.
    const TICKS: i64 = 30_000_000;
    /// Whole seconds may be all that the file system can say.
    const SECONDS: i64 = 2_000_000_000;
    let coarse = ctime.nanos == 0;
    let nanos = |time: Time| i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    nanos(now) - nanos(ctime) > i128::from(if coarse { SECONDS } else { TICKS })
}

fn time(time: StatxTimestamp) -> Time {
    Time { secs: time.tv_sec, nanos: time.tv_nsec }
}

/// The file systems that a copy met: what stands for each in a record.
#[derive(Default)]
pub struct Filesystems(Mutex<HashMap<(u32, u32), u64>>);

impl Filesystems {
    /// Of an open directory.
    pub fn of(&self, directory: BorrowedFd<'_>, seen: &Seen) -> io::Result<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known.get(&seen.dev) {
            return Ok(*id);
        }
        let Filesystem { kind, uuid, id } = Filesystem::of(directory)?;
        let mut bytes = [kind.to_le_bytes(), id.to_le_bytes()].concat();
        bytes.extend_from_slice(&uuid.unwrap_or_default());
        let id = xxh3_64(&bytes);
        known.insert(seen.dev, id);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_is_seen_as_the_system_tells_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "four").unwrap();
        let opened = File::open(directory.path()).unwrap();
        let seen = Seen::at(opened.as_fd(), b"file").unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((seen.number, seen.size, seen.mode), (meta.ino(), 4, meta.mode()));
        assert_eq!((seen.ctime.secs, seen.ctime.nanos), (meta.ctime(), meta.ctime_nsec() as u32));
        assert_eq!((seen.nlink, seen.kind()), (1, Some(Kind::File)));
        assert!(seen.is_same(&Seen::open(File::open(&path).unwrap()).unwrap()));
        std::fs::write(&path, "other").unwrap();
        assert!(!seen.is_same(&Seen::at(opened.as_fd(), b"file").unwrap()));
        std::os::unix::fs::symlink("file", directory.path().join("link")).unwrap();
        assert_eq!(Seen::at(opened.as_fd(), b"link").unwrap().kind(), Some(Kind::Symlink));
    }

    #[test]
    fn a_change_just_before_is_not_settled_and_whole_seconds_need_longer() {
        let time = |secs, nanos| Time { secs, nanos };
        let now = time(100, 10_000_000);
        assert!(is_before(time(99, 979_999_999), now));
        assert!(!is_before(time(99, 980_000_000), now) && !is_before(now, now));
        assert!(!is_before(time(99, 0), now) && is_before(time(98, 0), now));
        assert!(!is_before(time(200, 5), now), "a clock that was put back");
    }

    #[test]
    fn a_file_is_known_at_its_path_when_its_file_system_has_another_identity() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "").unwrap();
        let opened = File::open(directory.path()).unwrap();
        let seen = Seen::at(opened.as_fd(), b"file").unwrap();
        let known = Seen { birth: Time { secs: 5, nanos: 5 }, ..seen }.record(1, Time::default());
        let born = |secs| Seen { birth: Time { secs, nanos: 5 }, ..seen };
        assert!(born(5).is_file_of(&known, 1) && born(5).is_file_of(&known, 2));
        assert!(!born(6).is_file_of(&known, 1));
        let unborn = Seen { birth: Time::default(), ..seen };
        let known = unborn.record(1, Time::default());
        assert!(unborn.is_file_of(&known, 1) && !unborn.is_file_of(&known, 2));
    }

    #[test]
    fn a_file_system_has_one_number() {
        let directory = tempfile::tempdir().unwrap();
        let of = |known: &Filesystems| {
            let opened = File::open(directory.path()).unwrap();
            known.of(opened.as_fd(), &Seen::open(&opened).unwrap()).unwrap()
        };
        let known = Filesystems::default();
        assert_eq!(of(&known), of(&known));
        assert_eq!(of(&known), of(&Filesystems::default()));
    }
}
