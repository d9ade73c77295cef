//! Two texts compared line by line, and their differences as unified hunks.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// Lines that are shown around a difference.
const CONTEXT: usize = 3;
/// How long the shortest difference of two texts is looked for; after that, one that need not be
/// the shortest is told.
const SEARCH: Duration = Duration::from_secs(1);

/// How many lines only one of two texts has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub added: u64,
    pub removed: u64,
}

/// Appends what leads from one text to the other, in hunks.
pub(super) fn write_hunks(before: &[u8], after: &[u8], out: &mut Vec<u8>) -> Counted {
    let (old, new) = (lines(before), lines(after));
    let mut known = HashMap::new();
    let (old_numbers, new_numbers) = (numbers(&old, &mut known), numbers(&new, &mut known));
    let deadline = Some(Instant::now() + SEARCH);
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old_numbers, &new_numbers, deadline);
    let edits = edits(&ops);
    for hunk in edits.chunk_by(|a, b| b.old.start - a.old.end <= 2 * CONTEXT) {
        write_hunk(hunk, &old, &new, out);
    }
    Counted {
        added: edits.iter().map(|edit| edit.new.len() as u64).sum(),
        removed: edits.iter().map(|edit| edit.old.len() as u64).sum(),
    }
}

/// Lines of one text in the place of lines of another.
struct Edit {
    old: Range<usize>,
    new: Range<usize>,
}

/// What is not equal, in order, with equal lines between any two. Of the operations only the
/// lengths are used: those that were shifted may have places that are not theirs.
fn edits(ops: &[DiffOp]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    let (mut old, mut new) = (0, 0);
    for op in ops {
        let to = (old + op.old_range().len(), new + op.new_range().len());
        if !matches!(op, DiffOp::Equal { .. }) {
            match edits.last_mut().filter(|last| (last.old.end, last.new.end) == (old, new)) {
                Some(last) => (last.old.end, last.new.end) = to,
                None => edits.push(Edit { old: old..to.0, new: new..to.1 }),
            }
        }
        (old, new) = to;
    }
    edits
}

/// A number for each line, the same for lines that are equal.
fn numbers<'a>(lines: &[&'a [u8]], known: &mut HashMap<&'a [u8], usize>) -> Vec<usize> {
    let mut number = |line: &&'a [u8]| {
        let next = known.len();
        *known.entry(line).or_insert(next)
    };
    lines.iter().map(&mut number).collect()
}

/// The lines of a text, each with its end.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

fn write_hunk(hunk: &[Edit], old: &[&[u8]], new: &[&[u8]], out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let before = first.old.start.min(CONTEXT);
    let after = (old.len() - last.old.end).min(CONTEXT);
    let (mut at, end) = (first.old.start - before, last.old.end + after);
    let old_place = place(at..end);
    let new_place = place(first.new.start - before..last.new.end + after);
    out.extend_from_slice(format!("@@ -{old_place} +{new_place} @@\n").as_bytes());
    for Edit { old: gone, new: come } in hunk {
        old[at..gone.start].iter().for_each(|line| write_line(b' ', line, out));
        old[gone.clone()].iter().for_each(|line| write_line(b'-', line, out));
        new[come.clone()].iter().for_each(|line| write_line(b'+', line, out));
        at = gone.end;
    }
    old[at..end].iter().for_each(|line| write_line(b' ', line, out));
}

/// A range of lines, counted from 1; an empty one is named by the line before it.
fn place(lines: Range<usize>) -> String {
    match (lines.start, lines.len()) {
        (start, 0) => format!("{start},0"),
        (start, 1) => format!("{}", start + 1),
        (start, count) => format!("{},{count}", start + 1),
    }
}

fn write_line(mark: u8, line: &[u8], out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.extend_from_slice(b"\n\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunks(before: &str, after: &str) -> String {
        let mut out = Vec::new();
        write_hunks(before.as_bytes(), after.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hunks_have_three_lines_around_them_and_their_places() {
        let before: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("\n5\n", "\nfive\n").replace("20\n", "");
        assert_eq!(
            hunks(&before, &after),
            "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
             @@ -17,4 +17,3 @@\n 17\n 18\n 19\n-20\n"
        );
    }

    #[test]
    fn a_missing_end_of_line_is_said() {
        let end = "\\ No newline at end of file\n";
        assert_eq!(hunks("a", "a\n"), format!("@@ -1 +1 @@\n-a\n{end}+a\n"));
        assert_eq!(hunks("", "a"), format!("@@ -0,0 +1 @@\n+a\n{end}"));
        assert_eq!(hunks("a\n", ""), "@@ -1 +0,0 @@\n-a\n");
        assert_eq!(hunks("a\nb", "c\nb"), format!("@@ -1,2 +1,2 @@\n-a\n+c\n b\n{end}"));
    }

    #[test]
    fn lines_that_only_one_side_has_are_counted() {
        let counted = write_hunks(b"a\nb\nc\n", b"a\nx\ny\nc\n", &mut Vec::new());
        assert_eq!(counted, Counted { added: 2, removed: 1 });
        assert_eq!(write_hunks(b"a\n", b"a\n", &mut Vec::new()), Counted::default());
    }

    #[test]
    fn two_texts_without_a_line_in_common_take_no_minutes() {
        let text = |odd: u64| -> String {
            // Short lines in an order that repeats, so that there is much to be tried.
            (0..400_000u64).map(|n| format!("{}\n", (n * n + odd * n) % 1009)).collect()
        };
        let start = Instant::now();
        let counted = write_hunks(text(1).as_bytes(), text(2).as_bytes(), &mut Vec::new());
        assert!(counted.added > 0 && start.elapsed() < Duration::from_secs(20), "{counted:?}");
    }
}
