//! The tree of branches, drawn: a branch stands under the one it was made from.

use std::collections::BTreeMap;

use tine_service::protocol::branches::{BranchKind, BranchRow};

use crate::amount::{count, size};

/// One line per branch, children after their parent, with a line of headings.
pub fn draw(rows: &[BranchRow]) -> Vec<String> {
    let mut children: BTreeMap<Option<&str>, Vec<&BranchRow>> = BTreeMap::new();
    let names: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row.name.as_str()).collect();
    for row in rows {
        let parent = row.parent.as_deref().filter(|parent| names.contains(parent));
        children.entry(parent).or_default().push(row);
    }
    let mut lines = vec![heading()];
    // Roots first in the stack's end; each entry knows the stem that its own children hang on.
    let mut stack: Vec<(&BranchRow, String, String)> = Vec::new();
    push(&mut stack, children.get(&None), "", true);
    while let Some((row, label, stem)) = stack.pop() {
        lines.push([vec![label], columns(row)].concat());
        push(&mut stack, children.get(&Some(row.name.as_str())), &stem, false);
    }
    let mut lines = align(lines);
    let uncounted = rows.iter().filter(|row| row.exclusive_bytes.is_none()).count();
    if uncounted > 0 {
        lines.push(format!(
            "? was not counted, for {}: `tine usage NAME` does",
            count(uncounted as u64, "branch", "branches")
        ));
    }
    lines
}

fn push<'a>(
    stack: &mut Vec<(&'a BranchRow, String, String)>,
    rows: Option<&Vec<&'a BranchRow>>,
    stem: &str,
    roots: bool,
) {
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    for (index, row) in rows.iter().enumerate().rev() {
        let last = index + 1 == rows.len();
        let (tee, below) = match (roots, last) {
            (true, _) => ("", ""),
            (false, true) => ("└─ ", "   "),
            (false, false) => ("├─ ", "│  "),
        };
        stack.push((row, format!("{stem}{tee}{}", row.name), format!("{stem}{below}")));
    }
}

fn heading() -> Vec<String> {
    ["BRANCH", "SIZE", "OWN", "SHARED", "CREATED", ""].map(str::to_owned).to_vec()
}

fn columns(row: &BranchRow) -> Vec<String> {
    let (own, percent) = match row.exclusive_bytes {
        None => ("?".into(), "?".into()),
        Some(own) => (size(own), shared(row.referenced_bytes, own)),
    };
    let mut notes = Vec::new();
    if row.kind == BranchKind::Snapshot {
        notes.push("snapshot".to_owned());
    }
    if let Some(directory) = &row.mounted_at {
        notes.push(format!("mounted at {}", directory.display()));
    }
    if let (Some(directory), Some(kept_by)) = (&row.taken_off, &row.kept_by) {
        notes.push(format!("off {}, but still in use: {kept_by}", directory.display()));
    }
    if let Some(time) = &row.expires {
        notes.push(format!("expires {}", minute(time)));
    }
    vec![size(row.referenced_bytes), own, percent, minute(&row.created), notes.join(", ")]
}

/// How much of a branch others reach too.
fn shared(all: u64, own: u64) -> String {
    match all {
        0 => "-".into(),
        all => format!("{:.0} %", all.saturating_sub(own) as f64 * 100.0 / all as f64),
    }
}

/// `2026-01-31T12:00:00.000000Z` to the minute.
pub fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

/// The first and the last two columns stand left, the numbers right.
fn align(lines: Vec<Vec<String>>) -> Vec<String> {
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let cell = |(column, text): (usize, &String)| {
        let pad = " ".repeat(widths[column] - text.chars().count());
        match column {
            1..=3 => format!("{pad}{text}"),
            _ => format!("{text}{pad}"),
        }
    };
    let join = |line: &Vec<String>| {
        let cells: Vec<String> = line.iter().enumerate().map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, parent: Option<&str>) -> BranchRow {
        BranchRow {
            name: name.into(),
            parent: parent.map(str::to_owned),
            kind: BranchKind::Branch,
            created: "2026-01-31T12:00:00.000000Z".into(),
            expires: None,
            referenced_bytes: 1000,
            exclusive_bytes: Some(10),
            mounted_at: None,
            taken_off: None,
            kept_by: None,
        }
    }

    #[test]
    fn children_hang_under_their_parents() {
        let rows = [
            row("a", Some("main")),
            row("a1", Some("a")),
            row("b", Some("main")),
            row("main", None),
            row("orphan", Some("gone")),
        ];
        let lines = draw(&rows);
        let starts: Vec<&str> =
            lines.iter().map(|line| line.split("  1.0").next().unwrap_or("").trim_end()).collect();
        assert_eq!(starts[1..], ["main", "├─ a", "│  └─ a1", "└─ b", "orphan"]);
        assert!(lines[1].ends_with("1.0 kB  10 B    99 %  2026-01-31 12:00"), "{}", lines[1]);
    }

    #[test]
    fn what_was_not_counted_is_said() {
        let rows = [row("a", None), BranchRow { exclusive_bytes: None, ..row("b", None) }];
        let lines = draw(&rows);
        assert!(lines[2].ends_with("1.0 kB     ?       ?  2026-01-31 12:00"), "{}", lines[2]);
        assert_eq!(lines[3], "? was not counted, for 1 branch: `tine usage NAME` does");
        assert_eq!(draw(&rows[..1]).len(), 2);
    }

    #[test]
    fn a_chain_of_ten_thousand_branches_is_drawn() {
        let name = |n: u32| format!("b{n}");
        let rows: Vec<BranchRow> =
            (0..10_000).map(|n| row(&name(n), n.checked_sub(1).map(name).as_deref())).collect();
        assert_eq!(draw(&rows).len(), 10_001);
    }
}
