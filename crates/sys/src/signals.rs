//! Signals taken as events, one at a time, instead of as interruptions.
//!
//! A set of signals is blocked for the calling thread and the threads that it starts afterwards. A
//! thread that wants them waits for them. No handler runs, so nothing has to be async-signal-safe.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
pub use rustix::process::Signal;

/// Signals that are blocked until this is dropped, on the thread that made it.
#[derive(Debug)]
pub struct Signals {
    set: libc::sigset_t,
    previous: libc::sigset_t,
    /// The mask belongs to one thread, so the value must not leave it.
    thread: PhantomData<*const ()>,
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Which one.
    pub signal: Signal,
    /// The kernel sent it, as it does for a key typed at the terminal: every process of the
    /// foreground group got it too.
    pub from_kernel: bool,
}

/// Makes a write beyond the limit on the size of files (`ulimit -f`) fail with only an error. The
/// signal that comes with it would end this process.
pub fn ignore_file_size_limit() {
    set_disposition(libc::SIGXFSZ, libc::SIG_IGN);
}

/// Undoes [`ignore_file_size_limit`], for a program that this process becomes.
pub fn heed_file_size_limit() {
    set_disposition(libc::SIGXFSZ, libc::SIG_DFL);
}

/// Lets [`interrupt_until`] interrupt the calling thread. Returns the thread's number for it.
pub(crate) fn admit_interruption() -> libc::pid_t {
    let mut set = empty_set();
    // SAFETY: `set` is an initialised signal set that this function owns.
    unsafe { libc::sigaddset(&mut set, INTERRUPTION) };
    // Cannot fail: the operation is a known one. The parent may have started this process with the
    // signal blocked.
    let _ = set_mask(libc::SIG_UNBLOCK, &set, &mut empty_set());
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Ends the system calls in which a thread of this process waits, one after another, until `done`.
/// `thread_id` is 0 until the thread has called [`admit_interruption`].
pub(crate) fn interrupt_until(pause: Duration, thread_id: &AtomicI32, done: impl Fn() -> bool) {
    extern "C" fn nothing(_: libc::c_int) {}
    let _one_at_a_time = INTERRUPTING.lock().unwrap_or_else(PoisonError::into_inner);
    // A handler without SA_RESTART: the system call ends with EINTR.
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroes are a valid sigaction, the handler runs no code, and the pointers are to live
    // values. The previous action is restored as the kernel returned it.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(INTERRUPTION, action.as_ptr(), previous.as_mut_ptr());
        while !done() {
            let thread_id = thread_id.load(Ordering::Relaxed);
            if thread_id != 0 {
                libc::syscall(libc::SYS_tgkill, libc::getpid(), thread_id, INTERRUPTION);
            }
            std::thread::sleep(pause);
        }
        libc::sigaction(INTERRUPTION, previous.as_ptr(), ptr::null_mut());
    }
}

/// A signal that is ignored by default, so that one that arrives late does nothing.
const INTERRUPTION: libc::c_int = libc::SIGURG;

/// The handler belongs to the process.
static INTERRUPTING: Mutex<()> = Mutex::new(());

fn set_disposition(signal: libc::c_int, disposition: libc::sighandler_t) {
    // SAFETY: the disposition is one of the two that run no code of this process, and it cannot
    // fail for a signal that exists and may be ignored.
    unsafe { libc::signal(signal, disposition) };
}

impl Signals {
    /// Blocks `signals`, so that [`Signals::wait`] takes them.
    ///
    /// # Errors
    /// Only for a signal that does not exist.
    pub fn block(signals: &[Signal]) -> io::Result<Signals> {
        let mut set = empty_set();
        for signal in signals {
            // SAFETY: `set` is an initialised signal set that this function owns.
            if unsafe { libc::sigaddset(&mut set, signal.as_raw()) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let mut previous = empty_set();
        set_mask(libc::SIG_BLOCK, &set, &mut previous)?;
        Ok(Signals { set, previous, thread: PhantomData })
    }

    /// Waits until one of the signals arrives, and takes it.
    ///
    /// # Errors
    /// Those of the kernel. An interruption is not an error.
    pub fn wait(&self) -> io::Result<Caught> {
        loop {
            if let Some(caught) = self.take(None)? {
                return Ok(caught);
            }
        }
    }

    /// Waits until one of the signals arrives, and takes it, or until `other` can be read: `None`.
    /// If both have happened, the signal comes first.
    ///
    /// # Errors
    /// Those of the kernel. An interruption is not an error.
    pub(crate) fn wait_or_readable(&self, other: BorrowedFd<'_>) -> io::Result<Option<Caught>> {
        let arrival = self.arrival()?;
        loop {
            if let Some(caught) = self.take(Some(Duration::ZERO))? {
                return Ok(Some(caught));
            }
            let mut either =
                [arrival.as_fd(), other].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            match poll(&mut either, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
            if either[0].revents().is_empty() && !either[1].revents().is_empty() {
                return Ok(None);
            }
        }
    }

    /// A descriptor that can be read while one of the signals waits.
    fn arrival(&self) -> io::Result<OwnedFd> {
        // SAFETY: -1 asks for a new descriptor. The set is initialised and only read.
        match unsafe { libc::signalfd(-1, &raw const self.set, libc::SFD_CLOEXEC) } {
            number if number < 0 => Err(io::Error::last_os_error()),
            // SAFETY: the kernel has just made the descriptor, and it has no other owner.
            number => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        }
    }

    /// Takes one of the signals. `None` if `limit` passed, or if something else woke the thread.
    fn take(&self, limit: Option<Duration>) -> io::Result<Option<Caught>> {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the pointers are to live values of the right types, or null, which means no
        // limit. Zeroes are a valid siginfo_t.
        let number = unsafe { libc::sigtimedwait(&raw const self.set, info.as_mut_ptr(), limit) };
        if number < 0 {
            return match io::Error::last_os_error() {
                why if why.kind() == io::ErrorKind::Interrupted => Ok(None),
                why if why.kind() == io::ErrorKind::WouldBlock => Ok(None),
                why => Err(why),
            };
        }
        // SAFETY: it was zeroed and then filled by the kernel.
        let info = unsafe { info.assume_init() };
        let from_kernel = info.si_code == libc::SI_KERNEL;
        Ok(Signal::from_named_raw(number).map(|signal| Caught { signal, from_kernel }))
    }

    #[cfg(test)]
    pub(crate) fn set(&self) -> &libc::sigset_t {
        &self.set
    }

    /// The mask from before, which a child of this process should have.
    pub(crate) fn mask_before(&self) -> libc::sigset_t {
        self.previous
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Restoring a mask that the kernel itself returned cannot fail.
        let _ = set_mask(libc::SIG_SETMASK, &self.previous, &mut empty_set());
    }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set and cannot fail on a valid pointer.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Sets the signal mask. It is async-signal-safe, so a child may call it between fork and exec.
pub(crate) fn set_mask(
    how: libc::c_int,
    set: &libc::sigset_t,
    previous: &mut libc::sigset_t,
) -> io::Result<()> {
    // SAFETY: both references are to initialised signal sets.
    match unsafe { libc::pthread_sigmask(how, ptr::from_ref(set), ptr::from_mut(previous)) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_interrupted_in_its_system_call() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let thread_id = AtomicI32::new(0);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                thread_id.store(admit_interruption(), Ordering::Relaxed);
                rustix::io::read(&reader, &mut [0; 1])
            });
            interrupt_until(Duration::from_millis(1), &thread_id, || waiting.is_finished());
            assert_eq!(waiting.join().unwrap(), Err(rustix::io::Errno::INTR));
        });
    }

    #[test]
    fn a_blocked_signal_waits_until_it_is_taken() {
        let signals = Signals::block(&[Signal::USR1]).unwrap();
        // The signal goes to this thread, whichever thread the test harness runs.
        // SAFETY: pthread_self is always a live thread, and the signal is blocked on it.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
        let caught = signals.wait().unwrap();
        assert_eq!(caught, Caught { signal: Signal::USR1, from_kernel: false });
    }
}
