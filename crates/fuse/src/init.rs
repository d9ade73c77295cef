//! The first exchange on a mount: which of the kernel's capabilities are used, and how large things may be.

use crate::protocol::{self as wire, capability};
use crate::reply::Reply;

/// The most bytes that the kernel writes, reads or reads ahead in one request.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 1 << 20;

/// How many background requests (readahead, writeback) the kernel may have under way...
const BACKGROUND_MAX: u16 = 64;
/// ...and from how many on it slows down whoever causes more.
const CONGESTION_THRESHOLD: u16 = 48;

/// What is asked of the kernel, as far as it offers it.
///
/// The writeback cache makes buffered writes as fast as memory. It is of use only with
/// `HANDLE_KILLPRIV_V2`: otherwise the kernel asks for the capabilities of the file before every write.
/// The server is the only one that changes anything, so data stays cached until it says otherwise.
const WANTED: u64 = capability::ASYNC_READ
    | capability::EXPORT_SUPPORT
    | capability::BIG_WRITES
    | capability::DONT_MASK
    | capability::DO_READDIRPLUS
    | capability::READDIRPLUS_AUTO
    | capability::ASYNC_DIO
    | capability::WRITEBACK_CACHE
    | capability::NO_OPEN_SUPPORT
    | capability::PARALLEL_DIROPS
    | capability::POSIX_ACL
    | capability::MAX_PAGES
    | capability::CACHE_SYMLINKS
    | capability::NO_OPENDIR_SUPPORT
    | capability::EXPLICIT_INVAL_DATA
    | capability::HANDLE_KILLPRIV_V2
    | capability::INIT_EXT;

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Agreed {
    pub capabilities: u64,
}

/// Answers INIT. `None` means that the kernel must ask again in our major version.
///
/// # Errors
/// `EPROTO` for a kernel that is too old.
pub(crate) fn agree(
    (major, minor): (u32, u32),
    max_readahead: u32,
    offered: u64,
    reply: &mut Reply,
) -> Result<Option<Agreed>, i32> {
    if major < wire::MAJOR || (major == wire::MAJOR && minor < wire::MINOR_MIN) {
        return Err(libc::EPROTO);
    }
    let capabilities = offered & WANTED;
    reply.u32(wire::MAJOR);
    reply.u32(wire::MINOR.min(minor));
    if major > wire::MAJOR {
        return Ok(None);
    }
    reply.u32(max_readahead.max(TRANSFER_BYTES_MAX));
    reply.u32(capabilities as u32);
    reply.u16(BACKGROUND_MAX);
    reply.u16(CONGESTION_THRESHOLD);
    reply.u32(TRANSFER_BYTES_MAX);
    // Times have a grain of 1 ns.
    reply.u32(1);
    reply.u16((TRANSFER_BYTES_MAX / 4096) as u16);
    reply.u16(0);
    reply.u32((capabilities >> 32) as u32);
    reply.bytes(&[0; 28]);
    Ok(Some(Agreed { capabilities }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_offers_is_agreed() {
        let offered = capability::WRITEBACK_CACHE | 1 << 3 | capability::INIT_EXT;
        let mut reply = Reply::new();
        let agreed = agree((7, 45), 131_072, offered, &mut reply).unwrap().unwrap();
        assert_eq!(agreed.capabilities, capability::WRITEBACK_CACHE | capability::INIT_EXT);
        assert_eq!(reply.body_len(), 64);
    }

    #[test]
    fn a_kernel_too_old_is_refused() {
        assert_eq!(agree((7, 30), 0, 0, &mut Reply::new()), Err(libc::EPROTO));
    }

    #[test]
    fn a_newer_major_version_is_asked_to_come_down() {
        let mut reply = Reply::new();
        assert_eq!(agree((8, 0), 0, 0, &mut reply), Ok(None));
        assert_eq!(reply.body_len(), 8);
    }
}
