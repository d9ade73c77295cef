//! The budget of mappings. A process may have `vm.max_map_count` of them, and exceeding that fails
//! in places that cannot recover. So they are counted here, and refused early by name.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// The kernel's default of `vm.max_map_count`, where it cannot be read.
const MAPPINGS_MAX_DEFAULT: usize = 65_530;

static USED: AtomicUsize = AtomicUsize::new(0);
static LIMIT: OnceLock<usize> = OnceLock::new();

/// Mappings taken from the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket(usize);

impl Ticket {
    /// Takes `needed` mappings from the budget.
    pub fn take(needed: usize) -> Result<Self> {
        let limit = limit();
        let taken = USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(needed).filter(|sum| *sum <= limit)
        });
        match taken {
            Ok(_) => Ok(Self(needed)),
            Err(used) => Err(Error::VmaBudget { needed, used, limit }),
        }
    }

    /// Takes over what another ticket holds.
    pub fn join(&mut self, mut other: Self) {
        self.0 += std::mem::take(&mut other.0);
    }

    /// Mappings held.
    pub fn held(&self) -> usize {
        self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        USED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Mappings held by this crate in this process.
pub(crate) fn in_use() -> usize {
    USED.load(Ordering::Relaxed)
}

/// What the kernel allows, less what the program had at the first call, less an eighth for what the
/// program will map itself.
fn limit() -> usize {
    *LIMIT.get_or_init(|| {
        let kernel = fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(MAPPINGS_MAX_DEFAULT);
        let others = fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
        (kernel - kernel / 8).saturating_sub(others)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_past_the_budget_is_refused_by_name() {
        let ticket = Ticket::take(3).unwrap();
        assert_eq!(ticket.held(), 3);
        let refused = Ticket::take(usize::MAX / 2).unwrap_err();
        assert!(matches!(refused, Error::VmaBudget { .. }), "{refused}");
    }
}
