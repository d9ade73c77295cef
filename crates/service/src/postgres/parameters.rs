//! What a fork's server does with each parameter of PostgreSQL: the table `parameters.txt`, read.

/// The table; its head says what the classes mean.
const TABLE: &str = include_str!("parameters.txt");

/// What becomes of a parameter's value in a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The branch's own value counts.
    Kept,
    /// This value wins over all files.
    Forced(&'static str),
    /// A value made for each start wins over all files.
    Own,
    /// Nothing reads it in a fork.
    Unused,
    /// It names code that the server loads.
    Code,
    /// It cannot be set.
    Fixed,
}

struct Row {
    name: &'static str,
    first: u32,
    /// The last version that has it; `None` where the newest of the table does.
    last: Option<u32>,
    class: Class,
}

impl Row {
    fn is_of(&self, version: u32) -> bool {
        version >= self.first && self.last.is_none_or(|last| version <= last)
    }
}

/// The newest version whose catalogue the table was held against.
pub(super) const NEWEST_KNOWN: u32 = 18;

/// What becomes of the parameter `name`; `None` if no version has it. Names of extensions have a
/// dot and are not in the table.
pub(super) fn class_of(name: &str) -> Option<Class> {
    rows().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.class)
}

/// The settings with which a fork's server of this version is kept to itself, by their table's
/// values.
pub(super) fn forced(version: u32) -> impl Iterator<Item = (&'static str, &'static str)> {
    rows().filter(move |row| row.is_of(version)).filter_map(|row| match row.class {
        Class::Forced(value) => Some((row.name, value)),
        _ => None,
    })
}

/// The parameters that each start makes a value for.
#[cfg(test)]
pub(super) fn own() -> impl Iterator<Item = &'static str> {
    rows().filter(|row| row.class == Class::Own).map(|row| row.name)
}

fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().filter_map(row)
}

/// `None` for a comment; a test reads every other line.
fn row(line: &'static str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|name| !name.starts_with('#'))?;
    let (first, last) = words.next()?.split_once('-')?;
    let class = match words.next()? {
        "kept" => Class::Kept,
        "forced" => Class::Forced(words.next().unwrap_or_default()),
        "own" => Class::Own,
        "unused" => Class::Unused,
        "code" => Class::Code,
        "fixed" => Class::Fixed,
        _ => return None,
    };
    Some(Row { name, first: first.parse().ok()?, last: last.parse().ok(), class })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read_and_no_name_stands_twice() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut names: Vec<&str> = rows().map(|row| row.name).collect();
        assert_eq!(names.len(), lines.count());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows().count());
        assert!(rows().all(|row| row.last.is_none_or(|last| last >= row.first)));
    }

    #[test]
    fn only_what_a_version_has_is_forced_on_it() {
        let forced_on = |version: u32| forced(version).map(|(name, _)| name).collect::<Vec<_>>();
        assert!(forced_on(14).contains(&"stats_temp_directory"));
        assert!(!forced_on(15).contains(&"stats_temp_directory"));
        assert!(!forced_on(16).contains(&"synchronized_standby_slots"));
        assert!(forced_on(17).contains(&"synchronized_standby_slots"));
        assert!((12..=18).all(|version| forced_on(version).contains(&"synchronous_standby_names")));
    }
}
