//! SIGBUS and SIGSEGV: the signals by which a thread learns that it touched a page that is not
//! there yet, or wrote to one that must not change at the moment.
//!
//! A signal that is not about pages of this crate goes to the handler that was installed before.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::error::{Error, Result};

/// A touch of memory that could not go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// What was touched.
    pub address: usize,
    /// `true` if it is known to have been a write. Some processors do not say.
    pub is_write: bool,
}

/// Resolves a fault. Returns `false` if the address is not one of this crate. Runs in a signal
/// handler.
type Resolve = fn(Fault) -> bool;

/// A signal of which this crate's handler is the first.
struct Taken {
    number: libc::c_int,
    /// The handler that was installed before.
    previous: AtomicPtr<libc::sigaction>,
    resolve: AtomicPtr<()>,
    installing: Mutex<()>,
}

impl Taken {
    const fn new(number: libc::c_int) -> Self {
        let (previous, resolve) =
            (AtomicPtr::new(ptr::null_mut()), AtomicPtr::new(ptr::null_mut()));
        Self { number, previous, resolve, installing: Mutex::new(()) }
    }
}

static MISSING: Taken = Taken::new(libc::SIGBUS);
static DENIED: Taken = Taken::new(libc::SIGSEGV);

/// Installs `resolve` as the first handler of SIGBUS. If another handler was installed since the
/// last call, this goes in front of it again.
pub(crate) fn install_fault_handler(resolve: Resolve) -> Result<()> {
    install(&MISSING, resolve)
}

/// Does the same for SIGSEGV.
pub(crate) fn install_access_handler(resolve: Resolve) -> Result<()> {
    install(&DENIED, resolve)
}

fn install(taken: &Taken, resolve: Resolve) -> Result<()> {
    let ours = on_signal as *const () as usize;
    if installed(taken)?.sa_sigaction == ours {
        return Ok(());
    }
    let _alone = taken.installing.lock().unwrap_or_else(|e| e.into_inner());
    let previous = installed(taken)?;
    if previous.sa_sigaction == ours {
        return Ok(());
    }
    taken.resolve.store(resolve as *mut (), Ordering::Release);
    // The one before is read by handlers at any time, so it is never freed.
    taken.previous.store(Box::into_raw(Box::new(previous)), Ordering::Release);
    // SAFETY: sigaction is plain data, for which zeros are a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = ours;
    // NODEFER: a handler further down the chain may itself fault on pages of this crate.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: the action names a handler of the right signature.
    if unsafe { libc::sigaction(taken.number, &action, ptr::null_mut()) } != 0 {
        return Err(Error::last("handle a signal of memory"));
    }
    Ok(())
}

/// Returns `true` if this thread blocks SIGBUS. The kernel would end the process at its first
/// fault.
pub(crate) fn fault_signal_is_blocked() -> bool {
    let mut blocked = MaybeUninit::uninit();
    // SAFETY: with a null set the call only reads the mask, which fills the whole set on success,
    // and is read only then.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), blocked.as_mut_ptr()) == 0
            && libc::sigismember(blocked.as_ptr(), libc::SIGBUS) == 1
    }
}

fn installed(taken: &Taken) -> Result<libc::sigaction> {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: with a null action the call only reads the present one, which fills the whole
    // structure.
    if unsafe { libc::sigaction(taken.number, ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(Error::last("read the handler of a signal of memory"));
    }
    // SAFETY: filled above.
    Ok(unsafe { action.assume_init() })
}

extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: errno is the thread's own; a handler must leave it as it was.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let taken = if signal == libc::SIGSEGV { &DENIED } else { &MISSING };
    // SAFETY: the kernel passes a valid siginfo, and both signals carry an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let resolve = taken.resolve.load(Ordering::Acquire);
    // SAFETY: stored from a `Resolve` before the handler was installed.
    let resolve = unsafe { std::mem::transmute::<*mut (), Resolve>(resolve) };
    // SAFETY: the kernel passes the context that was interrupted.
    let is_write = is_write(unsafe { &*context.cast::<libc::ucontext_t>() });
    #[cfg(not(test))]
    let resolved = resolve(Fault { address, is_write });
    #[cfg(test)]
    let resolved = super::fault_injection::suspend(|| resolve(Fault { address, is_write }));
    // SAFETY: as above.
    unsafe { *errno = before };
    if !resolved {
        pass_on(taken, info, context);
    }
}

/// Returns `true` if the processor says that the fault was a write.
#[cfg(target_arch = "x86_64")]
fn is_write(interrupted: &libc::ucontext_t) -> bool {
    /// The bit of a page fault's error code, which the kernel keeps among the registers.
    const WRITE: libc::greg_t = 1 << 1;
    interrupted.uc_mcontext.gregs[libc::REG_ERR as usize] & WRITE != 0
}

/// This processor does not say if a fault was a write.
#[cfg(not(target_arch = "x86_64"))]
fn is_write(_interrupted: &libc::ucontext_t) -> bool {
    false
}

/// Calls the handler from before, or restores the default action.
fn pass_on(taken: &Taken, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let signal = taken.number;
    let previous = taken.previous.load(Ordering::Acquire);
    // SAFETY: published whole before the handler was installed, and never freed.
    let previous = unsafe { &*previous };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: restoring the default; the fault repeats on return, and the process ends as
            // it would have. (A fault that is ignored ends the process too.)
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: the flag says that the handler has this signature.
            let handler = unsafe { std::mem::transmute::<usize, WithInfo>(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag the handler takes the signal's number alone.
            let handler =
                unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
            handler(signal);
        }
    }
}
