//! Keeping writers waiting while what they have written becomes an image.
//!
//! Code that writes through addresses of its own, as NumPy's does in threads without the interpreter's lock, knows
//! nothing of the locks here. So written pages are protected: a thread that writes to one is sent SIGSEGV, waits in
//! the handler until the pages may be written again, and writes then. No write is lost. A system call that is to write
//! there fails with EFAULT meanwhile.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::linux::error::Result;
use crate::linux::page::{PAGE, union};
use crate::linux::sys::{self, Fault, Mapping};
use crate::linux::window;

/// Runs that are protected one by one: each takes two mappings of the kernel's. More are protected as a whole.
const RUNS_MAX: usize = 64;
/// Segments of an image beyond which all of a region is protected, since all of it may be mapped anew.
const SEGMENTS_MAX: usize = 1024;
/// Faults in a row at one address that are not about a halt: it is somebody else who forbids writing there.
const RETRIES_MAX: u32 = 10_000;

/// 1 while writers wait.
static HALTED: AtomicU32 = AtomicU32::new(0);
/// One at a time.
static HALTING: Mutex<()> = Mutex::new(());

thread_local! {
    /// The last address that this thread could not write to while nobody was halted, and how often.
    static DENIED: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

/// Writers of some pages of a mapping wait until this is dropped.
pub(crate) struct Halt {
    addresses: Range<usize>,
    runs: Vec<Range<usize>>,
    _alone: MutexGuard<'static, ()>,
}

impl Halt {
    /// Begins with no pages.
    pub fn begin(mapping: &Mapping) -> Result<Self> {
        let alone = HALTING.lock().unwrap_or_else(|e| e.into_inner());
        sys::install_access_handler(on_denied)?;
        window::enter(mapping)?;
        HALTED.store(1, Ordering::SeqCst);
        Ok(Self { addresses: mapping.addresses(), runs: Vec::new(), _alone: alone })
    }

    /// The pages whose writers wait.
    pub fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// Keeps writers from more pages, or, where that takes too many mappings or much will be mapped anew, from all.
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

impl Drop for Halt {
    fn drop(&mut self) {
        let again = || sys::set_writable(self.addresses.clone(), true);
        if let Err(error) = again().or_else(|_| again()) {
            sys::give_up("let writers go on", &error);
        }
        HALTED.store(0, Ordering::SeqCst);
        sys::wake_all(&HALTED);
    }
}

/// Has a thread wait that was refused a write; `false` if that was not for a halt. Runs in a signal handler.
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
