//! Ctrl-C during long work: the first asks for an orderly end, the second ends the command.

use std::io;
use std::thread;

use tine_sys::signals::{Signal, Signals};

const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Holds back the signals that would end this process, from here to its end.
pub fn block_signals() -> io::Result<()> {
    // Dropping it would let them through again.
    std::mem::forget(Signals::block(&ENDING)?);
    Ok(())
}

/// Calls `first` at the first of these signals, and ends the process at the second.
pub fn watch(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let wait = move || {
        let Ok(signals) = Signals::block(&ENDING) else { return };
        if signals.wait().is_ok() {
            first();
        }
        if signals.wait().is_ok() {
            std::process::exit(1);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}
