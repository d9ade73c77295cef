//! Sending open descriptors to another process over a Unix socket, and finding out which process is
//! at its other end.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors that one message may carry.
pub const DESCRIPTORS_MAX: usize = 8;

/// The process at the other end of a Unix socket, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process number, or 0 for a process of another process namespace.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// The process at the other end of `socket`.
///
/// # Errors
/// If `socket` is not a connected Unix socket.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    // rustix's call refuses a peer of another process namespace, which has no number here.
    // SAFETY: the kernel writes at most `bytes` to `found`, which is as large and may hold any
    // bits.
    let got = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &mut bytes,
        )
    };
    match got {
        0 => Ok(Peer { pid: found.pid, uid: found.uid, gid: found.gid }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes a descriptor, and returns the error of the file system, if any.
///
/// # Errors
/// Those of `close(2)`, among them errors of data that it writes back.
pub fn close(descriptor: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is owned and given up, so nothing else uses or closes it.
    match unsafe { libc::close(descriptor.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends `bytes` (at least one), and `descriptors` with the first byte. Returns how many bytes were
/// sent.
///
/// The remaining bytes, if any, are written like any others. The receiver must use [`receive`] for
/// the part that carries descriptors.
///
/// # Errors
/// `InvalidInput` for no bytes or more than [`DESCRIPTORS_MAX`] descriptors, otherwise those of the
/// socket.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if bytes.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "a message carries at least one byte and at most {DESCRIPTORS_MAX} descriptors, \
                 not {} and {}",
                bytes.len(),
                descriptors.len()
            ),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => continue,
            sent => return Ok(sent?),
        }
    }
}

/// What [`receive`] got.
#[derive(Debug)]
pub struct Received {
    /// How many bytes. 0 means the end of the stream.
    pub bytes: usize,
    /// The descriptors that came with them.
    pub descriptors: Vec<OwnedFd>,
    /// `true` if more descriptors were sent than this process may have open. Those are lost.
    pub truncated: bool,
}

/// Receives bytes into `buffer`, and the descriptors that came with them.
///
/// # Errors
/// Those of the socket.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            received => break received?,
        }
    };
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    let truncated = message.flags.contains(ReturnFlags::CTRUNC);
    Ok(Received { bytes: message.bytes, descriptors, truncated })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_open_and_usable() {
        let (left, right) = UnixStream::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let sent = send(&left, b"device", &[reader.as_fd()]).unwrap();
        drop(reader);
        let mut buffer = [0; 16];
        let Received { bytes, mut descriptors, truncated } = receive(&right, &mut buffer).unwrap();
        assert_eq!((sent, &buffer[..bytes]), (6, &b"device"[..]));
        assert_eq!((descriptors.len(), truncated), (1, false));
        writer.write_all(b"through the pipe").unwrap();
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(descriptors.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the pipe");
    }

    #[test]
    fn a_message_without_descriptors_is_plain_bytes() {
        let (left, right) = UnixStream::pair().unwrap();
        send(&left, b"x", &[]).unwrap();
        let mut buffer = [0; 4];
        let received = receive(&right, &mut buffer).unwrap();
        assert_eq!((received.bytes, received.descriptors.len()), (1, 0));
        drop(left);
        assert_eq!(receive(&right, &mut buffer).unwrap().bytes, 0);
    }

    #[test]
    fn too_many_descriptors_are_refused_before_anything_is_sent() {
        let (left, _right) = UnixStream::pair().unwrap();
        let many = vec![left.as_fd(); DESCRIPTORS_MAX + 1];
        assert_eq!(send(&left, b"x", &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send(&left, b"", &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_peer_of_a_socket_pair_is_this_process() {
        let (left, _right) = UnixStream::pair().unwrap();
        let peer = peer(&left).unwrap();
        assert_eq!(peer.pid as u32, std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    }
}
