//! An answer to the kernel, encoded into one buffer that is used again and again.

use tine_fs::{Attr, DirEntry, ROOT, Time};

use crate::protocol::{self as wire, OUT_HEADER_BYTES};

/// How long the kernel may trust names and attributes: for good, since only this mount changes
/// them. (2^31 seconds; the kernel caps it at what its clock can express.)
const TRUST_SECS: u64 = 1 << 31;

/// What `stat` calls the preferred size of I/O: a block of the store.
const PREFERRED_IO_BYTES: u32 = 4096;

/// Tells two inodes apart that had one number, one after the other: a branch that is reset uses the
/// numbers since its fork point once more. The kernel takes for granted that the root has 0.
fn generation(attr: &Attr) -> u32 {
    match attr.ino {
        ROOT => 0,
        _ => (attr.crtime.secs as u32).wrapping_mul(1_000_000_000).wrapping_add(attr.crtime.nanos),
    }
}

/// An answer that is being encoded: room for the header, then the body.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Longer than `used`, so that no room is cleared twice.
    buffer: Vec<u8>,
    used: usize,
}

impl Reply {
    pub fn new() -> Reply {
        Reply { buffer: vec![0; OUT_HEADER_BYTES], used: OUT_HEADER_BYTES }
    }

    /// Forgets the previous answer.
    pub fn start(&mut self) {
        self.used = OUT_HEADER_BYTES;
    }

    /// Completes the answer to the request `unique`; with an errno the body is left out.
    pub fn finish(&mut self, unique: u64, errno: i32) {
        if errno != 0 {
            self.truncate(0);
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

    /// Room of `size` bytes at the end of the body, with anything in it; [`Reply::truncate`] cuts
    /// it.
    pub fn room(&mut self, size: usize) -> &mut [u8] {
        let start = self.used;
        self.used += size;
        if self.buffer.len() < self.used {
            self.buffer.resize(self.used, 0);
        }
        &mut self.buffer[start..self.used]
    }

    /// Cuts the body after `size` bytes.
    pub fn truncate(&mut self, size: usize) {
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
        self.u64(attr.ino.get());
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
        let times = [attr.atime, attr.mtime, attr.ctime];
        self.u64(attr.ino.get());
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
        self.u64(attr.ino.get());
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

    /// Adds an entry of a directory. Returns `false` if it does not fit into a body of `size_max`
    /// bytes.
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
        self.u64(entry.ino.get());
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
