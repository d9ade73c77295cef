//! What is given up when there is no room: whatever manages the store may keep some of it only as
//! long as no change needs its space.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};
use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

type GiveWay = Box<dyn Fn(u32) -> bool + Send + Sync>;

/// Asks for room, one thread at a time.
#[derive(Default)]
pub(crate) struct Shortage {
    give_way: OnceLock<GiveWay>,
    asking: Mutex<()>,
    /// How often something was given up.
    given: AtomicU64,
}

thread_local! {
    /// Whether this thread gives up something just now: deleting it is a change as well.
    static IS_GIVING: Cell<bool> = const { Cell::new(false) };
}

impl Shortage {
    /// Sets what is asked, once.
    pub fn set(&self, give_way: GiveWay) {
        // The first one stays.
        let _ = self.give_way.set(give_way);
    }

    /// Returns `true` if this thread may ask.
    pub fn may_ask(&self) -> bool {
        self.give_way.get().is_some() && !IS_GIVING.get()
    }

    /// How often something was given up so far: a change that finds no room after it asked for
    /// this need not ask for more if others did meanwhile.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Acquire)
    }

    /// Has something given up, unless others did since `given` was counted. Returns `true` if there
    /// was something. Called with no lock of the engine held.
    pub fn ask(&self, given: u64, asked: u32) -> bool {
        let Some(give_way) = self.give_way.get() else { return false };
        if !self.may_ask() {
            return false;
        }
        let _asking = lock(&self.asking);
        if self.given() != given {
            return true;
        }
        IS_GIVING.set(true);
        let gave = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| give_way(asked)));
        IS_GIVING.set(false);
        let gave = gave.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if gave {
            self.given.fetch_add(1, Ordering::AcqRel);
        }
        gave
    }
}

impl fmt::Debug for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shortage").field("given", &self.given).finish_non_exhaustive()
    }
}
