//! The workers of an open store: flushing and checkpointing by time and by need, and reclaiming.

use crate::engine::Engine;
use crate::error::Result;
use crate::journal::Record;
use crate::open_store::Shared;
use crate::signal::Woken;
use crate::space::TrimPolicy;
use crate::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// What was committed without a sync is durable after about this long.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// A store with changes gets a checkpoint this often.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// The reclaim worker rests this long between bursts.
const RECLAIM_REST: Duration = Duration::from_micros(100);
/// Length of one burst, which bounds how long a committer waits for a lock that the worker holds.
const RECLAIM_BURST: Duration = Duration::from_micros(200);
const RECLAIM_IDLE: Duration = Duration::from_millis(100);
/// A store that was not written to for this long keeps little ready on the host.
const LONG_REST: Duration = Duration::from_secs(10);
/// A journal longer than this, in blocks, is replaced by a checkpoint at close: replay stays short.
const CLOSE_JOURNAL_BLOCKS: u64 = 128;

impl Shared {
    pub(crate) fn start(engine: Arc<Engine>) -> Result<Arc<Shared>> {
        let mut background = Vec::new();
        if engine.options.background {
            let spawn = |name: &str, work: fn(&Engine), engine: &Arc<Engine>| {
                let engine = Arc::clone(engine);
                let thread =
                    std::thread::Builder::new().name(name.into()).spawn(move || work(&engine));
                thread.map_err(|e| crate::Error::io("cannot start a thread of the store", e))
            };
            background.push(spawn("tine-flush", flush_worker, &engine)?);
            background.push(spawn("tine-reclaim", reclaim_worker, &engine)?);
        }
        Ok(Shared::new(engine, background))
    }
}

impl Engine {
    /// The time, by the store's environment.
    fn elapsed(&self) -> Duration {
        self.options.environment.elapsed()
    }

    fn since(&self, moment: Duration) -> Duration {
        self.elapsed().saturating_sub(moment)
    }

    /// Makes all durable and marks the journal as closed.
    pub(crate) fn close(&self) -> Result<()> {
        self.health.check()?;
        // All before a close mark was flushed.
        if self.journal.closed() {
            return Ok(());
        }
        self.sync_to(self.journal.next())?;
        if self.journal.fill().used_blocks > CLOSE_JOURNAL_BLOCKS {
            self.checkpoint()?;
        }
        // What is not recorded yet stays with the store.
        while self.punch_space()? {}
        self.journal.append(Record::Close);
        // The mark needs no flush: without it the next opening recovers, and finds the same.
        self.write_journal()
    }
}

fn flush_worker(engine: &Engine) {
    let mut seen = 0;
    let mut last = engine.elapsed();
    let (mut written, mut rests_since) = (engine.journal.next(), last);
    while !matches!(engine.signal.wait(&mut seen, FLUSH_EVERY), Woken::Stop) {
        if engine.health.poisoned() {
            return;
        }
        if written != engine.journal.next() {
            (written, rests_since) = (engine.journal.next(), engine.elapsed());
        }
        let waits = engine.signal.has_changed() || engine.space.waits_for_checkpoint();
        let by_time = engine.since(last) >= CHECKPOINT_EVERY && waits;
        // Errors poison the store, and the next caller hears of them.
        if engine.outgrown.swap(false, Ordering::AcqRel) {
            let _ = engine.grow_ring();
            last = engine.elapsed();
        } else if by_time || engine.must_checkpoint() {
            let _ = engine.checkpoint();
            last = engine.elapsed();
        } else {
            let _ = engine.sync_to(engine.journal.next());
        }
        trim(engine, engine.since(rests_since));
    }
}

/// Gives free space back to the host, step by step, as long as nothing is more urgent. `rest` is
/// the time since the last write.
fn trim(engine: &Engine, rest: Duration) {
    let policy = match engine.signal.has_changed() {
        true => TrimPolicy::Busy,
        false if rest < LONG_REST => TrimPolicy::Idle,
        false => TrimPolicy::LongIdle,
    };
    let at_leisure = || !engine.must_checkpoint() && !engine.signal.stopped();
    let mut some = false;
    while at_leisure() && engine.mark_space_for_trim(policy) {
        some = true;
    }
    // While others write, the checkpoint that records it comes by itself.
    if some && policy != TrimPolicy::Busy {
        let _ = engine.checkpoint();
    }
    while at_leisure() && engine.punch_space().unwrap_or(false) {}
}

fn reclaim_worker(engine: &Engine) {
    let mut seen = 0;
    loop {
        let rest = if engine.reclaim.is_empty() { RECLAIM_IDLE } else { RECLAIM_REST };
        if matches!(engine.signal.wait(&mut seen, rest), Woken::Stop) || engine.health.poisoned() {
            return;
        }
        let until = engine.elapsed() + RECLAIM_BURST;
        while engine.elapsed() < until && !engine.reclaim.is_empty() && !engine.signal.stopped() {
            if engine.prepare_reclaim().is_err() {
                break;
            }
            let _ = engine.reclaim_step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, MemoryDevice};
    use crate::options::Options;
    use crate::store::Store;

    #[test]
    fn the_longer_a_store_rests_the_less_it_keeps_on_the_host() {
        const MIB: usize = 1 << 20;
        let disk = Arc::new(MemoryDevice::new());
        let options = Options { background: false, ..Options::default() };
        let store = Store::create_on(disk.clone(), &options).unwrap();
        let main = store.create_branch("main").unwrap();
        for block in 0..40 {
            let mut txn = main.write().unwrap();
            txn.map(b"file", block * 256, main.stage(&vec![7; MIB]).unwrap()).unwrap();
            // Half of each MiB is dropped again.
            txn.unmap(b"file", block * 256..block * 256 + 128).unwrap();
            txn.commit().unwrap();
        }
        let rest = |policy| {
            main.sync().unwrap();
            store.checkpoint().unwrap();
            main.shared.engine().unwrap().trim_space(policy).unwrap();
            disk.allocated_bytes().unwrap() as usize / MIB
        };
        let (busy, short, long) =
            (rest(TrimPolicy::Busy), rest(TrimPolicy::Idle), rest(TrimPolicy::LongIdle));
        assert!(short + 8 < busy && long + 2 < short, "{busy}, {short}, {long} MiB");
        assert!(long <= 20 + 6 + 4, "{long} MiB for 20, a journal of 6 and what deletes need");
        let mut txn = main.write().unwrap();
        txn.map(b"more", 0, main.stage(&vec![9; MIB]).unwrap()).unwrap();
        txn.commit().unwrap();
        store.checkpoint().unwrap();
        assert_eq!(store.check().unwrap().findings, []);
    }
}
