//! The bar of a long request, on a terminal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tine_service::{Progress, ProgressUpdate};

/// How often a bar that follows work in this process is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// A bar that appears with the first news.
pub struct Bar {
    bar: ProgressBar,
    verifying: bool,
}

impl Bar {
    /// A bar, or one that is never drawn.
    pub fn new(drawn: bool) -> Bar {
        let bar = if drawn { ProgressBar::new(0) } else { ProgressBar::hidden() };
        // The bar takes what a narrow terminal leaves; a line that wraps is drawn again and again.
        let look =
            "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(look) {
            bar.set_style(style);
        }
        bar.set_message("copying");
        Bar { bar, verifying: false }
    }

    /// Draws how far it is.
    pub fn step(&mut self, step: ProgressUpdate) {
        if step.verifying && !self.verifying {
            self.verifying = true;
            self.bar.reset();
            self.bar.set_message("reading back");
        }
        self.bar.set_length(step.bytes_found.max(step.bytes));
        self.bar.set_position(step.bytes);
    }

    /// Takes the bar off the terminal.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar that is drawn during work in this process, until the value is dropped.
pub struct ProgressThread {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressThread {
    /// Draws how far the work is.
    pub fn new(progress: Arc<Progress>) -> io::Result<ProgressThread> {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let draw = move || {
            let mut bar = Bar::new(true);
            while !seen.load(Ordering::Relaxed) {
                bar.step(progress.step());
                thread::park_timeout(DRAW_EVERY);
            }
            bar.end();
        };
        let thread = thread::Builder::new().name("progress".into()).spawn(draw)?;
        Ok(ProgressThread { ended, thread: Some(thread) })
    }
}

impl Drop for ProgressThread {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has no result; a panic of its own has been reported.
            let _ = thread.join();
        }
    }
}
