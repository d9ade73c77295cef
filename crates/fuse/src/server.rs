//! Serving a mount: what each of its threads does, from one request to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tine_fs::{Ino, Located};

use crate::blank::Blank;
use crate::company::Company;
use crate::crew::Crew;
use crate::door::{Door, Then};
use crate::init::{self, Negotiated};
use crate::kernel_cache::Visitors;
use crate::queue::{Ended, Inbox, Queue};
use crate::refused::{Next, Refusals};
use crate::reply::{Reply, forget_attributes};
use crate::request::{Call, Request, Truncated};
use crate::shortage::LOOK_EVERY;
use crate::tuning::Limits;
use crate::turns::Turns;
use crate::{Error, Result};

/// The kernel mostly knows a new file so long after the answer that has it.
const NEW_TO_KERNEL: Duration = Duration::from_millis(2);

/// What the threads of a mount share.
pub(crate) struct Server {
    door: Door,
    queue: Queue,
    crew: Crew,
    flushes: Turns,
    seeks: Turns,
    company: Company,
    refusals: Refusals,
    /// Files whose attributes the kernel was shown while the disk was full. One that is new to it it may not have known
    /// yet when it was told to forget them, so it is told again.
    shown: Mutex<Vec<Ino>>,
    /// Writes of the kernel's cache that the store did not take.
    refused_writes: AtomicU64,
    /// No message that may wait for the kernel to write back is sent after the threads were told to stop:
    /// nobody would serve the writes.
    stopped: RwLock<bool>,
}

/// Something that the end of the device cuts short.
type Step<T> = std::result::Result<T, Ended>;

/// Where a thread is after a request.
enum Done {
    AtQueue,
    /// At the queue, where nobody was meanwhile.
    BackFromFlush,
    /// Somebody else is at the queue.
    Away,
}

impl Server {
    pub fn new(door: Door, queue: Queue) -> Server {
        Server {
            door,
            queue,
            crew: Crew::default(),
            flushes: Turns::default(),
            seeks: Turns::default(),
            company: Company::default(),
            refusals: Refusals::default(),
            shown: Mutex::new(Vec::new()),
            refused_writes: AtomicU64::new(0),
            stopped: RwLock::new(false),
        }
    }

    /// Answers INIT, if `mount(2)` did not wait for that; before any thread starts.
    pub fn negotiate(&self, already: Option<Negotiated>) -> Result<()> {
        let negotiated = match already {
            Some(negotiated) => negotiated,
            None => self.answer_init()?,
        };
        self.door.agree(negotiated);
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

    /// The limits of the mount, which this process may change.
    pub fn limit_by(&self, limits: Limits) {
        self.door.limit_by(limits);
    }

    /// Looks what room there is, before anyone can write.
    pub fn look_first(&self) {
        // The kernel knows no file yet for which it would have to be told if there is none.
        self.door.looks_full();
    }

    /// Works at the queue, or rests, until the mount ends.
    pub fn serve(&self) {
        let mut inbox = Inbox::new();
        let mut reply = Reply::new();
        while self.crew.report_for_duty() {
            if let Err(Ended) = self.attend(&mut inbox, &mut reply) {
                self.stop();
                return;
            }
        }
    }

    /// Stays at the queue until somebody else does.
    fn attend(&self, inbox: &mut Inbox, reply: &mut Reply) -> Step<()> {
        let mut served_in_a_row = 0u32;
        // The queue was left alone during a flush, and has not been seen empty since.
        let mut left_alone = false;
        loop {
            if !self.queue.take(inbox)? {
                (served_in_a_row, left_alone) = (0, false);
                if !self.queue.look(inbox)? {
                    if self.crew.leave_to_others() {
                        return Ok(());
                    }
                    self.crew.sleep_at_queue(|| self.queue.wait())?;
                    continue;
                }
            }
            served_in_a_row += 1;
            if served_in_a_row.is_multiple_of(4) {
                self.crew.call_for_help();
            }
            let message = inbox.message();
            let done = match Request::decode(message) {
                Ok(request) => {
                    if left_alone && !matches!(request.call, Call::FSync) {
                        self.company.kept_waiting();
                    }
                    self.take_on(&request, message, reply)?
                }
                Err(Truncated { unique }) => {
                    self.refuse(unique, reply)?;
                    Done::AtQueue
                }
            };
            match done {
                Done::AtQueue => {}
                Done::BackFromFlush => left_alone = true,
                Done::Away => return Ok(()),
            }
            self.crew.back_at_queue();
        }
    }

    /// Serves a request, and a flush that it lets foresee.
    fn take_on(&self, request: &Request<'_>, message: &[u8], reply: &mut Reply) -> Step<Done> {
        let flush_follows = self.door.foresees_flush(request);
        if matches!(request.call, Call::FSync) && !self.door.is_durable() {
            if self.flushes.leave(message) {
                return Ok(Done::AtQueue);
            }
            return self.flush(reply, |reply| self.answer(request, reply));
        }
        if self.door.blank_under(request).is_some() {
            if self.seeks.leave(message) {
                return Ok(Done::AtQueue);
            }
            self.crew.step_away();
            self.answer_seek(request, reply)?;
            self.answer_turns(&self.seeks, reply, Self::answer_seek)?;
            return Ok(Done::Away);
        }
        if request.may_take_long() {
            self.crew.step_away();
            self.answer(request, reply)?;
            return Ok(Done::Away);
        }
        self.answer(request, reply)?;
        if flush_follows && self.flushes.begin() {
            return self.flush(reply, |_| {
                self.door.flush_ahead(request.node);
                Ok(())
            });
        }
        Ok(Done::AtQueue)
    }

    /// Flushes, away from the queue if others want it, and answers whoever asked for the same meanwhile.
    fn flush(&self, reply: &mut Reply, flush: impl FnOnce(&mut Reply) -> Step<()>) -> Step<Done> {
        let alone = self.company.is_absent();
        if !alone {
            self.crew.step_away();
        }
        let start = Instant::now();
        flush(reply)?;
        self.company.flushed(start.elapsed());
        self.answer_turns(&self.flushes, reply, Self::answer)?;
        Ok(if alone { Done::BackFromFlush } else { Done::Away })
    }

    fn answer(&self, request: &Request<'_>, reply: &mut Reply) -> Step<()> {
        let then = self.door.serve(request, reply);
        if let Some(notice) = reply.notice() {
            self.send(&notice)?;
        }
        if reply.refused().is_some() {
            self.refused_writes.fetch_add(1, Ordering::Relaxed);
        }
        // The kernel takes no attributes from an answer to what it asked before it was told to forget them; what `stat` shows
        // is the answer nevertheless. So no write slips in between. Of a new file it is told afterwards.
        for ino in reply.shown() {
            self.send(&forget_attributes(*ino))?;
        }
        if let Some(overwritten) = reply.overwritten() {
            // Dropping pages may wait for requests that are served here.
            self.refusals.push_before(overwritten, reply.message());
        } else if then != Then::Silence {
            self.send(reply.message())?;
        }
        for ino in reply.shown() {
            self.send(&forget_attributes(*ino))?;
        }
        if !reply.shown().is_empty() {
            self.shown().extend(reply.shown());
            self.refusals.wake();
        }
        if let Some(refused) = reply.refused() {
            if self.door.is_full() {
                self.send(&forget_attributes(refused.ino))?;
            }
            self.refusals.push(refused);
        } else if self.door.wants_a_look() {
            self.refusals.wake();
        }
        if then == Then::Stop { Err(Ended) } else { Ok(()) }
    }

    /// Answers a seek after the kernel has written back what it had where the store has nothing.
    fn answer_seek(&self, request: &Request<'_>, reply: &mut Reply) -> Step<()> {
        let mut filled: Option<Blank> = None;
        while let Some(blank) = self.door.blank_under(request) {
            if filled.is_some_and(|filled| !blank.exceeds(&filled)) {
                break;
            }
            self.notify(&blank.notice())?;
            filled = Some(blank);
        }
        self.answer(request, reply)
    }

    /// Answers what was left to this thread.
    fn answer_turns(
        &self,
        turns: &Turns,
        reply: &mut Reply,
        answer: impl Fn(&Self, &Request<'_>, &mut Reply) -> Step<()>,
    ) -> Step<()> {
        while let Some(messages) = turns.next() {
            for message in messages {
                match Request::decode(&message) {
                    Ok(request) => answer(self, &request, reply)?,
                    Err(Truncated { unique }) => self.refuse(unique, reply)?,
                }
            }
        }
        Ok(())
    }

    /// Answers a message that is cut short, as far as it says whose it is.
    fn refuse(&self, unique: Option<u64>, reply: &mut Reply) -> Step<()> {
        let Some(unique) = unique else { return Ok(()) };
        reply.start();
        reply.finish(unique, libc::EIO);
        self.send(reply.message())
    }

    /// Looks after what room there is until the mount ends, and makes the kernel forget what was written back in vain or directly.
    pub fn look_after_room(&self) {
        // Told once more, and to be told so another time.
        let mut shown = Vec::new();
        loop {
            let next = self.refusals.next(LOOK_EVERY);
            let told = if self.door.looks_full() { self.have_writes_asked_for() } else { Ok(()) };
            let told = told.and_then(|()| self.tell_again(&mut shown));
            let told = told.and_then(|()| match next {
                Next::Range(refused, answer) => {
                    let dropped = self.notify(&refused.notice());
                    dropped.and_then(|()| answer.map_or(Ok(()), |answer| self.send(&answer)))
                }
                Next::Nothing => Ok(()),
                Next::Stop => Err(Ended),
            });
            if let Err(Ended) = told {
                return;
            }
        }
    }

    /// Has the kernel ask before it takes the next write to any file.
    fn have_writes_asked_for(&self) -> Step<()> {
        self.door.known().into_iter().try_for_each(|ino| self.send(&forget_attributes(ino)))
    }

    /// Has the kernel ask for files that it was shown of late, and for those of the time before.
    fn tell_again(&self, before: &mut Vec<Ino>) -> Step<()> {
        let shown = std::mem::take(&mut *self.shown());
        if !shown.is_empty() {
            std::thread::sleep(NEW_TO_KERNEL);
        }
        let told =
            before.iter().chain(&shown).try_for_each(|ino| self.send(&forget_attributes(*ino)));
        *before = shown;
        told
    }

    fn shown(&self) -> MutexGuard<'_, Vec<Ino>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message before whose end the kernel may write back, which the other threads serve.
    pub fn notify(&self, message: &[u8]) -> Step<()> {
        let stopped = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        if *stopped { Err(Ended) } else { self.send(message) }
    }

    /// How many writes of the kernel's cache the store did not take.
    pub fn refused_writes(&self) -> u64 {
        self.refused_writes.load(Ordering::Relaxed)
    }

    /// Who is waited for at the root.
    pub fn visitors(&self) -> &Visitors {
        self.door.visitors()
    }

    /// The files that the kernel knows.
    pub fn known_files(&self) -> tine_fs::Result<Vec<Located>> {
        self.door.known_files()
    }

    fn send(&self, message: &[u8]) -> Step<()> {
        let sent = self.queue.send(message)?;
        sent.unwrap_or_else(|errno| {
            self.door.report(&format_args!("the kernel refused a message: {errno}"))
        });
        Ok(())
    }

    /// Ends the work of all threads, once no message waits for it any more.
    pub fn stop(&self) {
        *self.stopped.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.crew.stop();
        self.queue.stop();
        self.refusals.stop();
    }

    /// Whether the kernel still speaks to the mount.
    pub fn is_connected(&self) -> bool {
        self.queue.is_connected()
    }

    /// Lets go of everything that the kernel knew; for after the last message.
    pub fn close(&self) {
        self.door.close();
    }
}
