//! Making commits durable.

use crate::engine::Engine;
use crate::error::Result;
use crate::format::ids::Sequence;
use crate::journal::Flush;

impl Engine {
    /// Returns when all records below `number` are durable.
    pub(crate) fn sync_to(&self, number: Sequence) -> Result<()> {
        self.until_done(|| self.journal.flush(number, &self.dirty))
    }

    /// Returns when all records are on the device, though perhaps not flushed.
    pub(crate) fn write_journal(&self) -> Result<()> {
        self.until_done(|| self.journal.write(&self.dirty))
    }

    /// Checkpoints as long as the ring is full.
    fn until_done(&self, flush: impl Fn() -> Result<Flush>) -> Result<()> {
        self.health.check()?;
        loop {
            let flushed = flush();
            // Unnamed blocks freed since become usable again.
            self.space.drain(&self.pins.advance());
            if self.health.guard(flushed)? == Flush::Done {
                let fill = self.journal.fill();
                if fill.used_blocks > fill.ring_blocks / 2 {
                    self.signal.wake();
                }
                return Ok(());
            }
            self.checkpoint()?;
        }
    }

    /// Keeps the data that waits in memory within its bound.
    pub(crate) fn limit_dirty(&self) -> Result<()> {
        if self.dirty.bytes() > self.options.dirty_bytes {
            self.health.guard(self.dirty.write_all())?;
        }
        Ok(())
    }
}
