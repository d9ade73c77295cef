//! The journal: one totally ordered log of what was committed, over all branches.
//!
//! Committers append to memory. The first thread that needs durability becomes the leader: it
//! writes all that gathered as one group and flushes once. Threads that arrive meanwhile wait. Most
//! then find their records durable, and one of the others leads the next group, which gathered
//! during the flush.

pub(crate) mod group;
mod record;
mod replay;
mod ring;

pub(crate) use record::{Record, ResetTo};
pub(crate) use replay::{Replayed, replay};
pub(crate) use ring::{Mark, Ring};

use crate::device::Device;
use crate::dirty::DirtySet;
use crate::error::{Error, Result};
use crate::format::ids::Sequence;
use crate::format::layout::BLOCK_BYTES;
use crate::injected_bug::{InjectedBug, injected};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, lock, wait};
use record::dirty_runs;
use std::collections::VecDeque;
use std::sync::Arc;

/// Data up to this much in one flush travels inside the group; more is written to its own place.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// A group's records stay below this, but for a single larger record.
const GROUP_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Journal {
    device: Arc<dyn Device>,
    pending: Mutex<Pending>,
    ring: Mutex<Ring>,
    lead: Mutex<Lead>,
    /// Signalled when the current flush leader finishes.
    led: Condvar,
    /// Records below this number survive a crash.
    durable: AtomicU64,
    /// Blocks between replay position and head, and blocks of the ring; read without the lock.
    used_blocks: AtomicU64,
    ring_blocks: AtomicU64,
}

/// The flush leader.
#[derive(Debug, Default)]
struct Lead {
    taken: bool,
    /// A write or flush failed: another might succeed, and yet say nothing of what was lost.
    failed: bool,
}

/// Leads until it is dropped.
struct Leader<'a>(&'a Journal);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        lock(&self.0.lead).taken = false;
        self.0.led.notify_all();
    }
}

#[derive(Debug)]
struct Pending {
    records: VecDeque<Record>,
    /// Number of the record that is appended next.
    next: Sequence,
    bytes: usize,
    /// The cut of the checkpoint being written: no group reaches across it.
    cut: Option<Sequence>,
    /// The last record is a close mark.
    closed: bool,
}

/// How full the ring is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Blocks between replay position and head.
    pub used_blocks: u64,
    pub ring_blocks: u64,
}

/// What became of a flush.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    Done,
    /// The ring has no room until a checkpoint is durable.
    Full,
}

impl Journal {
    /// The journal from the ring's head on; records below `durable` were flushed.
    pub fn new(device: Arc<dyn Device>, ring: Ring, durable: Sequence, closed: bool) -> Journal {
        let next = ring.link.sequence;
        let pending = Pending { records: VecDeque::new(), next, bytes: 0, cut: None, closed };
        Journal {
            device,
            pending: Mutex::new(pending),
            used_blocks: AtomicU64::new(ring.used()),
            ring_blocks: AtomicU64::new(ring.blocks),
            ring: Mutex::new(ring),
            lead: Mutex::default(),
            led: Condvar::new(),
            durable: AtomicU64::new(durable.0),
        }
    }

    /// Appends a record; its number.
    pub fn append(&self, record: Record) -> Sequence {
        let mut pending = lock(&self.pending);
        pending.bytes += record.encoded_bytes();
        pending.closed = matches!(record, Record::Close);
        pending.records.push_back(record);
        let number = pending.next;
        pending.next = number + 1;
        number
    }

    /// Records below this number survive a crash.
    pub fn durable(&self) -> Sequence {
        Sequence(self.durable.load(Ordering::Acquire))
    }

    fn note_durable(&self, below: Sequence) {
        self.durable.fetch_max(below.0, Ordering::AcqRel);
    }

    /// Number of the next record.
    pub fn next(&self) -> Sequence {
        lock(&self.pending).next
    }

    /// Whether the journal ends in a close mark.
    pub fn closed(&self) -> bool {
        lock(&self.pending).closed
    }

    /// Bytes that wait in memory.
    pub fn pending_bytes(&self) -> usize {
        lock(&self.pending).bytes
    }

    pub fn fill(&self) -> Fill {
        Fill {
            used_blocks: self.used_blocks.load(Ordering::Relaxed),
            ring_blocks: self.ring_blocks.load(Ordering::Relaxed),
        }
    }

    fn note_fill(&self, ring: &Ring) {
        self.used_blocks.store(ring.used(), Ordering::Relaxed);
        self.ring_blocks.store(ring.blocks, Ordering::Relaxed);
    }

    /// Writes what is pending to the ring, without flushing it.
    pub fn write(&self, dirty: &DirtySet) -> Result<Flush> {
        self.write_to(&mut lock(&self.ring), dirty)
    }

    /// Waits until all records below `upto` are durable; flushes them if no other thread does.
    pub fn flush(&self, upto: Sequence, dirty: &DirtySet) -> Result<Flush> {
        let Some(_leader) = self.lead(upto)? else { return Ok(Flush::Done) };
        let flushed = self.flush_group(upto, dirty);
        lock(&self.lead).failed |= flushed.is_err();
        flushed
    }

    /// Waits for the right to flush. Returns `None` if another thread made all below `upto` durable
    /// meanwhile.
    fn lead(&self, upto: Sequence) -> Result<Option<Leader<'_>>> {
        let mut lead = lock(&self.lead);
        loop {
            if self.durable() >= upto {
                return Ok(None);
            }
            if lead.failed {
                return Err(Error::Poisoned { why: "the journal could not be flushed".into() });
            }
            if !lead.taken {
                lead.taken = true;
                return Ok(Some(Leader(self)));
            }
            lead = wait(&self.led, lead);
        }
    }

    /// Writes and flushes one group. The ring is free again while the disk works.
    fn flush_group(&self, upto: Sequence, dirty: &DirtySet) -> Result<Flush> {
        let (flush, written) = {
            let mut ring = lock(&self.ring);
            let flush = self.write_to(&mut ring, dirty)?;
            (flush, if ring.covered.is_some() { Sequence(0) } else { ring.link.sequence })
        };
        if flush == Flush::Full && written < upto {
            return Ok(Flush::Full);
        }
        if !injected(InjectedBug::CommitUnflushed) {
            self.device.sync().map_err(|e| Error::io("flushing the store to disk", e))?;
        }
        self.note_durable(written);
        Ok(Flush::Done)
    }

    fn write_to(&self, ring: &mut Ring, dirty: &DirtySet) -> Result<Flush> {
        if ring.covered.is_some() {
            return Ok(Flush::Full);
        }
        let flush = self.write_pending(ring, Sequence::MAX, dirty);
        self.note_fill(ring);
        flush
    }

    /// Writes groups until nothing below `limit` is pending or the ring is full.
    fn write_pending(&self, ring: &mut Ring, limit: Sequence, dirty: &DirtySet) -> Result<Flush> {
        loop {
            let records = self.take_group(ring, limit);
            if records.is_empty() {
                return Ok(Flush::Done);
            }
            let bound: usize = records.iter().map(Record::encoded_bytes).sum();
            if bound as u64 > ring.blocks * BLOCK_BYTES as u64 {
                // Not worth encoding: it never fits, and the checkpoint covers it.
                self.put_back(records);
                return Ok(Flush::Full);
            }
            let runs: Vec<_> = records.iter().flat_map(dirty_runs).cloned().collect();
            if runs.iter().map(|d| d.inline_bytes()).sum::<usize>() > INLINE_BYTES_MAX {
                dirty.write_out(&runs)?;
            }
            let group = group::encode(&records, &ring.link, self.durable());
            if !ring.write(&*self.device, &group, self.durable())? {
                self.put_back(records);
                return Ok(Flush::Full);
            }
        }
    }

    fn take_group(&self, ring: &mut Ring, limit: Sequence) -> Vec<Record> {
        let mut pending = lock(&self.pending);
        let first = ring.link.sequence;
        if pending.cut == Some(first) {
            ring.mark = Some(Mark { head: ring.head, link: ring.link });
            pending.cut = None;
        }
        let limit = limit.min(pending.cut.unwrap_or(Sequence::MAX));
        let records_max = limit.0.saturating_sub(first.0);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while (taken.len() as u64) < records_max
            && let Some(record) = pending.records.front()
        {
            bytes += record.encoded_bytes();
            if !taken.is_empty() && bytes > GROUP_BYTES_MAX {
                break;
            }
            pending.bytes -= record.encoded_bytes().min(pending.bytes);
            taken.extend(pending.records.pop_front());
        }
        taken
    }

    fn put_back(&self, records: Vec<Record>) {
        let mut pending = lock(&self.pending);
        for record in records.into_iter().rev() {
            pending.bytes += record.encoded_bytes();
            pending.records.push_front(record);
        }
    }

    /// A checkpoint cuts here; returns the number of the first record it doesn't cover.
    pub fn cut(&self) -> Sequence {
        let mut pending = lock(&self.pending);
        pending.cut = Some(pending.next);
        pending.next
    }

    /// Where replay will begin once the checkpoint of `cut` is durable. What the ring has no room
    /// for needs none: the checkpoint covers it, and flushes wait for it.
    pub fn replay_mark(&self, cut: Sequence, dirty: &DirtySet) -> Result<Mark> {
        let mut ring = lock(&self.ring);
        if ring.mark.is_none() && self.write_pending(&mut ring, cut, dirty)? == Flush::Full {
            let mut pending = lock(&self.pending);
            let covered = (cut - ring.link.sequence) as usize;
            let dropped: usize = pending.records.drain(..covered).map(|r| r.encoded_bytes()).sum();
            pending.bytes -= dropped.min(pending.bytes);
            pending.cut = None;
            ring.link.sequence = cut;
            ring.covered = Some(cut);
            ring.mark = Some(Mark { head: ring.head, link: ring.link });
        }
        ring.mark.take().ok_or_else(|| Error::damaged("the journal lost its place"))
    }

    /// The checkpoint of `cut` is durable: what lies before `mark` is free. `salt` and a new ring
    /// come in while nothing else is under way.
    pub fn release(&self, cut: Sequence, mark: &Mark) {
        let mut ring = lock(&self.ring);
        ring.tail = mark.head;
        ring.covered = None;
        self.note_fill(&ring);
        if ring.link.sequence == cut {
            // The close mark, if it was the last record, lies before the replay position now.
            lock(&self.pending).closed = false;
        }
        self.note_durable(cut);
    }

    /// Moves on to another ring, or another salt. Nothing may be pending.
    pub fn replace(&self, new: Ring) {
        self.note_durable(new.link.sequence);
        lock(&self.pending).closed = false;
        self.note_fill(&new);
        *lock(&self.ring) = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Faults, MemoryDevice, SimulatedDevice, SyncFault};
    use crate::format::block::BlockAddr;
    use crate::format::ids::BranchId;
    use crate::txn::{DataRun, Op, RunData, last_batch};
    use group::Link;

    /// A commit of about this many KiB.
    fn commit(kib: usize) -> Record {
        let mut ops = Vec::new();
        (0..kib).for_each(|n| last_batch(&mut ops).put(&n.to_be_bytes(), &[7; 1000]));
        Record::Commit { branch: BranchId(1), ops }
    }

    fn fill(used_blocks: u64, ring_blocks: u64) -> Fill {
        Fill { used_blocks, ring_blocks }
    }

    fn journal(blocks: u64) -> (Journal, DirtySet) {
        journal_on(Arc::new(MemoryDevice::new()), blocks)
    }

    fn journal_on(device: Arc<dyn Device>, blocks: u64) -> (Journal, DirtySet) {
        let link = Link { salt: 1, session: 0, sequence: Sequence(0), chain: 0 };
        let ring =
            Ring { block: BlockAddr(0), blocks, head: 0, tail: 0, link, mark: None, covered: None };
        (Journal::new(Arc::clone(&device), ring, Sequence(0), false), DirtySet::new(device))
    }

    #[test]
    fn what_waits_in_memory_is_counted_until_it_is_written() {
        let (journal, dirty) = journal(1000);
        let (one, other) = (commit(10), commit(20));
        let bytes = one.encoded_bytes() + other.encoded_bytes();
        assert!(bytes > 30_000);
        assert_eq!((journal.append(one), journal.append(other)), (Sequence(0), Sequence(1)));
        assert_eq!((journal.pending_bytes(), journal.fill()), (bytes, fill(0, 1000)));
        assert_eq!(journal.write(&dirty).unwrap(), Flush::Done);
        assert_eq!((journal.pending_bytes(), journal.durable()), (0, Sequence(0)));
        assert_eq!(journal.fill().used_blocks, bytes.div_ceil(BLOCK_BYTES) as u64);
        assert_eq!(journal.flush(Sequence(2), &dirty).unwrap(), Flush::Done);
        assert_eq!((journal.durable(), journal.next()), (Sequence(2), Sequence(2)));
    }

    #[test]
    fn what_a_checkpoint_covers_because_there_is_no_room_is_counted_no_more() {
        let (journal, dirty) = journal(8);
        journal.append(commit(100));
        let cut = journal.cut();
        let later = commit(1);
        let bytes = later.encoded_bytes();
        journal.append(later);
        let mark = journal.replay_mark(cut, &dirty).unwrap();
        assert_eq!(journal.pending_bytes(), bytes);
        journal.release(cut, &mark);
        assert_eq!((journal.durable(), journal.next()), (Sequence(1), Sequence(2)));
    }

    #[test]
    fn records_gather_in_a_group_up_to_its_limit_and_what_finds_no_room_waits_on() {
        let (journal, dirty) = journal(800);
        let blocks = |bytes: usize| (group::HEADER_BYTES + bytes).div_ceil(BLOCK_BYTES) as u64;
        let record = commit(300).encoded_bytes();
        for _ in 0..4 {
            journal.append(commit(300));
        }
        assert_eq!(journal.write(&dirty).unwrap(), Flush::Done);
        assert_ne!(
            blocks(4 * record),
            blocks(3 * record) + blocks(record),
            "else it cannot be told"
        );
        // Three are still below the limit of a group, the fourth is not.
        assert_eq!(journal.fill().used_blocks, blocks(3 * record) + blocks(record));
        for _ in 0..3 {
            journal.append(commit(900));
        }
        assert_eq!(journal.flush(Sequence(7), &dirty).unwrap(), Flush::Full);
        // Nothing is durable before the checkpoint that the caller is asked for.
        assert_eq!(
            (journal.durable(), journal.pending_bytes()),
            (Sequence(0), commit(900).encoded_bytes())
        );
    }

    #[test]
    fn much_data_goes_to_its_own_place_before_its_record_and_little_travels_inside() {
        for (blocks, inside) in [(16, true), (17, false), (40, false)] {
            let (journal, dirty) = journal(1000);
            let data = dirty.insert(BlockAddr(5000), &vec![3; blocks * BLOCK_BYTES]);
            let sums = vec![0; blocks].into();
            let run = DataRun { addr: data.addr, sums, data: RunData::Dirty(Arc::clone(&data)) };
            let map = Op::Map { map: Box::from(&b"m"[..]), block: 0, runs: vec![run] };
            journal.append(Record::Commit { branch: BranchId(1), ops: vec![map] });
            assert_eq!(journal.write(&dirty).unwrap(), Flush::Done);
            assert_eq!(data.on_device(), !inside, "{blocks} blocks");
            assert_eq!(journal.fill().used_blocks > blocks as u64, inside, "{blocks} blocks");
        }
    }

    #[test]
    fn a_checkpoint_cuts_where_it_said_whether_the_records_were_written_before_or_not() {
        for written in [false, true] {
            let (journal, dirty) = journal(1000);
            journal.append(commit(20));
            let cut = journal.cut();
            journal.append(commit(40));
            if written {
                assert_eq!(journal.write(&dirty).unwrap(), Flush::Done);
            }
            let mark = journal.replay_mark(cut, &dirty).unwrap();
            let before = (group::HEADER_BYTES + commit(20).encoded_bytes()).div_ceil(BLOCK_BYTES);
            assert_eq!((mark.head, mark.link.sequence), (before as u64, cut));
            journal.release(cut, &mark);
            assert_eq!((journal.durable(), journal.fill().used_blocks > 0), (cut, written));
            assert_eq!(journal.flush(Sequence(2), &dirty).unwrap(), Flush::Done);
            assert_eq!((journal.durable(), journal.pending_bytes()), (Sequence(2), 0));
        }
    }

    #[test]
    fn a_close_mark_counts_until_a_checkpoint_covers_it() {
        let (journal, dirty) = journal(1000);
        journal.append(commit(1));
        let first = journal.cut();
        journal.append(Record::Close);
        let mark = journal.replay_mark(first, &dirty).unwrap();
        assert_eq!(journal.flush(Sequence(2), &dirty).unwrap(), Flush::Done);
        journal.release(first, &mark);
        assert!(journal.closed(), "it lies behind the cut");
        let second = journal.cut();
        let mark = journal.replay_mark(second, &dirty).unwrap();
        journal.release(second, &mark);
        assert!(!journal.closed(), "replay begins behind it");
    }

    #[test]
    fn in_another_ring_the_journal_goes_on_from_where_that_says() {
        let (journal, dirty) = journal(100);
        journal.append(Record::Close);
        assert_eq!(journal.flush(Sequence(1), &dirty).unwrap(), Flush::Done);
        let link = Link { salt: 2, session: 0, sequence: Sequence(1), chain: 0 };
        let other = Ring {
            block: BlockAddr(500),
            blocks: 300,
            head: 0,
            tail: 0,
            link,
            mark: None,
            covered: None,
        };
        journal.replace(other);
        assert_eq!(
            (journal.fill(), journal.closed(), journal.durable()),
            (fill(0, 300), false, Sequence(1))
        );
        journal.append(commit(10));
        assert_eq!(journal.flush(Sequence(2), &dirty).unwrap(), Flush::Done);
        assert_eq!((journal.fill(), journal.durable()), (fill(3, 300), Sequence(2)));
    }

    #[test]
    fn what_fits_is_durable_although_what_follows_finds_no_room() {
        let (journal, dirty) = journal(50);
        journal.append(commit(10));
        journal.append(commit(1100));
        assert_eq!(journal.flush(Sequence(1), &dirty).unwrap(), Flush::Done);
        assert_eq!(journal.durable(), Sequence(1));
        assert_eq!(journal.flush(Sequence(2), &dirty).unwrap(), Flush::Full);
        assert_eq!(
            (journal.durable(), journal.pending_bytes()),
            (Sequence(1), commit(1100).encoded_bytes())
        );
    }

    #[test]
    fn once_a_flush_failed_no_later_one_succeeds() {
        let faults = Faults { sync: Some((2, SyncFault::Once)), ..Faults::default() };
        let disk = SimulatedDevice::with_faults(&MemoryDevice::new(), faults);
        let (journal, dirty) = journal_on(Arc::new(disk), 1000);
        let number = journal.append(commit(1));
        assert_eq!(journal.flush(number + 1, &dirty).unwrap(), Flush::Done);
        let number = journal.append(commit(1));
        for _ in 0..3 {
            assert!(journal.flush(number + 1, &dirty).is_err());
        }
        assert_eq!(journal.durable(), number);
        journal.flush(number, &dirty).unwrap();
    }
}
