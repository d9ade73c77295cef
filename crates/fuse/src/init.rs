//! The first exchange on a mount: which of the kernel's capabilities are used, and how large
//! requests may be.

use crate::protocol::{self as wire, capability};
use crate::reply::Reply;
use crate::request::{Call, Request};
use crate::{Error, Result};

/// The most bytes that the kernel writes, reads or reads ahead in one request.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 1 << 20;

/// How many background requests (readahead, writeback) the kernel may have under way...
const BACKGROUND_MAX: u16 = 64;
/// ...and the number from which on it slows down the processes that cause more.
const CONGESTION_THRESHOLD: u16 = 48;

/// The capabilities that the server wants, as far as the kernel offers them.
///
/// The writeback cache makes buffered writes as fast as memory. It is of use only with
/// `HANDLE_KILLPRIV_V2`: otherwise the kernel asks for the capabilities of the file before every
/// write. The server is the only one that changes anything, so data stays cached until it says
/// otherwise.
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

/// What the server and the kernel agreed on by INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The minor version of the protocol that the kernel speaks.
    pub minor: u32,
    /// The capabilities that both use.
    pub capabilities: u64,
}

/// Answers the first message of a mount; `reply` is then to be sent, also with an error, so that
/// the kernel learns of it. `None` means that the kernel must ask again in our major version.
///
/// # Errors
/// When the message is not INIT, or of a kernel that is too old.
pub(crate) fn answer(message: &[u8], reply: &mut Reply) -> Result<Option<Negotiated>> {
    reply.start();
    let request = Request::decode(message).map_err(|truncated| {
        reply.finish(truncated.unique.unwrap_or(0), libc::EIO);
        Error::Protocol("its first message is cut short".to_owned())
    })?;
    let Call::Init { major, minor, max_readahead, capabilities } = request.call else {
        reply.finish(request.unique, libc::EPROTO);
        return Err(Error::Protocol("its first message is not INIT".to_owned()));
    };
    if major < wire::MAJOR || (major == wire::MAJOR && minor < wire::MINOR_MIN) {
        reply.finish(request.unique, libc::EPROTO);
        return Err(Error::Protocol(format!("it speaks version {major}.{minor}")));
    }
    let negotiated = agree((major, minor), max_readahead, capabilities, reply);
    reply.finish(request.unique, 0);
    Ok(negotiated)
}

/// Writes the body of the answer to a kernel that is new enough.
fn agree(
    (major, minor): (u32, u32),
    max_readahead: u32,
    offered: u64,
    reply: &mut Reply,
) -> Option<Negotiated> {
    let capabilities = offered & WANTED;
    reply.u32(wire::MAJOR);
    reply.u32(wire::MINOR.min(minor));
    if major > wire::MAJOR {
        return None;
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
    Some(Negotiated { minor, capabilities })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIQUE: u64 = 77;

    fn message(opcode: u32, (major, minor): (u32, u32), offered: u64) -> Vec<u8> {
        let arguments = [major, minor, 131_072, offered as u32, (offered >> 32) as u32];
        let length = wire::IN_HEADER_BYTES + 4 * arguments.len();
        let mut message = [length as u32, opcode].map(u32::to_ne_bytes).concat();
        message.extend(UNIQUE.to_ne_bytes());
        message.resize(wire::IN_HEADER_BYTES, 0);
        message.extend(arguments.map(u32::to_ne_bytes).concat());
        message
    }

    fn errno(reply: &Reply) -> i32 {
        assert_eq!(reply.message()[8..16], UNIQUE.to_ne_bytes());
        -i32::from_ne_bytes(reply.message()[4..8].try_into().unwrap())
    }

    #[test]
    fn only_what_the_kernel_offers_is_agreed() {
        let offered = capability::WRITEBACK_CACHE | 1 << 3 | capability::INIT_EXT;
        let mut reply = Reply::new();
        let init = message(wire::opcode::INIT, (7, 45), offered);
        let negotiated = answer(&init, &mut reply).unwrap().unwrap();
        assert_eq!(
            negotiated,
            Negotiated {
                minor: 45,
                capabilities: capability::WRITEBACK_CACHE | capability::INIT_EXT
            }
        );
        assert_eq!((errno(&reply), reply.body_len()), (0, 64));
    }

    #[test]
    fn a_kernel_too_old_is_refused() {
        let mut reply = Reply::new();
        let init = message(wire::opcode::INIT, (7, 30), 0);
        let error = answer(&init, &mut reply).unwrap_err();
        assert!(error.to_string().contains("7.30"), "{error}");
        assert_eq!((errno(&reply), reply.body_len()), (libc::EPROTO, 0));
    }

    #[test]
    fn anything_but_init_is_refused() {
        let mut reply = Reply::new();
        assert!(answer(&message(wire::opcode::STATFS, (7, 45), 0), &mut reply).is_err());
        assert_eq!(errno(&reply), libc::EPROTO);
    }

    #[test]
    fn a_newer_major_version_is_asked_to_come_down() {
        let mut reply = Reply::new();
        let init = message(wire::opcode::INIT, (8, 0), 0);
        assert_eq!(answer(&init, &mut reply).unwrap(), None);
        assert_eq!((errno(&reply), reply.body_len()), (0, 8));
    }
}
