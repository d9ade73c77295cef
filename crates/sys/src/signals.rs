//! Signals taken as events, one at a time, instead of as interruptions.
//!
//! A set of signals is blocked for the calling thread and the threads that it starts afterwards;
//! whoever wants them waits. No handler runs, so nothing has to be async-signal-safe.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

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

impl Signals {
    /// Blocks `signals`, so that they wait for [`Signals::wait`].
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
    /// What the kernel says; an interruption is not an error.
    pub fn wait(&self) -> io::Result<Caught> {
        loop {
            let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
            // SAFETY: both pointers are to live values of the right type; zeroes are a valid siginfo_t.
            let number = unsafe { libc::sigwaitinfo(&self.set, info.as_mut_ptr()) };
            if number < 0 {
                match io::Error::last_os_error() {
                    why if why.kind() == io::ErrorKind::Interrupted => continue,
                    why => return Err(why),
                }
            }
            // SAFETY: it was zeroed and then filled by the kernel.
            let info = unsafe { info.assume_init() };
            if let Some(signal) = Signal::from_named_raw(number) {
                return Ok(Caught { signal, from_kernel: info.si_code == libc::SI_KERNEL });
            }
        }
    }

    /// The mask that was in force before, as a child of this process should have it.
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

/// Async-signal-safe, so that a child may call it between fork and exec.
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
    fn a_blocked_signal_waits_until_it_is_taken() {
        let signals = Signals::block(&[Signal::USR1]).unwrap();
        // The signal goes to this thread, whichever thread the test harness runs.
        // SAFETY: pthread_self is always a live thread, and the signal is blocked on it.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
        let caught = signals.wait().unwrap();
        assert_eq!(caught, Caught { signal: Signal::USR1, from_kernel: false });
    }
}
