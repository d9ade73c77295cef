//! Names by which a process proves that it sees this mount and not another.
//!
//! A *visitor* is a process that opens and closes the files of a mount, see `kernel_cache`. It is
//! given a name that only it and the server know, and looks it up in the mounted root.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};

use crate::lock::lock;

/// The most visitors that are expected at a time; those that never came make room for later ones.
const VISITORS_MAX: usize = 64;

/// The names that are expected to be looked up in the root of a mount.
#[derive(Debug, Default)]
pub(crate) struct Visitors(Mutex<VecDeque<Visitor>>);

#[derive(Debug)]
struct Visitor {
    name: String,
    came: bool,
}

impl Visitors {
    /// A new name to be looked up.
    pub fn expect(&self) -> String {
        let name = format!(".tine-visitor-{:016x}", RandomState::new().hash_one(0));
        let mut visitors = self.visitors();
        visitors.truncate(VISITORS_MAX - 1);
        visitors.push_front(Visitor { name: name.clone(), came: false });
        name
    }

    /// Notes that a name was looked up. Returns `true` if it is a visitor's.
    pub fn meet(&self, name: &[u8]) -> bool {
        let mut visitors = self.visitors();
        let visitor = visitors.iter_mut().find(|visitor| visitor.name.as_bytes() == name);
        visitor.map(|visitor| visitor.came = true).is_some()
    }

    /// Ends the wait for a visitor. Returns `true` if it came.
    pub fn came(&self, name: &str) -> bool {
        let mut visitors = self.visitors();
        let place = visitors.iter().position(|visitor| visitor.name == name);
        place.and_then(|place| visitors.remove(place)).is_some_and(|visitor| visitor.came)
    }

    fn visitors(&self) -> MutexGuard<'_, VecDeque<Visitor>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_visitor_that_was_expected_and_looked_up_has_come() {
        let visitors = Visitors::default();
        let (first, second) = (visitors.expect(), visitors.expect());
        assert!(!visitors.meet(b"file"));
        assert!(visitors.meet(second.as_bytes()));
        assert!(!visitors.came(&first));
        assert!(visitors.came(&second));
        assert!(!visitors.came(&second), "it has gone");
        assert!(!visitors.came("file"));
    }

    #[test]
    fn visitors_that_never_come_are_forgotten() {
        let visitors = Visitors::default();
        let first = visitors.expect();
        (0..VISITORS_MAX).for_each(|_| drop(visitors.expect()));
        assert!(!visitors.meet(first.as_bytes()));
        assert_eq!(visitors.visitors().len(), VISITORS_MAX);
    }
}
