//! Images on their way: from files, and to other processes.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tine_memory::{Error, ForkMode, Image, PAGE};

fn sent(image: &Image) -> Vec<u8> {
    let (here, there) = UnixStream::pair().unwrap();
    image.send(&here).unwrap();
    Image::receive(&there).unwrap().fork().unwrap().to_vec()
}

#[test]
fn zeros_written_over_an_image_arrive_as_zeros() {
    let mut region = Image::from_bytes(&[1; 100 * PAGE]).unwrap().fork().unwrap();
    region[10 * PAGE..60 * PAGE].fill(0);
    let expected = region.to_vec();
    let sealed = region.seal().unwrap();
    assert!(sent(&sealed) == expected);
    assert!(sent(&sealed.flatten().unwrap()) == expected);
}

#[test]
fn the_image_of_a_region_that_grew_arrives_whole() {
    let mut region = Image::from_bytes(&[1; 100 * PAGE]).unwrap().fork().unwrap();
    region.grow(150 * PAGE + 5).unwrap();
    let expected = region.to_vec();
    assert!(sent(region.image()) == expected);
    region[120 * PAGE] = 3;
    let fork = region.fork_by(ForkMode::Layer).unwrap();
    assert!(sent(fork.image()) == fork[..]);
}

#[test]
fn a_few_bytes_in_a_sea_of_zeros_arrive() {
    let mut bytes = vec![0; 200 * PAGE];
    for at in [0, 50 * PAGE, 120 * PAGE + 7, 121 * PAGE, 199 * PAGE] {
        bytes[at] = 1;
        assert!(sent(&Image::from_bytes(&bytes).unwrap()) == bytes, "{at}");
    }
    assert!(sent(&Image::zeroed(9).unwrap()) == [0; 9]);
}

/// Sealed memory of `len` bytes, in whose first page a byte is written behind its end.
fn with_a_byte_behind_its_end(len: usize) -> OwnedFd {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string, the mapping is new and written within its page, and the seals
    // are numbers.
    unsafe {
        let fd = libc::memfd_create(c"test".as_ptr(), flags);
        assert_eq!(libc::ftruncate(fd, len as libc::off_t), 0);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let page = libc::mmap(std::ptr::null_mut(), PAGE, access, libc::MAP_SHARED, fd, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<u8>().add(len + 10).write(9);
        libc::munmap(page, PAGE);
        let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        assert_eq!(libc::fcntl(fd, libc::F_ADD_SEALS, seals), 0);
        OwnedFd::from_raw_fd(fd)
    }
}

#[test]
fn bytes_behind_the_end_of_an_image_never_become_those_of_a_region_that_grows() {
    match Image::from_fd(with_a_byte_behind_its_end(100)) {
        Err(refused) => assert!(matches!(refused, Error::Unsealed { .. }), "{refused}"),
        Ok(image) => {
            let mut region = image.fork().unwrap();
            region.grow(PAGE).unwrap();
            assert!(region[100..].iter().all(|byte| *byte == 0));
        }
    }

    // A sender that reports a shorter length than it sends.
    let (here, there) = UnixStream::pair().unwrap();
    send(&here, Image::from_bytes(&[7; PAGE]).unwrap().to_fd().unwrap(), 100);
    let refused = Image::receive(&there).unwrap_err();
    assert!(matches!(refused, Error::Length { bytes: 100, .. }), "{refused}");
}

/// Sends a descriptor and a length as [`Image::send`] does.
fn send(socket: &UnixStream, fd: OwnedFd, len: u64) {
    let mut note = len.to_le_bytes();
    let mut part = libc::iovec { iov_base: note.as_mut_ptr().cast(), iov_len: note.len() };
    let mut control = [0_u64; 8];
    // SAFETY: the message is plain data whose pointers outlive the call; the control buffer has
    // room.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        ((*header).cmsg_level, (*header).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd.as_raw_fd());
        assert_eq!(libc::sendmsg(socket.as_raw_fd(), &message, 0), 8);
    }
}
