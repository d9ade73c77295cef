//! Messages of the server's own accord: what the kernel is to drop from its caches.

use tine_fs::Ino;

use crate::protocol::{self as wire, OUT_HEADER_BYTES};

/// Bytes of the message that invalidates something of an inode.
pub(crate) const NOTICE_BYTES: usize = OUT_HEADER_BYTES + 24;

/// The message that invalidates the attributes of an inode and its data in a range of bytes.
pub(crate) fn inval_inode(ino: Ino, offset: i64, bytes: i64) -> [u8; NOTICE_BYTES] {
    let mut message = [0; NOTICE_BYTES];
    message[..4].copy_from_slice(&(NOTICE_BYTES as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&wire::NOTIFY_INVAL_INODE.to_ne_bytes());
    message[16..24].copy_from_slice(&ino.get().to_ne_bytes());
    message[24..32].copy_from_slice(&offset.to_ne_bytes());
    message[32..].copy_from_slice(&bytes.to_ne_bytes());
    message
}

/// The message that invalidates the attributes of an inode alone.
pub(crate) fn inval_attr(ino: Ino) -> [u8; NOTICE_BYTES] {
    // A negative offset: cached data stays.
    inval_inode(ino, -1, 0)
}

/// A range of bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FileRange {
    pub ino: Ino,
    pub offset: u64,
    pub bytes: u64,
}

impl FileRange {
    /// The message that makes the kernel write back and drop its pages of the range.
    pub fn inval(&self) -> [u8; NOTICE_BYTES] {
        // The kernel's offsets are signed, and no file is longer than they say.
        inval_inode(self.ino, self.offset as i64, self.bytes as i64)
    }
}
