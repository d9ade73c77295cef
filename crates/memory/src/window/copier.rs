//! The background copier: one thread for the process that copies the neighbours of touched pages.
//!
//! Requests come from signal handlers through a few mailboxes, each of which holds one. A request
//! that overwrites another loses a hint and nothing more. The thread exists once a window has been
//! opened, spins for a moment after each request, and sleeps otherwise.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::registry::{self, Found};
use super::state::Counters;
use crate::page::PAGE;
use crate::sys;

const MAILBOXES: usize = 8;
/// How long the thread looks for further requests before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// Address of the first page, and in the low bits, which are zero in it, the number of pages.
static MAIL: [AtomicU64; MAILBOXES] = [const { AtomicU64::new(0) }; MAILBOXES];
/// 1 while the thread sleeps.
static ASLEEP: AtomicU32 = AtomicU32::new(0);
static STARTED_BY: Mutex<u32> = Mutex::new(0);

/// Pages to be copied.
pub(super) struct Request {
    /// Where the window starts.
    pub window: usize,
    /// Which pages of it, fewer than 4,096.
    pub pages: Range<usize>,
}

/// Leaves a request. Safe in a signal handler.
pub(super) fn ask(request: Request) {
    let address = request.window + request.pages.start * PAGE;
    let mail = address as u64 | request.pages.len() as u64;
    // Pages near each other share a mailbox, so that threads in different places do not meet.
    MAIL[(address >> 21) % MAILBOXES].store(mail, Ordering::Release);
    if ASLEEP.load(Ordering::SeqCst) == 1 && ASLEEP.swap(0, Ordering::SeqCst) == 1 {
        sys::wake(&ASLEEP);
    }
}

/// Makes sure that the thread exists. Without it, pages are copied when they are touched.
pub(super) fn wake_up() {
    let mut started_by = STARTED_BY.lock().unwrap_or_else(|e| e.into_inner());
    let process = sys::process_number();
    if *started_by != process {
        let thread = std::thread::Builder::new().name("tine-copier".into());
        if thread.spawn(run).is_ok() {
            *started_by = process;
        }
    }
}

fn run() {
    let mut last = Instant::now();
    loop {
        let mut found = false;
        for mailbox in &MAIL {
            let mail = mailbox.swap(0, Ordering::AcqRel);
            if mail != 0 {
                found = true;
                copy(mail as usize);
                // A thread that waits for this processor may be the one that needs the pages.
                std::thread::yield_now();
            }
        }
        if found {
            last = Instant::now();
        } else if last.elapsed() < SPIN {
            std::hint::spin_loop();
        } else {
            ASLEEP.store(1, Ordering::SeqCst);
            if MAIL.iter().all(|mailbox| mailbox.load(Ordering::SeqCst) == 0) {
                sys::sleep_while(&ASLEEP, 1);
            }
            ASLEEP.store(0, Ordering::SeqCst);
            last = Instant::now();
        }
    }
}

fn copy(mail: usize) {
    let (address, count) = (mail / PAGE * PAGE, mail % PAGE);
    registry::with(address, |found| {
        let Found::Open(window) = found else { return };
        let first = (address - window.addresses.start) / PAGE;
        // A page that cannot be copied now is copied, or reported, when it is touched.
        if let Ok(copied) = window.copy_missing(first..first + count) {
            Counters::add(&window.counters.copied_ahead, copied);
        }
    });
}
