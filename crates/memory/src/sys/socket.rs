//! A descriptor sent over a Unix socket (`SCM_RIGHTS`), together with a few bytes.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Room for the header and one descriptor, aligned as the kernel requires.
#[repr(align(8))]
struct Control([u8; 64]);

/// Sends a descriptor and `note`.
pub(crate) fn send_descriptor(
    socket: &UnixStream,
    fd: BorrowedFd<'_>,
    note: &[u8; 8],
) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: note.as_ptr() as *mut _, iov_len: note.len() };
    let mut control = Control([0; 64]);
    // SAFETY: msghdr is plain data; the pointers set below outlive the call, and the control buffer
    // has room for one descriptor, which CMSG_SPACE confirms.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL)
    };
    match sent {
        8 => Ok(()),
        0.. => Err(io::Error::new(io::ErrorKind::WriteZero, "the note was sent in part")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Receives a descriptor and its note.
pub(crate) fn receive_descriptor(socket: &UnixStream) -> io::Result<(OwnedFd, [u8; 8])> {
    let mut note = [0_u8; 8];
    let mut part = libc::iovec { iov_base: note.as_mut_ptr().cast(), iov_len: note.len() };
    let mut control = Control([0; 64]);
    let mut descriptor = None;
    // SAFETY: as in `send_descriptor`. The walk over the control messages stays within what the
    // kernel wrote, and the descriptor in them is new and has no other owner.
    let received = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
        let received = libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC);
        if received < 0 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&message);
        if !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS
        {
            let fd = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
            descriptor = Some(OwnedFd::from_raw_fd(fd));
        }
        received
    };
    match descriptor {
        Some(fd) if received == 8 => Ok((fd, note)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message carries no descriptor; was it sent by `Image::send`?",
        )),
    }
}
