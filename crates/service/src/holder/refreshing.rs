//! Refreshes that several commands ask for at once.
//!
//! A refresh that began before a command asked may have missed what changed meanwhile. So a command
//! that comes while one goes on waits for the next, and all that wait share that.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::protocol::imports::Refreshed;
use crate::protocol::{Code, Result};

/// The refreshes of all imports of a store.
#[derive(Default)]
pub struct Refreshing {
    imports: Mutex<HashMap<String, Rounds>>,
    changed: Condvar,
}

/// The refreshes of one import.
#[derive(Default)]
struct Rounds {
    begun: u64,
    goes_on: bool,
    /// Commands that wait for a round.
    waiting: usize,
    /// The last one that was finished, and what came of it.
    last: Option<(u64, Result<Refreshed>)>,
}

impl Refreshing {
    /// What a refresh of `import` gives that began after this call. `refresh` is called unless
    /// another command does it meanwhile.
    ///
    /// # Errors
    /// Those of the refresh, whoever did it; that another command was interrupted is none.
    pub fn share(
        &self,
        import: &str,
        refresh: impl FnOnce() -> Result<Refreshed>,
    ) -> Result<Refreshed> {
        let mut imports = self.lock();
        let rounds = imports.entry(import.to_owned()).or_default();
        let wanted = rounds.begun + 1;
        rounds.waiting += 1;
        loop {
            let rounds = imports.entry(import.to_owned()).or_default();
            if let Some((round, result)) = &rounds.last
                && *round >= wanted
                && !result.as_ref().is_err_and(|error| error.code == Code::Interrupted)
            {
                let result = result.clone();
                Self::leave(&mut imports, import);
                return result;
            }
            if !rounds.goes_on {
                break;
            }
            imports = self.changed.wait(imports).unwrap_or_else(PoisonError::into_inner);
        }
        let rounds = imports.entry(import.to_owned()).or_default();
        rounds.begun += 1;
        rounds.goes_on = true;
        let round = rounds.begun;
        drop(imports);
        let ends = Ends { of: self, import };
        let result = refresh();
        let mut imports = self.lock();
        if let Some(rounds) = imports.get_mut(import) {
            rounds.last = Some((round, result.clone()));
        }
        drop(imports);
        drop(ends);
        result
    }

    /// One command fewer; the last one leaves nothing behind.
    fn leave(imports: &mut HashMap<String, Rounds>, import: &str) {
        if let Some(rounds) = imports.get_mut(import) {
            rounds.waiting -= 1;
            if rounds.waiting == 0 {
                imports.remove(import);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Rounds>> {
        self.imports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a round when it is dropped, also by a panic.
struct Ends<'a> {
    of: &'a Refreshing,
    import: &'a str,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let mut imports = self.of.lock();
        if let Some(rounds) = imports.get_mut(self.import) {
            rounds.goes_on = false;
        }
        Refreshing::leave(&mut imports, self.import);
        self.of.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::protocol::Error;

    fn refreshed(read: u64) -> Refreshed {
        Refreshed { read, ..Refreshed::default() }
    }

    #[test]
    fn those_that_come_while_one_goes_on_share_the_next() {
        let (refreshing, count) = (Refreshing::default(), AtomicU64::new(0));
        let (begins, begun) = channel();
        let (release, released) = channel::<()>();
        std::thread::scope(|scope| {
            let (refreshing, count) = (&refreshing, &count);
            let first = scope.spawn(move || {
                refreshing.share("a", || {
                    begins.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(refreshed(count.fetch_add(1, Ordering::SeqCst)))
                })
            });
            begun.recv().unwrap();
            let later = move || {
                let next = || Ok(refreshed(count.fetch_add(1, Ordering::SeqCst)));
                refreshing.share("a", next).unwrap().read
            };
            let others: Vec<_> = (0..4).map(|_| scope.spawn(later)).collect();
            while refreshing.lock()["a"].waiting < 5 {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Another import waits for none of this.
            assert_eq!(refreshing.share("b", || Ok(refreshed(9))).unwrap().read, 9);
            release.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap().read, 0);
            for other in others {
                assert_eq!(other.join().unwrap(), 1, "one refresh for all that waited");
            }
        });
        assert!(refreshing.lock().is_empty());
    }

    #[test]
    fn that_another_was_interrupted_is_no_answer() {
        let refreshing = Refreshing::default();
        let stopped = || Err(Error::new(Code::Interrupted, "stopped"));
        assert!(refreshing.share("a", stopped).is_err());
        assert_eq!(refreshing.share("a", || Ok(refreshed(3))).unwrap().read, 3);
        assert!(refreshing.lock().is_empty());
    }
}
