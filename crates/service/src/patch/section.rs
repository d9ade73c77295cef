//! The part of a patch that is about one file.

use crate::patch::lines::{Counted, write_hunks};
use crate::patch::quoted::quoted;
use crate::protocol::changes::{Change, ChangeKind, ChangedName, Content, FileKind, Side};

/// Digits of a digest that stand for a file in the line of an index.
const ID: usize = 12;
/// The same of no file.
const NO_ID: &str = "000000000000";

/// What a patch says of one changed name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The bytes; none where a patch has nothing to say.
    pub bytes: Vec<u8>,
    /// Lines that are new and lines that are gone; `None` where lines were not compared.
    pub lines: Option<(u64, u64)>,
    /// What a patch cannot say.
    pub untold: Option<Untold>,
}

/// A change that a patch cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Untold {
    /// Of a directory.
    Directory,
    /// Of a pipe, a socket or a device.
    Special,
    /// Of nothing but attributes.
    Attributes,
}

/// What a patch says of a changed name, whose contents are `before` and `after` where they are
/// text.
pub fn section(changed: &ChangedName, before: &[u8], after: &[u8]) -> Section {
    let untold = |untold| Section { untold: Some(untold), ..Section::default() };
    let has_moved = changed.change.change == ChangeKind::Renamed;
    match changed.change.kind {
        FileKind::Directory => return untold(Untold::Directory),
        FileKind::File | FileKind::Symlink => {}
        _ => return untold(Untold::Special),
    }
    if changed.change.change == ChangeKind::Metadata && modes(changed).is_none() {
        return untold(Untold::Attributes);
    }
    let is_link = changed.change.kind == FileKind::Symlink;
    match (&changed.before, &changed.after) {
        (Some(old), Some(new)) if is_link && before == after && !has_moved => {
            let lines = Some((0, 0));
            Section {
                lines,
                untold: (old.mode != new.mode).then_some(Untold::Attributes),
                ..Section::default()
            }
        }
        // `patch` takes no change of a link, and neither program a name for what it cannot write.
        (Some(old), Some(new)) if is_link || has_moved && is_binary(old) => {
            let side = |before: Option<&Side>, after: Option<&Side>, change: Change| ChangedName {
                before: before.cloned(),
                after: after.cloned(),
                change,
            };
            let gone = one(&side(Some(old), None, changed.change.without_move(false)), before, b"");
            let new = one(&side(None, Some(new), changed.change.without_move(true)), b"", after);
            let lines = gone.lines.zip(new.lines).map(|(gone, new)| (new.0, gone.1));
            Section { bytes: [gone.bytes, new.bytes].concat(), lines, untold: None }
        }
        _ => one(changed, before, after),
    }
}

/// A section about one name, or one that is renamed.
fn one(changed: &ChangedName, before: &[u8], after: &[u8]) -> Section {
    let names = Names::of(changed);
    let sides = [changed.before.as_ref(), changed.after.as_ref()];
    let contents = sides.map(|side| side.map(|side| &side.content));
    // It may have been written with what it had.
    let is_equal = digest(sides[0]).is_some() && contents[0] == contents[1];
    if sides.into_iter().flatten().any(is_binary) && !is_equal {
        return Section { bytes: binary(&names, sides), ..Section::default() };
    }
    let mut rest = Vec::new();
    match sides.map(|side| side.map(mode)) {
        [None, Some(new)] => line(&mut rest, &[b"new file mode ", new]),
        [Some(old), None] => line(&mut rest, &[b"deleted file mode ", old]),
        _ => {
            if let Some([old, new]) = modes(changed) {
                line(&mut rest, &[b"old mode ", old]);
                line(&mut rest, &[b"new mode ", new]);
            }
        }
    }
    if changed.change.change == ChangeKind::Renamed {
        names.write_rename(&mut rest);
    }
    let mut counted = Counted::default();
    if before != after {
        line(&mut rest, &[b"--- ", &names.minus]);
        line(&mut rest, &[b"+++ ", &names.plus]);
        counted = write_hunks(before, after, &mut rest);
    }
    let lines = Some((counted.added, counted.removed));
    let mut bytes = Vec::new();
    if !rest.is_empty() {
        names.write_title(&mut bytes);
        bytes.append(&mut rest);
    }
    Section { bytes, lines, untold: None }
}

/// A section that says how large the sides are. `git apply` knows it by its line of an index; with
/// modes, `patch` would make an empty file.
fn binary(names: &Names, sides: [Option<&Side>; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    names.write_title(&mut bytes);
    let id = |side: Option<_>| digest(side).and_then(|digest| digest.get(..ID));
    let [old, new] = sides.map(|side| id(side).unwrap_or(NO_ID).as_bytes());
    line(&mut bytes, &[b"index ", old, b"..", new]);
    line(&mut bytes, &[b"Binary files ", &names.minus, b" and ", &names.plus, b" differ"]);
    for (what, side) in ["before", "after"].into_iter().zip(sides) {
        let Some(side) = side else { continue };
        let why = match side.content {
            Content::Binary { too_large: true, .. } => ", too large to be compared by lines",
            _ => "",
        };
        let digest = digest(Some(side)).map(|digest| format!(", xxh3-128 {digest}"));
        let (size, mode, digest) = (side.bytes, side.mode, digest.unwrap_or_default());
        let text = format!("  {what}: {size} bytes, mode {mode:04o}{digest}{why}");
        line(&mut bytes, &[text.as_bytes()]);
    }
    bytes
}

fn digest(side: Option<&Side>) -> Option<&str> {
    match &side?.content {
        Content::Binary { xxh3, .. } => xxh3.as_deref(),
        _ => None,
    }
}

/// The mode as git knows it, which of permissions keeps one alone.
fn mode(side: &Side) -> &'static [u8] {
    match side.kind {
        FileKind::Symlink => b"120000",
        _ if side.mode & 0o100 != 0 => b"100755",
        _ => b"100644",
    }
}

/// The modes of both sides, where they differ.
fn modes(changed: &ChangedName) -> Option<[&'static [u8]; 2]> {
    let modes = changed.before.as_ref().map(mode).zip(changed.after.as_ref().map(mode));
    modes.filter(|(old, new)| old != new).map(|(old, new)| [old, new])
}

fn is_binary(side: &Side) -> bool {
    matches!(side.content, Content::Binary { .. })
}

/// The names of a section, as git writes them.
struct Names {
    from: Vec<u8>,
    path: Vec<u8>,
    minus: Vec<u8>,
    plus: Vec<u8>,
}

impl Names {
    fn of(changed: &ChangedName) -> Names {
        let path = changed.change.raw_path().to_vec();
        let from = changed.change.raw_from().unwrap_or(&path).to_vec();
        let none = || b"/dev/null".to_vec();
        Names {
            minus: changed.before.as_ref().map_or_else(none, |_| quoted("a/", &from)),
            plus: changed.after.as_ref().map_or_else(none, |_| quoted("b/", &path)),
            from,
            path,
        }
    }

    fn write_title(&self, out: &mut Vec<u8>) {
        let (from, path) = (quoted("a/", &self.from), quoted("b/", &self.path));
        line(out, &[b"diff --git ", &from, b" ", &path]);
    }

    fn write_rename(&self, out: &mut Vec<u8>) {
        line(out, &[b"rename from ", &quoted("", &self.from)]);
        line(out, &[b"rename to ", &quoted("", &self.path)]);
    }
}

fn line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawBytes;

    fn side(mode: u32, content: Content) -> Option<Side> {
        Some(Side { kind: FileKind::File, mode, bytes: 3, content })
    }

    fn changed(change: ChangeKind, before: Option<Side>, after: Option<Side>) -> ChangedName {
        let change = Change {
            path: "to".into(),
            path_bytes: None,
            change,
            kind: FileKind::File,
            from: (change == ChangeKind::Renamed).then(|| "a from".into()),
            from_bytes: None,
            bytes: 0,
        };
        ChangedName { change, before, after }
    }

    fn digest(digit: &str) -> Content {
        Content::Binary { xxh3: Some(digit.repeat(32)), too_large: false }
    }

    fn text(changed: &ChangedName, before: &str, after: &str) -> String {
        let section = section(changed, before.as_bytes(), after.as_bytes());
        String::from_utf8(section.bytes).unwrap()
    }

    #[test]
    fn a_file_that_comes_or_goes_has_its_mode_even_if_it_is_empty() {
        let new = changed(ChangeKind::Added, None, side(0o700, Content::Text));
        assert_eq!(text(&new, "", ""), "diff --git a/to b/to\nnew file mode 100755\n");
        let gone = changed(ChangeKind::Deleted, side(0o600, Content::Text), None);
        assert_eq!(
            text(&gone, "x\n", ""),
            "diff --git a/to b/to\ndeleted file mode 100644\n--- a/to\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        );
    }

    #[test]
    fn a_rename_is_one_with_its_mode_and_its_lines() {
        let renamed = |before, after| changed(ChangeKind::Renamed, before, after);
        let still = renamed(side(0o644, Content::Same), side(0o644, Content::Same));
        let title = "diff --git \"a/a from\" b/to\n";
        let names = "rename from \"a from\"\nrename to to\n";
        assert_eq!(text(&still, "", ""), format!("{title}{names}"));
        let moved = renamed(side(0o644, Content::Text), side(0o755, Content::Text));
        assert_eq!(
            text(&moved, "x\n", "y\n"),
            format!(
                "{title}old mode 100644\nnew mode 100755\n{names}--- \"a/a from\"\n+++ b/to\n@@ -1 +1 @@\n-x\n+y\n"
            )
        );
        let binary = text(&renamed(side(0o644, digest("a")), side(0o644, digest("b"))), "", "");
        assert!(binary.contains("Binary files \"a/a from\" and /dev/null differ\n"), "{binary}");
        assert!(binary.contains("Binary files /dev/null and b/to differ\n"), "{binary}");
        assert!(!binary.contains("rename"), "{binary}");
    }

    #[test]
    fn what_is_no_text_has_sizes_and_digests() {
        let modified =
            changed(ChangeKind::Modified, side(0o644, digest("a")), side(0o644, digest("b")));
        let (a, b) = ("a".repeat(32), "b".repeat(32));
        assert_eq!(
            text(&modified, "", ""),
            format!(
                "diff --git a/to b/to\nindex aaaaaaaaaaaa..bbbbbbbbbbbb\nBinary files a/to and b/to differ\n  \
                 before: 3 bytes, mode 0644, xxh3-128 {a}\n  after: 3 bytes, mode 0644, xxh3-128 {b}\n"
            )
        );
        let equal =
            changed(ChangeKind::Modified, side(0o644, digest("a")), side(0o644, digest("a")));
        assert_eq!(
            section(&equal, b"", b""),
            Section { lines: Some((0, 0)), ..Section::default() }
        );
    }

    #[test]
    fn what_a_patch_cannot_say_is_counted() {
        let same = |mode| side(mode, Content::Same);
        let owner = changed(ChangeKind::Metadata, same(0o644), same(0o640));
        assert_eq!(section(&owner, b"", b"").untold, Some(Untold::Attributes));
        let mode = changed(ChangeKind::Metadata, same(0o644), same(0o755));
        assert_eq!(text(&mode, "", ""), "diff --git a/to b/to\nold mode 100644\nnew mode 100755\n");
        let mut directory = changed(ChangeKind::Added, None, None);
        directory.change.kind = FileKind::Directory;
        assert_eq!(section(&directory, b"", b"").untold, Some(Untold::Directory));
    }

    #[test]
    fn a_link_is_replaced() {
        let link =
            |mode| Some(Side { kind: FileKind::Symlink, ..side(mode, Content::Text).unwrap() });
        let mut modified = changed(ChangeKind::Modified, link(0o777), link(0o777));
        modified.change.kind = FileKind::Symlink;
        modified.change.path_bytes = Some(RawBytes(b"t\xff".to_vec()));
        let end = "\n\\ No newline at end of file\n";
        assert_eq!(
            text(&modified, "old", "new"),
            format!(
                "diff --git \"a/t\\377\" \"b/t\\377\"\ndeleted file mode 120000\n--- \"a/t\\377\"\n+++ /dev/null\n@@ -1 +0,0 @@\n-old{end}\
                 diff --git \"a/t\\377\" \"b/t\\377\"\nnew file mode 120000\n--- /dev/null\n+++ \"b/t\\377\"\n@@ -0,0 +1 @@\n+new{end}"
            )
        );
    }
}
