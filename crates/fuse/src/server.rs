//! Serving a mount: what each worker thread does, from one request to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use tine_fs::{Ino, Located};

use crate::coalesce::Coalescer;
use crate::dispatch::{Dispatcher, Disposition, Served};
use crate::flush_policy::FlushPolicy;
use crate::hole_range::HoleRange;
use crate::init::{self, Negotiated};
use crate::invalidation::InvalidationQueue;
use crate::lock::lock;
use crate::notify::inval_attr;
use crate::plan::Plan;
use crate::queue::{Ended, Inbox, Queue};
use crate::reply::Reply;
use crate::request::{Request, Truncated};
use crate::tuning::Limits;
use crate::visitors::Visitors;
use crate::workers::WorkerPool;
use crate::{Error, Result};

/// What the threads of a mount share.
pub(crate) struct Server {
    pub(crate) dispatcher: Dispatcher,
    queue: Queue,
    workers: WorkerPool,
    flushes: Coalescer,
    seeks: Coalescer,
    flush_policy: FlushPolicy,
    pub(crate) invalidations: InvalidationQueue,
    /// Files whose attributes the kernel was shown while the disk was full, see `housekeeping`.
    pub(crate) shown: Mutex<Vec<Ino>>,
    /// How many writes of the kernel's cache the store did not take.
    failed_writebacks: AtomicU64,
    /// Set once the threads are asked to stop. A message that may wait for the kernel to write back
    /// is not sent afterwards: no thread would serve the writes.
    stopped: RwLock<bool>,
}

/// The result of a step that the end of the device cuts short.
pub(crate) type Step<T> = std::result::Result<T, Ended>;

/// Where a thread is after a request.
enum Done {
    AtQueue,
    /// Back at the queue, which was unattended during the flush.
    BackFromFlush,
    /// Away: the slot at the queue was released.
    QueueReleased,
}

impl Server {
    pub fn new(dispatcher: Dispatcher, queue: Queue) -> Server {
        Server {
            dispatcher,
            queue,
            workers: WorkerPool::default(),
            flushes: Coalescer::default(),
            seeks: Coalescer::default(),
            flush_policy: FlushPolicy::default(),
            invalidations: InvalidationQueue::default(),
            shown: Mutex::default(),
            failed_writebacks: AtomicU64::new(0),
            stopped: RwLock::new(false),
        }
    }

    /// Answers INIT, unless that was done while `mount(2)` waited for it. Called before any thread
    /// starts.
    pub fn negotiate(&self, already: Option<Negotiated>) -> Result<()> {
        let negotiated = match already {
            Some(negotiated) => negotiated,
            None => self.answer_init()?,
        };
        self.dispatcher.set_negotiated(negotiated);
        Ok(())
    }

    fn answer_init(&self) -> Result<Negotiated> {
        let mut inbox = Inbox::new();
        let mut reply = Reply::new();
        loop {
            self.queue.wait().map_err(|Ended| Error::NotMounted)?;
            if !self.queue.take(&mut inbox).map_err(|Ended| Error::NotMounted)? {
                continue;
            }
            let negotiated = init::answer(inbox.message(), &mut reply);
            self.send(reply.message()).map_err(|Ended| Error::NotMounted)?;
            if let Some(negotiated) = negotiated? {
                return Ok(negotiated);
            }
        }
    }

    /// Takes the limits of the mount, which this process may change, and checks what room there is.
    /// Called before anything is written: the kernel knows no file yet of which it would have to be
    /// told.
    pub fn prepare(&self, limits: Option<Limits>) {
        if let Some(limits) = limits {
            self.dispatcher.shortage().set_limits(limits);
        }
        self.dispatcher.check_room();
    }

    /// Works at the queue, or waits for a slot there, until the mount ends.
    pub fn work(&self) {
        let mut inbox = Inbox::new();
        let mut reply = Reply::new();
        while self.workers.wait_for_slot() {
            if let Err(Ended) = self.run(&mut inbox, &mut reply) {
                self.stop();
                return;
            }
        }
    }

    /// Serves requests until the slot at the queue is released.
    fn run(&self, inbox: &mut Inbox, reply: &mut Reply) -> Step<()> {
        let mut served_in_a_row = 0u32;
        // The queue was unattended during a flush, and has not been seen empty since.
        let mut was_unattended = false;
        loop {
            if !self.queue.take(inbox)? {
                (served_in_a_row, was_unattended) = (0, false);
                if !self.queue.look(inbox)? {
                    if self.workers.try_park() {
                        return Ok(());
                    }
                    self.workers.sleep_at_queue(|| self.queue.wait())?;
                    continue;
                }
            }
            served_in_a_row += 1;
            if served_in_a_row.is_multiple_of(4) {
                self.workers.wake_one();
            }
            match self.decode_and_schedule(inbox.message(), was_unattended, reply)? {
                Done::AtQueue => {}
                Done::BackFromFlush => was_unattended = true,
                Done::QueueReleased => return Ok(()),
            }
            self.workers.note_return();
        }
    }

    fn decode_and_schedule(
        &self,
        message: &[u8],
        was_unattended: bool,
        reply: &mut Reply,
    ) -> Step<Done> {
        let request = match Request::decode(message) {
            Ok(request) => request,
            Err(truncated) => {
                self.refuse(truncated, reply)?;
                return Ok(Done::AtQueue);
            }
        };
        let plan = self.dispatcher.classify(&request);
        if was_unattended && !plan.is_flush() {
            self.flush_policy.on_delayed_request();
        }
        self.schedule(&request, plan, message, reply)
    }

    /// Serves a request as planned.
    fn schedule(
        &self,
        request: &Request<'_>,
        plan: Plan,
        message: &[u8],
        reply: &mut Reply,
    ) -> Step<Done> {
        match plan {
            Plan::Inline | Plan::FlushNothing => {
                self.answer(request, reply)?;
                Ok(Done::AtQueue)
            }
            Plan::InlineThenFlush => {
                self.answer(request, reply)?;
                if !self.flushes.try_lead() {
                    return Ok(Done::AtQueue);
                }
                self.flush(reply, |_| {
                    self.dispatcher.flush_ahead(request.node);
                    Ok(())
                })
            }
            Plan::Detached => {
                self.workers.release_slot();
                self.answer(request, reply)?;
                Ok(Done::QueueReleased)
            }
            Plan::Flush if self.flushes.join(message) => Ok(Done::AtQueue),
            Plan::Flush => self.flush(reply, |reply| self.answer(request, reply)),
            Plan::SeekInHole if self.seeks.join(message) => Ok(Done::AtQueue),
            Plan::SeekInHole => {
                self.workers.release_slot();
                self.answer_seek(request, reply)?;
                self.answer_waiting(&self.seeks, reply, Self::answer_seek)?;
                Ok(Done::QueueReleased)
            }
        }
    }

    /// Flushes as the leader, and answers the flushes that were asked for meanwhile.
    fn flush(&self, reply: &mut Reply, flush: impl FnOnce(&mut Reply) -> Step<()>) -> Step<Done> {
        let leave_queue = self.flush_policy.may_leave_queue();
        if !leave_queue {
            self.workers.release_slot();
        }
        let start = Instant::now();
        flush(reply)?;
        self.flush_policy.on_flush(start.elapsed());
        self.answer_waiting(&self.flushes, reply, Self::answer)?;
        Ok(if leave_queue { Done::BackFromFlush } else { Done::QueueReleased })
    }

    /// Serves a request, and does what follows from it.
    fn answer(&self, request: &Request<'_>, reply: &mut Reply) -> Step<()> {
        let Served { disposition, follow_up } = self.dispatcher.serve(request, reply);
        if let Some(ino) = follow_up.stale_attr {
            self.send(&inval_attr(ino))?;
        }
        // Before the answer, so that the kernel does not keep the attributes in it (the program
        // gets them nevertheless), and no write slips in between.
        self.invalidate_shown(&follow_up.shown)?;
        if let Some(overwritten) = follow_up.overwritten {
            // Dropping pages may wait for requests that are served here.
            self.invalidations.push_before(overwritten, reply.message());
        } else if disposition != Disposition::NoReply {
            self.send(reply.message())?;
        }
        // And after it: the kernel may know a new file only since the answer.
        self.invalidate_shown(&follow_up.shown)?;
        if !follow_up.shown.is_empty() {
            lock(&self.shown).extend(follow_up.shown);
            self.invalidations.wake();
        }
        if let Some(failed) = follow_up.failed_writeback {
            self.failed_writebacks.fetch_add(1, Ordering::Relaxed);
            if self.dispatcher.shortage().is_full() {
                self.send(&inval_attr(failed.ino))?;
            }
            self.invalidations.push(failed);
        } else if self.dispatcher.shortage().wants_check() {
            self.invalidations.wake();
        }
        if disposition == Disposition::Shutdown { Err(Ended) } else { Ok(()) }
    }

    /// Answers a seek after the kernel has written back what it had where the store has nothing.
    fn answer_seek(&self, request: &Request<'_>, reply: &mut Reply) -> Step<()> {
        let mut written_back: Option<HoleRange> = None;
        while let Some(hole) = self.dispatcher.unflushed_hole(request) {
            if written_back.is_some_and(|written_back| !hole.extends_past(&written_back)) {
                break;
            }
            self.notify(&hole.inval())?;
            written_back = Some(hole);
        }
        self.answer(request, reply)
    }

    /// Answers what was left to this thread, as the leader of its kind.
    fn answer_waiting(
        &self,
        coalescer: &Coalescer,
        reply: &mut Reply,
        answer: impl Fn(&Self, &Request<'_>, &mut Reply) -> Step<()>,
    ) -> Step<()> {
        while let Some(messages) = coalescer.take_waiting() {
            for message in messages {
                match Request::decode(&message) {
                    Ok(request) => answer(self, &request, reply)?,
                    Err(truncated) => self.refuse(truncated, reply)?,
                }
            }
        }
        Ok(())
    }

    /// Answers a message that is cut short, if its number is known.
    fn refuse(&self, Truncated { unique }: Truncated, reply: &mut Reply) -> Step<()> {
        let Some(unique) = unique else { return Ok(()) };
        reply.start();
        reply.finish(unique, libc::EIO);
        self.send(reply.message())
    }

    /// Makes the kernel forget the attributes of files.
    pub(crate) fn invalidate_shown(&self, inos: &[Ino]) -> Step<()> {
        inos.iter().try_for_each(|ino| self.send(&inval_attr(*ino)))
    }

    /// Sends a message during which the kernel may write back. The worker threads serve these
    /// writes.
    pub fn notify(&self, message: &[u8]) -> Step<()> {
        let stopped = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        if *stopped { Err(Ended) } else { self.send(message) }
    }

    /// Sends a message during which the kernel does not wait for this server.
    pub(crate) fn send(&self, message: &[u8]) -> Step<()> {
        let sent = self.queue.send(message)?;
        sent.unwrap_or_else(|errno| {
            self.dispatcher.report(&format_args!("the kernel refused a message: {errno}"))
        });
        Ok(())
    }

    /// How many writes of the kernel's cache the store did not take.
    pub fn failed_writebacks(&self) -> u64 {
        self.failed_writebacks.load(Ordering::Relaxed)
    }

    /// The names by which a process proves that it sees this mount.
    pub fn visitors(&self) -> &Visitors {
        self.dispatcher.visitors()
    }

    /// The files that the kernel knows.
    pub fn known_files(&self) -> tine_fs::Result<Vec<Located>> {
        self.dispatcher.known_files()
    }

    /// Ends the work of all threads, once no message waits for it any more.
    pub fn stop(&self) {
        *self.stopped.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.workers.stop();
        self.queue.stop();
        self.invalidations.stop();
    }

    /// Returns `true` if the kernel still speaks to the mount.
    pub fn is_connected(&self) -> bool {
        self.queue.is_connected()
    }

    /// Forgets everything that the kernel knew. Called after the last request.
    pub fn close(&self) {
        self.dispatcher.close();
    }
}
