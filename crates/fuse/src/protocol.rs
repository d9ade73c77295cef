//! Numbers of the FUSE protocol, as `include/uapi/linux/fuse.h` of Linux defines them (7.45).
//!
//! Only what this server speaks is listed. All fields on the wire are in the machine's own byte
//! order.

/// The major version; the kernel and the server must agree on it.
pub const MAJOR: u32 = 7;
/// The newest minor version that this server knows.
pub const MINOR: u32 = 45;
/// The oldest minor version that this server accepts: 7.31 (Linux 5.4) has the long INIT answer,
/// large requests and directories without handles.
pub const MINOR_MIN: u32 = 31;

/// Bytes of a request's header.
pub const IN_HEADER_BYTES: usize = 40;
/// Bytes of a WRITE request before its data.
pub const WRITE_IN_BYTES: usize = 40;
/// Bytes of an answer's header.
pub const OUT_HEADER_BYTES: usize = 16;

/// What a request asks for.
pub mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const COPY_FILE_RANGE: u32 = 47;
    pub const SYNCFS: u32 = 50;
    pub const TMPFILE: u32 = 51;
    pub const STATX: u32 = 52;
    pub const COPY_FILE_RANGE_64: u32 = 53;
}

/// Capabilities exchanged by INIT.
pub mod capability {
    /// Several reads of one file at a time.
    pub const ASYNC_READ: u64 = 1 << 0;
    /// Handles of files (`name_to_handle_at`) are found by number: a lookup of `.` in any inode is
    /// answered.
    pub const EXPORT_SUPPORT: u64 = 1 << 4;
    /// Writes larger than a page.
    pub const BIG_WRITES: u64 = 1 << 5;
    /// The umask of the calling process comes with the mode, and is applied here.
    pub const DONT_MASK: u64 = 1 << 6;
    /// READDIRPLUS exists...
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    /// ...and the kernel chooses when to use it.
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    /// Direct I/O of one file in parallel.
    pub const ASYNC_DIO: u64 = 1 << 15;
    /// The kernel keeps written pages, sizes and times, and writes them back later.
    pub const WRITEBACK_CACHE: u64 = 1 << 16;
    /// After one ENOSYS, files are opened without asking.
    pub const NO_OPEN_SUPPORT: u64 = 1 << 17;
    /// Lookups and listings of one directory in parallel.
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    /// The kernel reads the access lists of files and acts on them.
    pub const POSIX_ACL: u64 = 1 << 20;
    /// `max_pages` of the INIT answer counts.
    pub const MAX_PAGES: u64 = 1 << 22;
    /// Targets of symbolic links are cached.
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    /// After one ENOSYS, directories are opened without asking.
    pub const NO_OPENDIR_SUPPORT: u64 = 1 << 24;
    /// Cached data is dropped only when the server says so.
    pub const EXPLICIT_INVAL_DATA: u64 = 1 << 25;
    /// The server clears set-id bits and file capabilities when the kernel says so.
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    /// The upper half of the capabilities is valid.
    pub const INIT_EXT: u64 = 1 << 30;
}

/// Which fields of a SETATTR request count.
pub mod setattr {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    pub const CTIME: u32 = 1 << 10;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// Attributes of an open file are asked for.
pub const GETATTR_HANDLE: u32 = 1 << 0;
/// A read on behalf of a process, past the cache: only such a read names an owner of locks.
pub const READ_LOCK_OWNER: u32 = 1 << 1;
/// A write of pages that the kernel kept.
pub const WRITE_CACHE: u32 = 1 << 0;
/// A write by a caller that may not keep the set-id bits of the file.
pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;
/// Cached pages stay valid over an open.
pub const FOPEN_KEEP_CACHE: u32 = 1 << 1;
/// A message of the server's own accord: invalidate what is cached of an inode.
pub const NOTIFY_INVAL_INODE: u32 = 2;
