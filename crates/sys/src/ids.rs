//! Translating user and group numbers between a user namespace and the outside.
//!
//! In a user namespace (`unshare -r`, a container without root) a process sees the numbers of the
//! namespace: the user that made it may be 0 inside and 1000 outside. What is stored for longer
//! than the namespace lives is stored with the outside number, as in a file system.

use std::fs;

/// All numbers, as the kernel's table shows them without a namespace.
const ALL: Range = Range { inside: 0, outside: 0, count: u32::MAX };

/// Consecutive numbers inside of a namespace, and the consecutive numbers outside to which they
/// map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first number inside.
    pub inside: u32,
    /// The number outside to which it maps.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Maps the users or the groups of a namespace to their numbers outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids(Vec<Range>);

/// Maps users and groups of a namespace to their numbers outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// The map of users.
    pub users: Ids,
    /// The map of groups.
    pub groups: Ids,
}

impl Default for Ids {
    /// The map without a namespace: each number maps to itself.
    fn default() -> Ids {
        Ids(vec![ALL])
    }
}

impl IdMap {
    /// The map of this process's namespace. Without `/proc`, or user namespaces, each number maps
    /// to itself.
    pub fn of_this_process() -> IdMap {
        let read = |path: &str| Ids::parse(&fs::read_to_string(path).ok()?);
        IdMap {
            users: read("/proc/self/uid_map").unwrap_or_default(),
            groups: read("/proc/self/gid_map").unwrap_or_default(),
        }
    }

    /// If this maps a namespace into another, and `outer` maps that one to the outside: the map of
    /// both together.
    pub fn within(&self, outer: &IdMap) -> IdMap {
        IdMap { users: self.users.within(&outer.users), groups: self.groups.within(&outer.groups) }
    }
}

impl Ids {
    /// Makes a map of ranges, which must not overlap.
    pub fn of(ranges: Vec<Range>) -> Ids {
        Ids(ranges)
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    fn parse(table: &str) -> Option<Ids> {
        let range = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(Range { inside: next()?, outside: next()?, count: next()? })
        };
        table.lines().map(range).collect::<Option<_>>().map(Ids)
    }

    /// Returns `true` if each number maps to itself.
    pub fn are_same(&self) -> bool {
        self.0 == [ALL]
    }

    /// The number outside of a number of the namespace.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.find(|range| inside.checked_sub(range.inside), |range| range.outside)
    }

    /// The number in the namespace of a number outside, if it has one.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        self.find(|range| outside.checked_sub(range.outside), |range| range.inside)
    }

    /// The only number of the namespace, if it has only one.
    pub fn only(&self) -> Option<u32> {
        match self.0[..] {
            [Range { inside, count: 1, .. }] => Some(inside),
            _ => None,
        }
    }

    fn find(
        &self,
        offset: impl Fn(&Range) -> Option<u32>,
        start: fn(&Range) -> u32,
    ) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = offset(range).filter(|offset| *offset < range.count)?;
            start(range).checked_add(offset)
        })
    }

    fn within(&self, outer: &Ids) -> Ids {
        if outer.are_same() {
            return self.clone();
        }
        // One range may map to several pieces further outside.
        let mut pieces = Vec::new();
        for inner in &self.0 {
            for outer in &outer.0 {
                let first = inner.outside.max(outer.inside);
                let end = |start: u32, count: u32| u64::from(start) + u64::from(count);
                let last = end(inner.outside, inner.count).min(end(outer.inside, outer.count));
                if let Some(count) = last.checked_sub(first.into()).filter(|count| *count > 0) {
                    pieces.push(Range {
                        inside: inner.inside + (first - inner.outside),
                        outside: outer.outside + (first - outer.inside),
                        count: count as u32,
                    });
                }
            }
        }
        Ids(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_cross_the_border_both_ways_or_not_at_all() {
        let ids = Ids::parse("         0       1000          1\n 1 100000 65536\n").unwrap();
        assert_eq!((ids.outside(0), ids.inside(1000)), (Some(1000), Some(0)));
        assert_eq!((ids.outside(5), ids.inside(100_004)), (Some(100_004), Some(5)));
        assert_eq!((ids.outside(70_000), ids.inside(0), ids.inside(165_536)), (None, None, None));
        assert_eq!(ids.only(), None);
        assert_eq!(Ids::parse("0 1000 1\n").unwrap().only(), Some(0));
        assert_eq!(Ids::parse("0 x 1\n"), None);
    }

    #[test]
    fn without_a_namespace_each_is_called_the_same() {
        let ids = Ids::parse("         0          0 4294967295\n").unwrap();
        assert!(ids.are_same());
        assert_eq!((ids.outside(7), ids.inside(u32::MAX - 1)), (Some(7), Some(u32::MAX - 1)));
        assert_eq!(ids.only(), None);
    }

    #[test]
    fn a_namespace_in_another_is_mapped_to_what_is_outside_of_both() {
        let outer = Ids::parse("0 1000 1\n1 100000 9\n").unwrap();
        let inner = Ids::parse("0 5 1\n1 0 3\n").unwrap().within(&outer);
        assert_eq!(inner.outside(0), Some(100_004));
        assert_eq!(
            (inner.outside(1), inner.outside(2), inner.outside(3)),
            (Some(1000), Some(100_000), Some(100_001))
        );
        assert_eq!(inner.outside(4), None);
        assert_eq!(inner.within(&Ids::default()), inner);
    }
}
