//! The one way in which a copy writes onto the host: beneath one directory, and nowhere else.
//!
//! What is written comes from a store, and a store may come from any hand. So a place here is a
//! directory that is held open and one [`Name`], which is a single step down; longer ways are gone
//! step by step, each a directory that is no symbolic link. What is made is new: nothing that is
//! there is opened, followed or replaced. Attributes are set through a descriptor of the file
//! itself, never by its path, so that nothing that takes its place meanwhile gets them. Every
//! writer onto the host goes through here.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fstat, linkat, makedev, mkdirat, mknodat, openat, setxattr, symlinkat, syncfs, utimensat,
};
use rustix::io::Errno;

/// The longest name that Linux takes, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A name of one entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The name, unless it could lead anywhere but to an entry of its directory.
    pub fn new(bytes: &'a [u8]) -> io::Result<Name<'a>> {
        let leads_on = bytes.iter().any(|byte| [b'/', 0].contains(byte));
        let named =
            (1..=NAME_BYTES_MAX).contains(&bytes.len()) && ![&b"."[..], b".."].contains(&bytes);
        match named && !leads_on {
            true => Ok(Name(bytes)),
            false => {
                let why = "its name leads out of its directory, or is none";
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
        }
    }
}

/// A directory at or beneath the target.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Directory {
    /// The target.
    pub fn target(opened: OwnedFd) -> Directory {
        Directory(opened)
    }

    /// Another handle of the same directory.
    pub fn again(&self) -> io::Result<Directory> {
        Ok(Directory(self.0.try_clone()?))
    }

    /// Makes a directory that only its owner may enter.
    pub fn make_directory(&self, name: Name<'_>) -> io::Result<Directory> {
        mkdirat(&self.0, name.0, Mode::RWXU)?;
        self.directory(name, OFlags::RDONLY)
    }

    /// Makes an empty regular file that only its owner may use, open to be written.
    pub fn make_file(&self, name: Name<'_>) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(openat(&self.0, name.0, flags | OFlags::CLOEXEC, mode)?)
    }

    /// Opens a file that was made here, to be written.
    pub fn made_file(&self, name: Name<'_>) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, name.0, flags, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file),
            _ => Err(replaced()),
        }
    }

    /// Makes a symbolic link, whose target is kept as it is: nothing here ever follows it.
    pub fn make_symlink(&self, name: Name<'_>, target: &[u8]) -> io::Result<Made> {
        symlinkat(target, &self.0, name.0)?;
        self.made(name, FileType::Symlink)
    }

    /// Makes a pipe, a socket or a device by its major and minor number.
    pub fn make_node(
        &self,
        name: Name<'_>,
        kind: FileType,
        (major, minor): (u32, u32),
    ) -> io::Result<Made> {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(&self.0, name.0, kind, mode, makedev(major, minor))?;
        self.made(name, kind)
    }

    /// Gives the file at the end of a way from `target` one more name here.
    pub fn link(&self, name: Name<'_>, target: &Directory, way: &[u8]) -> io::Result<()> {
        target.walk(way, |directory, first| {
            // Without a flag a symbolic link is not followed.
            Ok(linkat(directory, first.0, &self.0, name.0, AtFlags::empty())?)
        })
    }

    /// What lies at the end of a way from here, for its attributes; the directory itself where
    /// there is no way to go.
    pub fn at(&self, way: &[u8]) -> io::Result<Made> {
        match way.is_empty() {
            true => Ok(Made(self.again()?.0)),
            false => self.walk(way, |directory, name| {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                Ok(Made(openat(directory, name.0, flags, Mode::empty())?))
            }),
        }
    }

    /// Waits until everything on the file system of this directory is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        Ok(syncfs(&self.0)?)
    }

    /// Goes down to the directory of the last name of a way.
    fn walk<T>(
        &self,
        way: &[u8],
        last: impl FnOnce(BorrowedFd<'_>, Name<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut names = way.split(|byte| *byte == b'/');
        let name = Name::new(names.next_back().unwrap_or_default())?;
        let mut below: Option<Directory> = None;
        for name in names {
            let at = below.as_ref().unwrap_or(self);
            below = Some(at.directory(Name::new(name)?, OFlags::PATH)?);
        }
        last(below.as_ref().unwrap_or(self).as_fd(), name)
    }

    fn directory(&self, name: Name<'_>, how: OFlags) -> io::Result<Directory> {
        let flags = how | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Directory(openat(&self.0, name.0, flags, Mode::empty())?))
    }

    fn made(&self, name: Name<'_>, kind: FileType) -> io::Result<Made> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.0, name.0, flags, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&made)?.st_mode) == kind {
            true => Ok(Made(made)),
            false => Err(replaced()),
        }
    }
}

fn replaced() -> io::Error {
    io::Error::other("another process put something else in its place")
}

/// Something that was made, by a descriptor of it.
#[derive(Debug)]
pub struct Made(OwnedFd);

impl From<OwnedFd> for Made {
    fn from(opened: OwnedFd) -> Made {
        Made(opened)
    }
}

impl Made {
    /// Gives it to an owner and a group.
    pub fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(chownat(&self.0, "", owner.0, owner.1, AtFlags::EMPTY_PATH)?)
    }

    /// Gives it to a group, if this user may, as `cp -a` does. Returns `true` if owner and group
    /// are then these two.
    pub fn offer_to(&self, uid: u32, gid: u32) -> io::Result<bool> {
        let now = fstat(&self.0)?;
        if now.st_gid != gid {
            match chownat(&self.0, "", None, Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH) {
                Ok(()) => return Ok(now.st_uid == uid),
                // No group of this user, or none that this user's namespace knows.
                Err(Errno::PERM | Errno::INVAL) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(now.st_uid == uid)
    }

    /// Sets an extended attribute.
    pub fn set_xattr(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        Ok(setxattr(&*self.through_proc()?, name, value, XattrFlags::empty())?)
    }

    /// Sets the permission bits with set-id and sticky bits; not of a symbolic link, which has
    /// none.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(chmodat(CWD, &*self.through_proc()?, Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    /// Sets the times of the last access and of the last change.
    pub fn set_times(&self, times: &Timestamps) -> io::Result<()> {
        Ok(utimensat(CWD, &*self.through_proc()?, times, AtFlags::empty())?)
    }

    /// The way to exactly this file, whatever its path leads to by now: also if it is a symbolic
    /// link, it ends there.
    fn through_proc(&self) -> io::Result<CString> {
        Ok(CString::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()))?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn name(bytes: &[u8]) -> Name<'_> {
        Name::new(bytes).unwrap()
    }

    #[test]
    fn a_name_is_one_step_down_or_none() {
        for bytes in [&b""[..], b".", b"..", b"/", b"a/b", b"../x", b"/x", b"a\0", &[b'a'; 256]] {
            assert!(Name::new(bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&b"a"[..], b"...", b"..a", b"\xff", b"\n", &[b'a'; 255]] {
            assert!(Name::new(bytes).is_ok(), "{bytes:?}");
        }
    }

    #[test]
    fn nothing_that_is_there_is_followed_or_replaced() {
        let lab = tempfile::tempdir().unwrap();
        let (target, outside) = (lab.path().join("target"), lab.path().join("outside"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("mine"), "mine").unwrap();
        symlink(&outside, target.join("way")).unwrap();
        symlink(outside.join("mine"), target.join("file")).unwrap();
        symlink(outside.join("new"), target.join("dangling")).unwrap();
        let top = Directory::target(File::open(&target).unwrap().into());
        for taken in [b"way".as_slice(), b"file", b"dangling"] {
            assert!(top.make_file(name(taken)).is_err());
            assert!(top.made_file(name(taken)).is_err());
            assert!(top.make_directory(name(taken)).is_err());
            assert!(top.make_symlink(name(taken), b"x").is_err());
            assert!(top.make_node(name(taken), FileType::Fifo, (0, 0)).is_err());
        }
        for way in [b"way/mine".as_slice(), b"../outside/mine", b"/etc/passwd", b"way/", b""] {
            assert!(top.link(name(b"stolen"), &top, way).is_err(), "{way:?}");
        }
        assert!(top.at(b"way/mine").is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::metadata(outside.join("mine")).unwrap().nlink(), 1);
    }

    #[test]
    fn attributes_go_to_a_link_itself_and_to_what_was_made_although_it_was_moved() {
        let lab = tempfile::tempdir().unwrap();
        fs::write(lab.path().join("aim"), "x").unwrap();
        let before = fs::metadata(lab.path().join("aim")).unwrap();
        let top = Directory::target(File::open(lab.path()).unwrap().into());
        let link = top.make_symlink(name(b"link"), b"aim").unwrap();
        let time = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 7 };
        let times = Timestamps { last_access: time, last_modification: time };
        link.set_times(&times).unwrap();
        link.offer_to(before.uid(), before.gid()).unwrap();
        let meta = fs::symlink_metadata(lab.path().join("link")).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 7));
        assert_eq!(fs::metadata(lab.path().join("aim")).unwrap().mtime(), before.mtime());

        let made = Made::from(top.make_file(name(b"made")).unwrap());
        fs::rename(lab.path().join("made"), lab.path().join("moved")).unwrap();
        symlink("aim", lab.path().join("made")).unwrap();
        made.set_mode(0o4711).unwrap();
        let mode = |name: &str| fs::metadata(lab.path().join(name)).unwrap().permissions().mode();
        assert_eq!((mode("moved") & 0o7777, mode("aim")), (0o4711, before.mode()));
    }
}
