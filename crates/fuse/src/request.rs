//! A request of the kernel, decoded from the bytes of one read of the device.
//!
//! The kernel is trusted to mean what it says, not to be bug-free: a message that is too short for
//! what it claims to be is an error, never a panic.

use tine_fs::{Ino, SetAttr, SetTime, Time};

use crate::fields::{Fields, Short};
use crate::protocol::{self as wire, opcode};

/// One request.
#[derive(Debug, PartialEq)]
pub(crate) struct Request<'a> {
    /// Identifies the request; its answer repeats it.
    pub unique: u64,
    /// The inode that it is about.
    pub node: Ino,
    /// The user and the group of the calling process.
    pub uid: u32,
    pub gid: u32,
    pub call: Call<'a>,
}

/// What a request asks for, with its arguments.
#[derive(Debug, PartialEq)]
pub(crate) enum Call<'a> {
    Init {
        major: u32,
        minor: u32,
        max_readahead: u32,
        capabilities: u64,
    },
    Lookup {
        name: &'a [u8],
    },
    Forget {
        lookups: u64,
    },
    BatchForget(Forgets<'a>),
    GetAttr {
        /// The attributes of an open file are asked for.
        by_handle: bool,
    },
    Statx,
    SetAttr(SetAttr),
    ReadLink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    MkNod {
        name: &'a [u8],
        mode: u32,
        umask: u32,
        rdev: u32,
    },
    MkDir {
        name: &'a [u8],
        mode: u32,
        umask: u32,
    },
    TmpFile {
        mode: u32,
        umask: u32,
    },
    Unlink {
        name: &'a [u8],
    },
    RmDir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        new_parent: Ino,
        new_name: &'a [u8],
        flags: u32,
    },
    Link {
        node: Ino,
        new_name: &'a [u8],
    },
    Open,
    OpenDir,
    Release,
    Read {
        offset: u64,
        size: u32,
        /// The data is for the kernel's cache.
        cached: bool,
    },
    Write(Write<'a>),
    FSync,
    SyncFs,
    StatFs,
    SetXattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
    },
    GetXattr {
        name: &'a [u8],
        size: u32,
    },
    ListXattr {
        size: u32,
    },
    RemoveXattr {
        name: &'a [u8],
    },
    ReadDir {
        position: u64,
        size: u32,
        plus: bool,
    },
    FAllocate {
        offset: u64,
        length: u64,
        mode: u32,
    },
    Seek {
        offset: u64,
        whence: u32,
    },
    CopyRange(CopyRange),
    Destroy,
    /// An operation that this server does not know, by its number.
    Other(u32),
}

/// The arguments of WRITE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Write<'a> {
    pub offset: u64,
    /// The data comes from the kernel's cache, after the write of the program returned.
    pub cached: bool,
    /// The caller may not keep the set-id bits of the file.
    pub kill_set_id: bool,
    pub data: &'a [u8],
}

/// The arguments of COPY_FILE_RANGE, besides the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CopyRange {
    pub offset: u64,
    pub to_node: Ino,
    pub to_offset: u64,
    pub length: u64,
    /// The answer has 64 bits for the count.
    pub wide: bool,
}

/// The inodes of a BATCH_FORGET, each with the number of lookups that the kernel gives back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Forgets<'a>(&'a [u8]);

impl Iterator for Forgets<'_> {
    type Item = (Ino, u64);

    fn next(&mut self) -> Option<(Ino, u64)> {
        let mut fields = Fields::of(self.0);
        let pair = (fields.ino().ok()?, fields.u64().ok()?);
        self.0 = fields.rest();
        Some(pair)
    }
}

/// The message is shorter than its kind demands, or not as long as its header says; `unique` is
/// known if that much is there.
#[derive(Debug, PartialEq)]
pub(crate) struct Truncated {
    pub unique: Option<u64>,
}

impl<'a> Request<'a> {
    pub fn decode(message: &'a [u8]) -> Result<Request<'a>, Truncated> {
        let mut fields = Fields::of(message);
        let mut header = || -> Result<_, Short> {
            let length = fields.u32()?;
            let opcode = fields.u32()?;
            let unique = fields.u64()?;
            let node = fields.ino()?;
            let (uid, gid) = (fields.u32()?, fields.u32()?);
            // The process, and the length of extensions; none are negotiated.
            fields.u64()?;
            Ok((length, opcode, unique, node, uid, gid))
        };
        let (length, opcode, unique, node, uid, gid) =
            header().map_err(|Short| Truncated { unique: None })?;
        if length as usize != message.len() {
            return Err(Truncated { unique: Some(unique) });
        }
        let call =
            decode_call(opcode, fields).map_err(|Short| Truncated { unique: Some(unique) })?;
        Ok(Request { unique, node, uid, gid, call })
    }
}

fn decode_call<'a>(code: u32, mut from: Fields<'a>) -> Result<Call<'a>, Short> {
    let from = &mut from;
    Ok(match code {
        opcode::INIT => decode_init(from)?,
        opcode::LOOKUP => Call::Lookup { name: from.name()? },
        opcode::FORGET => Call::Forget { lookups: from.u64()? },
        opcode::BATCH_FORGET => {
            let count = from.u32()? as usize;
            from.u32()?;
            Call::BatchForget(Forgets(from.bytes(count.saturating_mul(16))?))
        }
        opcode::GETATTR => {
            let flags = from.u32()?;
            from.bytes(12)?;
            Call::GetAttr { by_handle: flags & wire::GETATTR_HANDLE != 0 }
        }
        opcode::STATX => Call::Statx,
        opcode::SETATTR => Call::SetAttr(decode_setattr(from)?),
        opcode::READLINK => Call::ReadLink,
        opcode::SYMLINK => Call::Symlink { name: from.name()?, target: from.name()? },
        opcode::MKNOD => {
            let (mode, rdev, umask) = (from.u32()?, from.u32()?, from.u32()?);
            from.u32()?;
            Call::MkNod { mode, umask, rdev, name: from.name()? }
        }
        opcode::MKDIR => {
            let (mode, umask) = (from.u32()?, from.u32()?);
            Call::MkDir { mode, umask, name: from.name()? }
        }
        opcode::TMPFILE => {
            from.u32()?;
            Call::TmpFile { mode: from.u32()?, umask: from.u32()? }
        }
        opcode::UNLINK => Call::Unlink { name: from.name()? },
        opcode::RMDIR => Call::RmDir { name: from.name()? },
        opcode::RENAME | opcode::RENAME2 => {
            let new_parent = from.ino()?;
            let mut flags = 0;
            if code == opcode::RENAME2 {
                flags = from.u32()?;
                from.u32()?;
            }
            Call::Rename { new_parent, flags, name: from.name()?, new_name: from.name()? }
        }
        opcode::LINK => Call::Link { node: from.ino()?, new_name: from.name()? },
        opcode::OPEN => Call::Open,
        opcode::OPENDIR => Call::OpenDir,
        opcode::RELEASE | opcode::RELEASEDIR => Call::Release,
        opcode::READ => {
            from.u64()?;
            let (offset, size, flags) = (from.u64()?, from.u32()?, from.u32()?);
            Call::Read { offset, size, cached: flags & wire::READ_LOCK_OWNER == 0 }
        }
        opcode::WRITE => decode_write(from)?,
        opcode::FSYNC | opcode::FSYNCDIR => Call::FSync,
        opcode::SYNCFS => Call::SyncFs,
        opcode::STATFS => Call::StatFs,
        opcode::SETXATTR => {
            let (size, flags) = (from.u32()?, from.u32()?);
            Call::SetXattr { flags, name: from.name()?, value: from.bytes(size as usize)? }
        }
        opcode::GETXATTR => {
            let size = from.u32()?;
            from.u32()?;
            Call::GetXattr { size, name: from.name()? }
        }
        opcode::LISTXATTR => Call::ListXattr { size: from.u32()? },
        opcode::REMOVEXATTR => Call::RemoveXattr { name: from.name()? },
        opcode::READDIR | opcode::READDIRPLUS => {
            from.u64()?;
            let plus = code == opcode::READDIRPLUS;
            Call::ReadDir { position: from.u64()?, size: from.u32()?, plus }
        }
        opcode::FALLOCATE => {
            from.u64()?;
            Call::FAllocate { offset: from.u64()?, length: from.u64()?, mode: from.u32()? }
        }
        opcode::LSEEK => {
            from.u64()?;
            Call::Seek { offset: from.u64()?, whence: from.u32()? }
        }
        opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64 => {
            from.u64()?;
            let (offset, to_node) = (from.u64()?, from.ino()?);
            from.u64()?;
            let (to_offset, length) = (from.u64()?, from.u64()?);
            let wide = code == opcode::COPY_FILE_RANGE_64;
            Call::CopyRange(CopyRange { offset, to_node, to_offset, length, wide })
        }
        opcode::DESTROY => Call::Destroy,
        other => Call::Other(other),
    })
}

fn decode_init<'a>(from: &mut Fields<'_>) -> Result<Call<'a>, Short> {
    let (major, minor) = (from.u32()?, from.u32()?);
    let (max_readahead, lower) = (from.u32()?, from.u32()?);
    let mut capabilities = u64::from(lower);
    if capabilities & wire::capability::INIT_EXT != 0 {
        capabilities |= u64::from(from.u32()?) << 32;
    }
    Ok(Call::Init { major, minor, max_readahead, capabilities })
}

fn decode_setattr(from: &mut Fields<'_>) -> Result<SetAttr, Short> {
    use wire::setattr as flag;
    let valid = from.u32()?;
    from.u32()?;
    from.u64()?;
    let size = from.u64()?;
    from.u64()?;
    let seconds = [from.u64()?, from.u64()?, from.u64()?];
    let nanos = [from.u32()?, from.u32()?, from.u32()?];
    let mode = from.u32()?;
    from.u32()?;
    let (uid, gid) = (from.u32()?, from.u32()?);
    let time = |which: usize| Time { secs: seconds[which] as i64, nanos: nanos[which] };
    let set_time = |which: usize, set: u32, now: u32| {
        if valid & now != 0 {
            Some(SetTime::Now)
        } else {
            (valid & set != 0).then(|| SetTime::At(time(which)))
        }
    };
    Ok(SetAttr {
        mode: (valid & flag::MODE != 0).then_some(mode),
        uid: (valid & flag::UID != 0).then_some(uid),
        gid: (valid & flag::GID != 0).then_some(gid),
        size: (valid & flag::SIZE != 0).then_some(size),
        atime: set_time(0, flag::ATIME, flag::ATIME_NOW),
        mtime: set_time(1, flag::MTIME, flag::MTIME_NOW),
        ctime: (valid & flag::CTIME != 0).then(|| time(2)),
        kill_set_id: valid & flag::KILL_SUIDGID != 0,
    })
}

fn decode_write<'a>(from: &mut Fields<'a>) -> Result<Call<'a>, Short> {
    from.u64()?;
    let (offset, size, flags) = (from.u64()?, from.u32()?, from.u32()?);
    from.bytes(wire::WRITE_IN_BYTES - 24)?;
    Ok(Call::Write(Write {
        offset,
        cached: flags & wire::WRITE_CACHE != 0,
        kill_set_id: flags & wire::WRITE_KILL_SUIDGID != 0,
        data: from.bytes(size as usize)?,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(opcode: u32, arguments: &[&[u8]]) -> Vec<u8> {
        let arguments = arguments.concat();
        let mut message = Vec::new();
        message.extend(((wire::IN_HEADER_BYTES + arguments.len()) as u32).to_ne_bytes());
        message.extend(opcode.to_ne_bytes());
        message.extend(77u64.to_ne_bytes());
        message.extend(5u64.to_ne_bytes());
        for field in [1000u32, 100, 4242, 0] {
            message.extend(field.to_ne_bytes());
        }
        message.extend(arguments);
        message
    }

    #[test]
    fn a_rename_carries_both_names_and_its_flags() {
        let message = message(
            opcode::RENAME2,
            &[&9u64.to_ne_bytes(), &1u32.to_ne_bytes(), &[0; 4], b"old\0new\0"],
        );
        let request = Request::decode(&message).unwrap();
        assert_eq!((request.unique, request.node, request.uid), (77, Ino::new(5), 1000));
        assert_eq!(
            request.call,
            Call::Rename { name: b"old", new_parent: Ino::new(9), new_name: b"new", flags: 1 }
        );
    }

    #[test]
    fn times_before_1970_keep_their_sign() {
        let mut arguments = [0u8; 88];
        arguments[..4].copy_from_slice(&wire::setattr::MTIME.to_ne_bytes());
        arguments[40..48].copy_from_slice(&(-2i64).to_ne_bytes());
        arguments[60..64].copy_from_slice(&500u32.to_ne_bytes());
        let message = message(opcode::SETATTR, &[&arguments]);
        let Call::SetAttr(set) = Request::decode(&message).unwrap().call else {
            panic!("not a setattr");
        };
        let mtime = Some(SetTime::At(Time { secs: -2, nanos: 500 }));
        assert_eq!(set, SetAttr { mtime, ..SetAttr::default() });
    }

    #[test]
    fn a_batch_of_forgets_lists_its_inodes() {
        let pairs: Vec<u8> = [3u64, 1, 4, 2].iter().flat_map(|n| n.to_ne_bytes()).collect();
        let message = message(opcode::BATCH_FORGET, &[&2u32.to_ne_bytes(), &[0; 4], &pairs]);
        let Call::BatchForget(forgets) = Request::decode(&message).unwrap().call else {
            panic!("not a batch");
        };
        assert_eq!(forgets.collect::<Vec<_>>(), [(Ino::new(3), 1), (Ino::new(4), 2)]);
    }

    proptest! {
        #[test]
        fn no_message_makes_the_decoder_panic(code in 0u32..60, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = message(code, &[&bytes]);
            let _ = Request::decode(&whole);
            let _ = Request::decode(&bytes);
            for end in 0..whole.len() {
                prop_assert!(Request::decode(&whole[..end]).is_err());
            }
        }
    }
}
