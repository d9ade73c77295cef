//! Ctrl-C as a flag that steps look at, so that what the demo made is taken away in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use tine_sys::signals::{Signal, Signals};

const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Whether the demo is to stop.
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    /// It came from the terminal, and so to everything that the demo runs.
    known_to_all: Arc<AtomicBool>,
    /// Keeps the signals blocked in this thread, and so in those that it starts.
    _blocked: Signals,
}

impl Interrupt {
    /// From here on the signals set the flag, and interrupt nothing by themselves.
    pub fn watch() -> Result<Self> {
        let blocked = Signals::block(&SIGNALS).context("block Ctrl-C")?;
        let asked = Arc::new(AtomicBool::new(false));
        let known_to_all = Arc::new(AtomicBool::new(false));
        let (flag, all) = (Arc::clone(&asked), Arc::clone(&known_to_all));
        std::thread::spawn(move || {
            let Ok(signals) = Signals::block(&SIGNALS) else { return };
            while let Ok(caught) = signals.wait() {
                all.fetch_or(caught.from_kernel, Ordering::Relaxed);
                flag.store(true, Ordering::Relaxed);
            }
        });
        Ok(Self { asked, known_to_all, _blocked: blocked })
    }

    /// Whether what the demo runs got the signal too. A second one would end it before it has
    /// undone anything.
    pub fn is_known_to_all(&self) -> bool {
        self.known_to_all.load(Ordering::Relaxed)
    }

    /// An error once a signal came.
    pub fn check(&self) -> Result<()> {
        if self.asked.load(Ordering::Relaxed) {
            bail!("interrupted; what the demo made is removed");
        }
        Ok(())
    }
}
