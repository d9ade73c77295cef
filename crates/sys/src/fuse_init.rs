//! Answering a FUSE mount's first request, INIT, while `mount(2)` waits for the answer.
//!
//! By default the kernel only queues INIT during `mount(2)`; a failure then leaves a mount that
//! does not answer. Since Linux 6.18 a device can ask that `mount(2)` itself waits for the answer
//! and fails with it. The thread that mounts cannot answer then, so another one does.
//!
//! A read of such a device waits for the mount to begin. Where `mount(2)` fails before that,
//! nothing but a signal ends the read.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::ioctl::{NoArg, Opcode, ioctl, opcode};

use crate::signals;

/// Turns the message of INIT into the whole answer. An answer that carries an errno fails the
/// mount.
pub type AnswerInit<'a> = &'a mut (dyn FnMut(&[u8]) -> Vec<u8> + Send);

/// `FUSE_DEV_IOC_SYNC_INIT`, `_IO(229, 3)`.
const SYNC_INIT: Opcode = opcode::none(229, 3);

/// More than INIT has, and as much as the kernel demands of any buffer for requests.
const MESSAGE_BYTES_MAX: usize = 8192;

/// How long the thread that mounts waits for the answering one before it sends the next signal. One
/// that arrives before the read begins ends nothing.
const SIGNAL_EVERY: Duration = Duration::from_millis(1);

/// Asks that `mount(2)` waits for the answer to INIT. Returns `false` where the kernel cannot.
pub(crate) fn request_sync(device: &OwnedFd) -> bool {
    // SAFETY: this ioctl takes no argument and changes only how the device is mounted.
    unsafe { ioctl(device, NoArg::<SYNC_INIT>::new()) }.is_ok()
}

/// Calls `mount`, which mounts `device`, and answers INIT meanwhile.
pub(crate) fn answer_during(
    device: &OwnedFd,
    answer: AnswerInit<'_>,
    mount: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mount_failed = AtomicBool::new(false);
    let thread_id = AtomicI32::new(0);
    thread::scope(|scope| {
        let answering = thread::Builder::new().name("fuse-init".into()).spawn_scoped(scope, || {
            thread_id.store(signals::admit_interruption(), Ordering::Relaxed);
            answer_one(device, &mount_failed, answer);
        });
        let answering =
            answering.map_err(|why| Errno::from_io_error(&why).unwrap_or(Errno::AGAIN))?;
        let mounted = mount();
        if mounted.is_err() {
            mount_failed.store(true, Ordering::Relaxed);
            signals::interrupt_until(SIGNAL_EVERY, &thread_id, || answering.is_finished());
        }
        mounted
    })
}

/// Reads one message and answers it, unless the mount has failed before it came.
fn answer_one(device: &OwnedFd, mount_failed: &AtomicBool, answer: AnswerInit<'_>) {
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    let length = loop {
        if mount_failed.load(Ordering::Relaxed) {
            return;
        }
        match rustix::io::read(device, &mut message) {
            Ok(length) => break length,
            Err(Errno::INTR) => {}
            // The connection has ended, and with it the wait for the answer.
            Err(_) => return,
        }
    };
    let message = &message[..length];
    // Whatever fails here, `mount(2)` must not wait forever.
    let reply = catch_unwind(AssertUnwindSafe(|| answer(message)));
    let sent = reply.map(|reply| rustix::io::write(device, &reply));
    if !matches!(sent, Ok(Ok(_))) {
        let _ = rustix::io::write(device, &refusal(message));
    }
}

/// The answer `EIO` to a message: its length, the errno and the number of the request.
fn refusal(message: &[u8]) -> [u8; 16] {
    let mut reply = [0; 16];
    reply[..4].copy_from_slice(&16u32.to_ne_bytes());
    reply[4..8].copy_from_slice(&(-libc::EIO).to_ne_bytes());
    if let Some(unique) = message.get(8..16) {
        reply[8..].copy_from_slice(unique);
    }
    reply
}
