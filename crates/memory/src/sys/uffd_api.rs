//! Opening `userfaultfd`, and the features that the kernel offers for it.
//!
//! It is opened for faults from user mode only, which needs no privilege.

use super::kernel::errno;

const API: u64 = 0xAA;
const USER_MODE_ONLY: libc::c_int = 1;

/// Feature bits of the kernel's interface.
pub(crate) mod bits {
    pub const MISSING_SHMEM: u64 = 1 << 5;
    pub const SIGBUS: u64 = 1 << 7;
    pub const MINOR_SHMEM: u64 = 1 << 10;
    pub const WP_SHMEM: u64 = 1 << 12;
    pub const WP_ASYNC: u64 = 1 << 15;
    pub const MOVE: u64 = 1 << 16;
}

const WANTED: u64 = bits::MISSING_SHMEM
    | bits::SIGBUS
    | bits::MINOR_SHMEM
    | bits::WP_SHMEM
    | bits::WP_ASYNC
    | bits::MOVE;

pub(super) const READ: libc::c_ulong = 2;
pub(super) const READ_WRITE: libc::c_ulong = 3;
const UFFDIO_API: libc::c_ulong = request::<ApiArgument>(READ_WRITE, 0x3F);

/// The number of a request whose argument is a `T`.
pub(super) const fn request<T>(direction: libc::c_ulong, number: libc::c_ulong) -> libc::c_ulong {
    direction << 30 | (size_of::<T>() as libc::c_ulong) << 16 | 0xAA << 8 | number
}

#[repr(C)]
struct ApiArgument {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// Opens a descriptor with every feature that is wanted. Fails with the error number.
pub(super) fn open() -> std::result::Result<i32, i32> {
    let fd = open_bare()?;
    let mut argument = ApiArgument { api: API, features: WANTED, ioctls: 0 };
    // SAFETY: the argument has the layout of the request.
    if unsafe { libc::ioctl(fd, UFFDIO_API as _, &mut argument) } == 0 {
        return Ok(fd);
    }
    let error = errno();
    // SAFETY: the descriptor was opened above and is known only here.
    unsafe { libc::close(fd) };
    Err(error)
}

/// The features that the kernel offers. Fails with the error number with which the call was
/// refused.
pub(crate) fn offered() -> std::result::Result<u64, i32> {
    let fd = open_bare()?;
    let mut argument = ApiArgument { api: API, features: 0, ioctls: 0 };
    // SAFETY: the argument has the layout of the request.
    let answer = unsafe { libc::ioctl(fd, UFFDIO_API as _, &mut argument) };
    let error = errno();
    // SAFETY: the descriptor was opened above and is known only here.
    unsafe { libc::close(fd) };
    if answer == 0 { Ok(argument.features) } else { Err(error) }
}

fn open_bare() -> std::result::Result<i32, i32> {
    // SAFETY: the call takes flags alone.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) };
    if fd < 0 { Err(errno()) } else { Ok(fd as i32) }
}
