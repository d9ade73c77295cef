//! An answer to the kernel, encoded into one buffer that is used again and again.

use tine_fs::{Attr, DirEntry, Ino, Kind, ROOT, Time};

use crate::protocol::{self as wire, OUT_HEADER_BYTES};
use crate::refused::Refused;

/// How long the kernel may trust names and attributes: for good, since nobody else changes them.
/// (2^31 seconds; the kernel caps it at what its clock can express.)
const TRUST_SECS: u64 = 1 << 31;

/// Bytes of the message that makes the kernel forget something of an inode.
pub(crate) const NOTICE_BYTES: usize = OUT_HEADER_BYTES + 24;

/// What `stat` calls the preferred size of I/O: a block of the store.
const PREFERRED_IO_BYTES: u32 = 4096;

/// The message that makes the kernel forget the attributes of an inode, and its data in a range of bytes.
pub(crate) fn notice(ino: Ino, offset: i64, bytes: i64) -> [u8; NOTICE_BYTES] {
    let mut message = [0; NOTICE_BYTES];
    message[..4].copy_from_slice(&(NOTICE_BYTES as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&wire::NOTIFY_INVAL_INODE.to_ne_bytes());
    message[16..24].copy_from_slice(&ino.to_ne_bytes());
    message[24..32].copy_from_slice(&offset.to_ne_bytes());
    message[32..].copy_from_slice(&bytes.to_ne_bytes());
    message
}

/// The message that makes the kernel forget the attributes of an inode alone.
pub(crate) fn forget_attributes(ino: Ino) -> [u8; NOTICE_BYTES] {
    // A negative offset: cached data stays.
    notice(ino, -1, 0)
}

/// What tells two inodes apart that have one number, one after the other: a branch that is reset uses the numbers
/// since its fork point once more. Of the root the kernel takes for granted that it is 0.
fn generation(attr: &Attr) -> u32 {
    match attr.ino {
        ROOT => 0,
        _ => (attr.crtime.secs as u32).wrapping_mul(1_000_000_000).wrapping_add(attr.crtime.nanos),
    }
}

/// An answer in the making: room for the header, then the body.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Longer than what is used, so that no room is cleared twice.
    buffer: Vec<u8>,
    used: usize,
    stale: Option<Ino>,
    refused: Option<Refused>,
    /// Whether to note what is shown,
    watched: bool,
    /// and what was.
    shown: Vec<Ino>,
    overwritten: Option<Refused>,
}

impl Reply {
    pub fn new() -> Reply {
        Reply {
            buffer: vec![0; OUT_HEADER_BYTES],
            used: OUT_HEADER_BYTES,
            stale: None,
            refused: None,
            watched: false,
            shown: Vec::new(),
            overwritten: None,
        }
    }

    /// Forgets the previous answer.
    pub fn start(&mut self) {
        self.used = OUT_HEADER_BYTES;
        self.stale = None;
        self.refused = None;
        self.watched = false;
        self.shown.clear();
        self.overwritten = None;
    }

    /// From here on, notes whose attributes the kernel is shown.
    pub fn watch(&mut self) {
        self.watched = true;
    }

    /// The files whose attributes the kernel is shown, if that was to be noted.
    pub fn shown(&self) -> &[Ino] {
        &self.shown
    }

    fn note_shown(&mut self, attr: &Attr) {
        if self.watched && attr.kind == Kind::File {
            self.shown.push(attr.ino);
        }
    }

    /// Notes that the kernel must forget the attributes of `ino` before it gets the answer.
    pub fn outdate(&mut self, ino: Ino) {
        self.stale = Some(ino);
    }

    /// The message that makes the kernel forget attributes, if any must be; goes before the answer.
    pub fn notice(&self) -> Option<[u8; NOTICE_BYTES]> {
        Some(forget_attributes(self.stale?))
    }

    /// Notes that data from the kernel's cache was not taken.
    pub fn refuse(&mut self, refused: Refused) {
        self.refused = Some(refused);
    }

    /// Notes that the kernel must drop what it has of some bytes before it gets the answer.
    pub fn overwrite(&mut self, overwritten: Refused) {
        self.overwritten = Some(overwritten);
    }

    /// The bytes that must be dropped before the answer, if any.
    pub fn overwritten(&self) -> Option<Refused> {
        self.overwritten
    }

    /// The data that was not taken, if it came from the kernel's cache.
    pub fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Completes the answer to the request named `unique`; with an errno the body is left out.
    pub fn finish(&mut self, unique: u64, errno: i32) {
        if errno != 0 {
            self.keep(0);
        }
        let message = &mut self.buffer[..self.used];
        message[..4].copy_from_slice(&(self.used as u32).to_ne_bytes());
        message[4..8].copy_from_slice(&(-errno).to_ne_bytes());
        message[8..16].copy_from_slice(&unique.to_ne_bytes());
    }

    /// The whole answer, when it is finished.
    pub fn message(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Bytes of the body so far.
    pub fn body_len(&self) -> usize {
        self.used - OUT_HEADER_BYTES
    }

    /// Room of `size` bytes at the end of the body, with anything in it; [`Reply::keep`] cuts it.
    pub fn room(&mut self, size: usize) -> &mut [u8] {
        let start = self.used;
        self.used += size;
        if self.buffer.len() < self.used {
            self.buffer.resize(self.used, 0);
        }
        &mut self.buffer[start..self.used]
    }

    /// Cuts the body after `size` bytes.
    pub fn keep(&mut self, size: usize) {
        self.used = self.used.min(OUT_HEADER_BYTES + size);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    fn zeros(&mut self, count: usize) {
        self.room(count).fill(0);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_ne_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_ne_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_ne_bytes());
    }

    /// A name that leads to an inode.
    pub fn entry(&mut self, attr: &Attr) {
        self.u64(attr.ino);
        self.u64(generation(attr).into());
        self.u64(TRUST_SECS);
        self.u64(TRUST_SECS);
        self.zeros(8);
        self.attr(attr);
    }

    /// A name that leads nowhere, which the kernel may remember as well.
    pub fn no_entry(&mut self) {
        self.u64(0);
        self.u64(0);
        self.u64(TRUST_SECS);
        self.zeros(128 - 24);
    }

    /// Attributes as the answer to GETATTR and SETATTR.
    pub fn attributes(&mut self, attr: &Attr) {
        self.u64(TRUST_SECS);
        self.zeros(8);
        self.attr(attr);
    }

    fn attr(&mut self, attr: &Attr) {
        self.note_shown(attr);
        let times = [attr.atime, attr.mtime, attr.ctime];
        self.u64(attr.ino);
        self.u64(attr.size);
        self.u64(attr.blocks_512);
        for time in times {
            self.u64(time.secs as u64);
        }
        for time in times {
            self.u32(time.nanos);
        }
        self.u32(attr.kind.mode() | attr.mode);
        self.u32(attr.nlink);
        self.u32(attr.uid);
        self.u32(attr.gid);
        self.u32(attr.rdev);
        self.u32(PREFERRED_IO_BYTES);
        self.u32(0);
    }

    /// Attributes with the time of creation, as the answer to STATX.
    pub fn extended_attributes(&mut self, attr: &Attr) {
        const BASIC_AND_BIRTH: u32 = 0x0fff;
        self.note_shown(attr);
        self.u64(TRUST_SECS);
        self.zeros(8 + 16);
        self.u32(BASIC_AND_BIRTH);
        self.u32(PREFERRED_IO_BYTES);
        self.u64(0);
        self.u32(attr.nlink);
        self.u32(attr.uid);
        self.u32(attr.gid);
        self.u16((attr.kind.mode() | attr.mode) as u16);
        self.u16(0);
        self.u64(attr.ino);
        self.u64(attr.size);
        self.u64(attr.blocks_512);
        self.u64(0);
        for Time { secs, nanos } in [attr.atime, attr.crtime, attr.ctime, attr.mtime] {
            self.u64(secs as u64);
            self.u32(nanos);
            self.u32(0);
        }
        // The kernel's encoding of a device: minor in bits 0-7 and 20-31, major in bits 8-19.
        self.u32((attr.rdev >> 8) & 0xfff);
        self.u32((attr.rdev & 0xff) | ((attr.rdev >> 12) & 0xfff00));
        self.zeros(8 + 14 * 8);
    }

    /// One entry of a directory, when it fits into a body of `size_max` bytes.
    pub fn directory_entry(&mut self, listed: &Listed<'_>, size_max: usize) -> bool {
        let entry = &listed.entry;
        let prefix = if listed.plus { 128 } else { 0 };
        let length = (prefix + 24 + entry.name.len()).next_multiple_of(8);
        if self.body_len() + length > size_max {
            return false;
        }
        let end = self.used + length;
        match (listed.plus, listed.attr) {
            (true, Some(attr)) => self.entry(attr),
            (true, None) => self.zeros(prefix),
            (false, _) => {}
        }
        self.u64(entry.ino);
        self.u64(entry.position);
        self.u32(entry.name.len() as u32);
        self.u32(entry.kind.mode() >> 12);
        self.bytes(entry.name);
        self.zeros(end - self.used);
        true
    }

    /// The answer to OPEN and the second half of the one to TMPFILE: no handle, cached pages stay.
    pub fn opened(&mut self) {
        self.u64(0);
        self.u32(wire::FOPEN_KEEP_CACHE);
        self.u32(0);
    }
}

/// An entry of a directory as it is listed.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    pub entry: DirEntry<'a>,
    /// In the form of READDIRPLUS...
    pub plus: bool,
    /// ...with these attributes, which count as a lookup.
    pub attr: Option<&'a Attr>,
}
