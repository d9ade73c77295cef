//! Ctrl-C as a flag that steps look at, so that what the demo made is taken away in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use tine_sys::signals::{Signal, Signals};

const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Whether somebody wants the demo to stop.
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    /// Keeps the signals blocked in this thread, and so in those that it starts.
    _blocked: Signals,
}

impl Interrupt {
    /// From here on the signals set the flag, and interrupt nothing by themselves.
    pub fn watch() -> Result<Self> {
        let blocked = Signals::block(&SIGNALS).context("block Ctrl-C")?;
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        std::thread::spawn(move || {
            let Ok(signals) = Signals::block(&SIGNALS) else { return };
            while signals.wait().is_ok() {
                flag.store(true, Ordering::Relaxed);
            }
        });
        Ok(Self { asked, _blocked: blocked })
    }

    /// An error once a signal came.
    pub fn check(&self) -> Result<()> {
        if self.asked.load(Ordering::Relaxed) {
            bail!("interrupted; what the demo made is removed");
        }
        Ok(())
    }
}
