//! The bar of a long request, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use tine_service::Step;

/// A bar that appears with the first news.
pub struct Bar {
    bar: ProgressBar,
    verifying: bool,
}

impl Bar {
    /// A bar, or one that is never drawn.
    pub fn new(drawn: bool) -> Bar {
        let bar = if drawn { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let look = "{msg} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(look) {
            bar.set_style(style);
        }
        bar.set_message("copying");
        Bar { bar, verifying: false }
    }

    /// Draws how far it is.
    pub fn step(&mut self, step: Step) {
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
