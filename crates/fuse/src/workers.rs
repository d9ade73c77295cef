//! The pool of threads that serve one queue.
//!
//! Waking a thread on another processor costs more than serving most requests (20 to 60 µs against
//! less than 10), so a request should find a thread awake, and as few threads as possible should be
//! awake. A thread that attends the queue has a *slot*: it takes a request, serves it, and looks
//! for the next. Before a request that may take long it releases its slot; if that was the last
//! one, it wakes a parked thread. When requests pile up, a thread with a slot wakes another one. A
//! thread that finds the queue empty parks if another one has a slot.
//!
//! A request that should be short may still wait, for a checkpoint or for memory to be written out.
//! So while there is work, one of the parked threads, the *watchdog*, wakes every other
//! millisecond, and takes a slot if no thread came back to the queue meanwhile. It goes on for a
//! while after the last request: waking it for each request anew would cost more than serving most
//! of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::lock::lock;

/// How often the watchdog looks. Tests give a busy machine more time, since it may let a thread
/// wait for longer than serving a request takes.
const WATCH_EVERY: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 2 });

/// How often the watchdog sees an idle queue before it parks like the others.
const IDLE_LOOKS_MAX: u32 = 250;

/// The threads of one queue. A thread that is neither parked nor has a slot serves a long request.
#[derive(Debug, Default)]
pub(crate) struct WorkerPool {
    state: Mutex<State>,
    /// Wakes a parked thread.
    woken: Condvar,
    /// Wakes the watchdog.
    watchdog_woken: Condvar,
    /// Counts how often a thread came back to the queue, from a request or from sleep.
    returns: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Slots that are taken, with those of threads that were woken and are on their way.
    slots: usize,
    /// Parked threads, without those that were woken.
    parked: usize,
    /// Threads that were woken and have not noticed yet.
    wakes: usize,
    /// The thread with the only slot sleeps, since the queue is empty.
    idle: bool,
    /// One of the parked threads is the watchdog.
    has_watchdog: bool,
    /// The queue has been idle for so long that no watchdog is needed.
    quiet: bool,
    stopped: bool,
}

/// Why the watchdog stops watching.
#[derive(Debug)]
enum Alarm {
    /// A thread was woken, or the pool stops.
    Woken,
    /// No thread came back to the queue, which is not idle.
    Stuck,
    /// The queue was idle for long.
    Quiet,
}

impl WorkerPool {
    /// Waits for a slot; takes one at once if the queue is unattended. Returns `false` if the pool
    /// has been stopped.
    pub fn wait_for_slot(&self) -> bool {
        let mut state = self.state();
        if state.slots == 0 {
            state.slots = 1;
            return !state.stopped;
        }
        state.parked += 1;
        loop {
            if state.stopped {
                return false;
            }
            if state.wakes > 0 {
                state.wakes -= 1;
                return true;
            }
            if state.has_watchdog || state.quiet {
                state = self.woken.wait(state).unwrap_or_else(|poison| poison.into_inner());
                continue;
            }
            state.has_watchdog = true;
            let alarm;
            (state, alarm) = self.watch(state);
            state.has_watchdog = false;
            match alarm {
                Alarm::Quiet => state.quiet = true,
                Alarm::Woken => self.woken.notify_one(),
                Alarm::Stuck => {
                    state.parked -= 1;
                    state.slots += 1;
                    self.woken.notify_one();
                    return true;
                }
            }
        }
    }

    /// Watches the queue as the watchdog.
    fn watch<'a>(&'a self, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, Alarm) {
        let mut idle_looks = 0;
        loop {
            let returns = self.returns.load(Ordering::Relaxed);
            let waited = self.watchdog_woken.wait_timeout(state, WATCH_EVERY);
            let timeout;
            (state, timeout) = waited.unwrap_or_else(|poison| poison.into_inner());
            if state.stopped || state.wakes > 0 {
                return (state, Alarm::Woken);
            }
            if !timeout.timed_out() || self.returns.load(Ordering::Relaxed) != returns {
                idle_looks = 0;
            } else if !state.idle {
                return (state, Alarm::Stuck);
            } else if idle_looks == IDLE_LOOKS_MAX {
                return (state, Alarm::Quiet);
            } else {
                idle_looks += 1;
            }
        }
    }

    /// Notes that the caller is back at the queue after a request.
    pub fn note_return(&self) {
        self.returns.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls `sleep`, which waits at the empty queue, while the watchdog need not watch.
    pub fn sleep_at_queue<T>(&self, sleep: impl FnOnce() -> T) -> T {
        self.state().idle = true;
        let slept = sleep();
        let mut state = self.state();
        state.idle = false;
        self.note_return();
        if std::mem::take(&mut state.quiet) {
            self.woken.notify_one();
        }
        slept
    }

    /// Gives up the caller's slot before a long request.
    pub fn release_slot(&self) {
        let mut state = self.state();
        state.slots -= 1;
        if state.slots == 0 {
            self.wake(&mut state);
        }
    }

    /// Wakes one more thread, because requests pile up.
    pub fn wake_one(&self) {
        self.wake(&mut self.state());
    }

    /// Gives up the caller's slot at an empty queue. Returns `false` if it is the only one: then
    /// the caller keeps it.
    pub fn try_park(&self) -> bool {
        let mut state = self.state();
        let others = state.slots > 1;
        if others {
            state.slots -= 1;
        }
        others
    }

    /// Ends the work: [`WorkerPool::wait_for_slot`] returns `false` from now on.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.woken.notify_all();
        self.watchdog_woken.notify_all();
    }

    fn wake(&self, state: &mut State) {
        if state.parked > 0 {
            // The watchdog is woken only when it is the last one.
            let last = state.has_watchdog && state.parked == 1;
            let parked = if last { &self.watchdog_woken } else { &self.woken };
            state.parked -= 1;
            state.slots += 1;
            state.wakes += 1;
            parked.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread::{self, JoinHandle};
    use std::time::{Duration, Instant};

    use super::*;

    /// A pool whose only slot this thread has.
    fn pool() -> Arc<WorkerPool> {
        let pool = Arc::new(WorkerPool::default());
        assert!(pool.wait_for_slot());
        pool
    }

    /// Another thread that waits for a slot.
    fn worker(pool: &Arc<WorkerPool>) -> JoinHandle<bool> {
        let pool = pool.clone();
        thread::spawn(move || pool.wait_for_slot())
    }

    fn await_parked(pool: &WorkerPool) {
        while pool.state().parked == 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn the_queue_is_never_left_unattended_while_a_thread_is_parked() {
        let pool = pool();
        let (arrived, arrivals) = mpsc::channel();
        let other = thread::spawn({
            let pool = pool.clone();
            move || arrived.send(pool.wait_for_slot()).unwrap()
        });
        pool.sleep_at_queue(|| {
            let early = arrivals.recv_timeout(Duration::from_millis(50));
            assert!(early.is_err(), "one is enough");
        });
        pool.release_slot();
        assert_eq!(arrivals.recv_timeout(Duration::from_secs(5)), Ok(true));
        other.join().unwrap();
        assert!(!pool.try_park(), "the only one at the queue stays");
    }

    #[test]
    fn the_watchdog_takes_over_when_no_thread_comes_back() {
        let pool = pool();
        let watchdog = worker(&pool);
        assert!(watchdog.join().unwrap(), "this thread serves one request for ever");
        assert!(pool.try_park());
    }

    #[test]
    fn the_watchdog_leaves_a_busy_and_an_idle_queue_alone() {
        let pool = pool();
        let (arrived, arrivals) = mpsc::channel();
        let watchdog = thread::spawn({
            let pool = pool.clone();
            move || arrived.send(pool.wait_for_slot())
        });
        let start = Instant::now();
        while start.elapsed() < 4 * WATCH_EVERY {
            pool.note_return();
            thread::sleep(Duration::from_millis(1));
        }
        pool.sleep_at_queue(|| thread::sleep(4 * WATCH_EVERY));
        assert!(arrivals.try_recv().is_err(), "it was not needed");
        pool.stop();
        assert_eq!(arrivals.recv(), Ok(false));
        watchdog.join().unwrap().unwrap();
    }

    #[test]
    fn after_a_long_quiet_there_is_a_watchdog_again_once_a_request_comes() {
        let pool = pool();
        pool.state().quiet = true;
        let watchdog = worker(&pool);
        await_parked(&pool);
        assert!(!pool.state().has_watchdog);
        pool.sleep_at_queue(|| ());
        assert!(watchdog.join().unwrap(), "it takes over from a thread that never comes back");
    }

    #[test]
    fn parked_threads_end_when_the_pool_is_stopped() {
        let pool = pool();
        let other = worker(&pool);
        pool.stop();
        assert!(!other.join().unwrap());
        assert!(!pool.wait_for_slot());
    }

    #[test]
    fn another_thread_comes_when_woken_and_goes_when_the_queue_is_empty() {
        let pool = pool();
        let other = worker(&pool);
        await_parked(&pool);
        pool.wake_one();
        assert!(other.join().unwrap());
        assert!(pool.try_park());
        assert!(!pool.try_park());
    }
}
