//! Threads that share one stack of tasks, where a task may add more.
//!
//! The newest task is taken first, so that a walk goes deep before it goes wide and few directories
//! wait at a time. The first error stops all of them.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::throttle::give_way;
use crate::protocol::Result;

/// Where a running task puts further tasks.
pub struct Stack<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    tasks: Vec<T>,
    running: usize,
    stopped: bool,
}

impl<T> Stack<T> {
    /// Adds a task.
    pub fn push(&self, task: T) {
        self.lock().tasks.push(task);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task; `None` once nothing is left and no thread runs a task that could add more.
    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.running += 1;
                return Some(task);
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, stop: bool) {
        let mut state = self.lock();
        state.running -= 1;
        state.stopped |= stop;
        drop(state);
        self.changed.notify_all();
    }
}

/// Works from `first` until nothing is left, on as many threads as there are cores.
pub fn work<T: Send>(first: T, step: impl Fn(T, &Stack<T>) -> Result<()> + Sync) -> Result<()> {
    let stack = Stack {
        state: Mutex::new(State { tasks: vec![first], running: 0, stopped: false }),
        changed: Condvar::new(),
    };
    let worker = || -> Result<()> {
        give_way();
        while let Some(task) = stack.take() {
            let done = Finish(&stack);
            let result = step(task, &stack);
            done.with(result.is_err());
            result?;
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        // Where the system has no threads to give, fewer do it: this one alone, if need be.
        let start = |_| thread::Builder::new().spawn_scoped(scope, worker).ok();
        let workers: Vec<_> = (0..threads).map_while(start).collect();
        let mut results = Vec::new();
        if workers.is_empty() {
            results.push(Ok(worker()));
        }
        results.extend(workers.into_iter().map(|worker| worker.join()));
        results.into_iter().try_for_each(|result| match result {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Stops the other threads when a task panics.
struct Finish<'a, T>(&'a Stack<T>);

impl<T> Finish<'_, T> {
    fn with(self, stop: bool) {
        self.0.finish(stop);
        std::mem::forget(self);
    }
}

impl<T> Drop for Finish<'_, T> {
    fn drop(&mut self) {
        self.0.finish(true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::protocol::{Code, Error};

    #[test]
    fn tasks_that_tasks_add_are_all_done() {
        let done = AtomicU64::new(0);
        work(10u32, |depth, stack| {
            done.fetch_add(1, Ordering::Relaxed);
            if depth > 0 {
                stack.push(depth - 1);
                stack.push(depth - 1);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(done.into_inner(), (1 << 11) - 1);
    }

    #[test]
    fn the_first_error_ends_the_work() {
        let error = work(0u32, |n, stack| {
            if n == 1000 {
                return Err(Error::new(Code::Io, "thousand"));
            }
            stack.push(n + 1);
            Ok(())
        })
        .unwrap_err();
        assert_eq!(error.message, "thousand");
    }
}
