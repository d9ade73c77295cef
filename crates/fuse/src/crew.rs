//! Threads that serve one queue: as few as possible wait at it, none of the others is disturbed.
//!
//! Waking a thread on another processor costs more than serving most requests (20 to 60 µs against
//! less than 10), so a request should find a thread awake. One thread is *at the queue*: it takes a
//! request, serves it, and looks for the next. Before a request that may take long it steps away,
//! and if nobody else is at the queue wakes a thread that rests. When requests pile up, those at the
//! queue wake another; whoever finds the queue empty while another is there goes to rest.
//!
//! A request that should be short may still wait, for a checkpoint or for memory to be written out. So
//! while there is work one of those that rest, the *deputy*, looks up every other millisecond, and takes
//! a place at the queue when nobody came back to it meanwhile. It goes on for a while after the last
//! request: waking it for each request anew would cost more than serving most of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How often the deputy looks up. Tests give a busy machine more time, since it may let a thread wait
/// for longer than the work of this one takes.
const WATCH: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 2 });

/// How often the deputy finds nothing asked before it rests like the others.
const QUIET_LOOKS: u32 = 250;

/// Who is where. A thread that neither rests nor is at the queue serves a long request.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    posts: Mutex<Posts>,
    called: Condvar,
    /// Wakes the deputy.
    watch: Condvar,
    /// How often somebody came back to the queue, from a request or from sleep.
    returns: AtomicU64,
}

#[derive(Debug, Default)]
struct Posts {
    /// Threads at the queue, counting those that were called and are on their way.
    at_queue: usize,
    /// Threads that rest, not counting those that were called.
    resting: usize,
    /// Calls that no thread has answered yet.
    calls: usize,
    /// Whoever is at the queue sleeps, since nothing is asked.
    idle: bool,
    /// One of those that rest watches the others.
    deputy: bool,
    /// Nothing has been asked for so long that nobody watches.
    quiet: bool,
    stopped: bool,
}

/// Why the deputy stops watching.
#[derive(Debug)]
enum Seen {
    /// Somebody is called, or all are sent home.
    Called,
    /// Nobody came back to the queue, where something is asked.
    Stuck,
    /// Nothing was asked for long.
    Quiet,
}

impl Crew {
    /// Goes to the queue when it is unattended, otherwise rests until called there.
    /// `false`: the work has ended.
    pub fn report_for_duty(&self) -> bool {
        let mut posts = self.posts();
        if posts.at_queue == 0 {
            posts.at_queue = 1;
            return !posts.stopped;
        }
        posts.resting += 1;
        loop {
            if posts.stopped {
                return false;
            }
            if posts.calls > 0 {
                posts.calls -= 1;
                return true;
            }
            if posts.deputy || posts.quiet {
                posts = self.called.wait(posts).unwrap_or_else(|poison| poison.into_inner());
                continue;
            }
            posts.deputy = true;
            let seen;
            (posts, seen) = self.keep_watch(posts);
            posts.deputy = false;
            match seen {
                Seen::Quiet => posts.quiet = true,
                Seen::Called => self.called.notify_one(),
                Seen::Stuck => {
                    posts.resting -= 1;
                    posts.at_queue += 1;
                    self.called.notify_one();
                    return true;
                }
            }
        }
    }

    /// Watches as the deputy until there is something else to do.
    fn keep_watch<'a>(&'a self, mut posts: MutexGuard<'a, Posts>) -> (MutexGuard<'a, Posts>, Seen) {
        let mut quiet_looks = 0;
        loop {
            let returns = self.returns.load(Ordering::Relaxed);
            let timeout;
            (posts, timeout) =
                self.watch.wait_timeout(posts, WATCH).unwrap_or_else(|poison| poison.into_inner());
            if posts.stopped || posts.calls > 0 {
                return (posts, Seen::Called);
            }
            if !timeout.timed_out() || self.returns.load(Ordering::Relaxed) != returns {
                quiet_looks = 0;
            } else if !posts.idle {
                return (posts, Seen::Stuck);
            } else if quiet_looks == QUIET_LOOKS {
                return (posts, Seen::Quiet);
            } else {
                quiet_looks += 1;
            }
        }
    }

    /// Says that somebody at the queue served a request and is back.
    pub fn back_at_queue(&self) {
        self.returns.fetch_add(1, Ordering::Relaxed);
    }

    /// Sleeps at the queue by `sleep`, during which nobody needs to watch.
    pub fn sleep_at_queue<T>(&self, sleep: impl FnOnce() -> T) -> T {
        self.posts().idle = true;
        let slept = sleep();
        let mut posts = self.posts();
        posts.idle = false;
        self.back_at_queue();
        if std::mem::take(&mut posts.quiet) {
            self.called.notify_one();
        }
        slept
    }

    /// Leaves the queue for a long request.
    pub fn step_away(&self) {
        let mut posts = self.posts();
        posts.at_queue -= 1;
        if posts.at_queue == 0 {
            self.call(&mut posts);
        }
    }

    /// Another request waited already when the last was served: one more may be of use.
    pub fn call_for_help(&self) {
        self.call(&mut self.posts());
    }

    /// The queue is empty: `true` if somebody else stays, and the caller may leave it.
    pub fn leave_to_others(&self) -> bool {
        let mut posts = self.posts();
        let others = posts.at_queue > 1;
        if others {
            posts.at_queue -= 1;
        }
        others
    }

    /// Ends the work: nobody rests or reports any more.
    pub fn stop(&self) {
        self.posts().stopped = true;
        self.called.notify_all();
        self.watch.notify_all();
    }

    fn call(&self, posts: &mut Posts) {
        if posts.resting > 0 {
            // The deputy goes only when nobody else can.
            let rest = if posts.deputy && posts.resting == 1 { &self.watch } else { &self.called };
            posts.resting -= 1;
            posts.at_queue += 1;
            posts.calls += 1;
            rest.notify_one();
        }
    }

    fn posts(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_queue_is_never_left_unattended_while_somebody_rests() {
        let crew = Arc::new(Crew::default());
        assert!(crew.report_for_duty());
        let (arrived, arrivals) = mpsc::channel();
        let other = thread::spawn({
            let crew = crew.clone();
            move || {
                arrived.send(crew.report_for_duty()).unwrap();
            }
        });
        crew.sleep_at_queue(|| {
            let early = arrivals.recv_timeout(Duration::from_millis(50));
            assert!(early.is_err(), "one is enough");
        });
        crew.step_away();
        assert_eq!(arrivals.recv_timeout(Duration::from_secs(5)), Ok(true));
        other.join().unwrap();
        assert!(!crew.leave_to_others(), "the only one at the queue stays");
    }

    #[test]
    fn the_deputy_takes_over_when_nobody_comes_back() {
        let crew = Arc::new(Crew::default());
        assert!(crew.report_for_duty());
        let deputy = thread::spawn({
            let crew = crew.clone();
            move || crew.report_for_duty()
        });
        assert!(deputy.join().unwrap(), "this thread serves one request for ever");
        assert!(crew.leave_to_others());
    }

    #[test]
    fn the_deputy_leaves_a_busy_and_an_idle_queue_alone() {
        let crew = Arc::new(Crew::default());
        assert!(crew.report_for_duty());
        let (arrived, arrivals) = mpsc::channel();
        let deputy = thread::spawn({
            let crew = crew.clone();
            move || arrived.send(crew.report_for_duty())
        });
        let start = Instant::now();
        while start.elapsed() < 4 * WATCH {
            crew.back_at_queue();
            thread::sleep(Duration::from_millis(1));
        }
        crew.sleep_at_queue(|| thread::sleep(4 * WATCH));
        assert!(arrivals.try_recv().is_err(), "it was not needed");
        crew.stop();
        assert_eq!(arrivals.recv(), Ok(false));
        deputy.join().unwrap().unwrap();
    }

    #[test]
    fn after_a_long_quiet_somebody_watches_again_once_something_is_asked() {
        let crew = Arc::new(Crew::default());
        assert!(crew.report_for_duty());
        crew.posts().quiet = true;
        let deputy = thread::spawn({
            let crew = crew.clone();
            move || crew.report_for_duty()
        });
        while crew.posts().resting == 0 {
            thread::yield_now();
        }
        assert!(!crew.posts().deputy, "nobody watches");
        crew.sleep_at_queue(|| ());
        assert!(deputy.join().unwrap(), "it takes over from a thread that never comes back");
    }

    #[test]
    fn whoever_rests_is_sent_home_at_the_end() {
        let crew = Arc::new(Crew::default());
        assert!(crew.report_for_duty());
        let other = thread::spawn({
            let crew = crew.clone();
            move || crew.report_for_duty()
        });
        crew.stop();
        assert!(!other.join().unwrap());
        assert!(!crew.report_for_duty());
    }

    #[test]
    fn help_comes_when_called_and_goes_when_the_queue_is_empty() {
        let crew = Arc::new(Crew::default());
        assert!(crew.report_for_duty());
        let helper = thread::spawn({
            let crew = crew.clone();
            move || crew.report_for_duty()
        });
        while crew.posts().resting == 0 {
            thread::yield_now();
        }
        crew.call_for_help();
        assert!(helper.join().unwrap());
        assert!(crew.leave_to_others());
        assert!(!crew.leave_to_others());
    }
}
