//! The attributes of a file, as a caller sees and sets them.

use std::fmt;

use crate::time::Time;

/// The number of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(u64);

/// The number of the root directory.
pub const ROOT: Ino = Ino::new(1);

impl Ino {
    /// The inode with a number.
    pub const fn new(number: u64) -> Ino {
        Ino(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Which of `shards` parts of a table keeps the inode.
    pub const fn shard(self, shards: usize) -> usize {
        self.0 as usize % shards
    }
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of file an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A named pipe.
    Fifo = 4,
    /// A Unix socket.
    Socket = 5,
    /// A character device.
    CharDevice = 6,
    /// A block device.
    BlockDevice = 7,
}

impl Kind {
    /// The kind that the type bits of an `st_mode` name, if they name one. No bits mean a regular
    /// file, as in `mknod`.
    pub fn of_mode(mode: u32) -> Option<Kind> {
        Some(match mode & libc::S_IFMT {
            0 | libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            libc::S_IFIFO => Kind::Fifo,
            libc::S_IFSOCK => Kind::Socket,
            libc::S_IFCHR => Kind::CharDevice,
            libc::S_IFBLK => Kind::BlockDevice,
            _ => return None,
        })
    }

    /// The type bits of a `st_mode`.
    pub fn mode(self) -> u32 {
        match self {
            Kind::File => libc::S_IFREG,
            Kind::Directory => libc::S_IFDIR,
            Kind::Symlink => libc::S_IFLNK,
            Kind::Fifo => libc::S_IFIFO,
            Kind::Socket => libc::S_IFSOCK,
            Kind::CharDevice => libc::S_IFCHR,
            Kind::BlockDevice => libc::S_IFBLK,
        }
    }
}

/// The attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Its number.
    pub ino: Ino,
    /// Bytes of a regular file or of the target of a symbolic link. Of a directory, a number that
    /// is 0 when it is empty and grows with its names.
    pub size: u64,
    /// Space that its data takes, in units of 512 bytes. Holes take none.
    pub blocks_512: u64,
    /// The time of the last read, as it was set: reads do not move it.
    pub atime: Time,
    /// The time of the last change of its data.
    pub mtime: Time,
    /// The time of the last change of its data or attributes.
    pub ctime: Time,
    /// The time of its birth.
    pub crtime: Time,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits (at most `0o7777`).
    pub mode: u32,
    /// Its number of names; of a directory, its subdirectories plus 2.
    pub nlink: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The number of a device, as the kernel encodes it in 32 bits.
    pub rdev: u32,
}

impl Attr {
    /// Returns `true` if the mode lends the rights of the file's owner or group.
    pub fn has_set_id(&self) -> bool {
        self.mode & (libc::S_ISUID | libc::S_ISGID) != 0
    }
}

/// The process on whose behalf a file is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The owner of the file.
    pub uid: u32,
    /// Its group, unless the directory passes on its own.
    pub gid: u32,
    /// Permission bits that the file does not get, unless its directory has a default access list.
    pub umask: u32,
}

/// The root directory of a new file tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRoot {
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What a time is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The time of the call.
    Now,
    /// A given time.
    At(Time),
}

/// The attributes to be set; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission bits with set-id and sticky bits.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The size of a regular file, in bytes.
    pub size: Option<u64>,
    /// The time of the last read.
    pub atime: Option<SetTime>,
    /// The time of the last change of data.
    pub mtime: Option<SetTime>,
    /// The time of the last change of attributes; the time of the call if absent.
    pub ctime: Option<Time>,
    /// A change of size clears the set-id bits, as it does for a caller without `CAP_FSETID`.
    pub kill_set_id: bool,
}
