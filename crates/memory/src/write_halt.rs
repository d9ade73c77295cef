//! Making writers wait while what they have written becomes an image.
//!
//! Code that writes by address, as NumPy's does in threads without the interpreter's lock, does not
//! take the locks of this crate. So written pages are protected: a thread that writes to one gets
//! SIGSEGV, waits in the handler until the pages may be written again, and repeats the write. No
//! write is lost. A system call that would write there fails with EFAULT meanwhile.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::error::Result;
use crate::page::{PAGE, union};
use crate::sys::{self, Fault, Mapping};
use crate::window;

/// Runs that are protected one by one. Each adds two mappings to the kernel's count. If there are
/// more, all pages are protected.
const RUNS_MAX: usize = 64;
/// If an image has more segments than this, all of a region is protected, since all of it may be
/// mapped anew.
const SEGMENTS_MAX: usize = 1024;
/// After this many faults in a row at one address, with no halt in progress, the page is taken to
/// be protected by other code.
const RETRIES_MAX: u32 = 10_000;

/// 1 while writers wait.
static HALTED: AtomicU32 = AtomicU32::new(0);
/// Held by the halt in progress: there is one at a time.
static HALTING: Mutex<()> = Mutex::new(());

thread_local! {
    /// The last address that this thread could not write to with no halt in progress, and how
    /// often.
    static DENIED: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

/// While this exists, threads that write to some pages of a mapping wait.
pub(crate) struct WriteHalt {
    addresses: Range<usize>,
    runs: Vec<Range<usize>>,
    _alone: MutexGuard<'static, ()>,
}

impl WriteHalt {
    /// Begins a halt of no pages.
    pub fn begin(mapping: &Mapping) -> Result<Self> {
        let alone = HALTING.lock().unwrap_or_else(|e| e.into_inner());
        sys::install_access_handler(on_denied)?;
        window::enter(mapping)?;
        HALTED.store(1, Ordering::SeqCst);
        Ok(Self { addresses: mapping.addresses(), runs: Vec::new(), _alone: alone })
    }

    /// The pages that are protected.
    pub fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// Protects more pages, or all of them if that would take too many mappings or if much will be
    /// mapped anew.
    pub fn extend(&mut self, more: Vec<Range<usize>>, segments: usize) -> Result<()> {
        let base = self.addresses.start;
        if segments > SEGMENTS_MAX || more.len() + self.runs.len() > RUNS_MAX {
            sys::set_writable(self.addresses.clone(), false)?;
            self.runs = std::iter::once(0..self.addresses.len() / PAGE).collect();
            return Ok(());
        }
        for run in &more {
            sys::set_writable(base + run.start * PAGE..base + run.end * PAGE, false)?;
        }
        self.runs = union(&self.runs, &more);
        Ok(())
    }
}

impl Drop for WriteHalt {
    fn drop(&mut self) {
        let again = || sys::set_writable(self.addresses.clone(), true);
        if let Err(error) = again().or_else(|_| again()) {
            sys::abort_process("let writers go on", &error);
        }
        HALTED.store(0, Ordering::SeqCst);
        sys::wake_all(&HALTED);
    }
}

/// Makes the thread wait whose write was refused. Returns `false` if that was not because of a
/// halt. Runs in a signal handler.
fn on_denied(fault: Fault) -> bool {
    if !window::knows(fault.address) {
        return false;
    }
    if HALTED.load(Ordering::SeqCst) == 1 {
        DENIED.set((0, 0));
        sys::sleep_while(&HALTED, 1);
        return true;
    }
    // The halt has ended, unless something else forbids the write.
    let (address, times) = DENIED.get();
    let times = if address == fault.address { times + 1 } else { 0 };
    DENIED.set((fault.address, times));
    std::thread::yield_now();
    times < RETRIES_MAX
}
