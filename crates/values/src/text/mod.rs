//! [`Text`]: a string that is forked in O(1) and edited anywhere in O(log n). Small ones lie
//! inline.
//!
//! Every leaf is valid UTF-8 by itself: trees are split only between characters. That is checked
//! again when a leaf is handed out as `&str`, at some ten gigabytes a second, since the crate has
//! no `unsafe` code that could skip the check.

mod diff;
#[cfg(test)]
mod model;
#[cfg(feature = "serde")]
mod persist;
mod shape;

use alloc::string::String;
use arrayvec::{ArrayString, ArrayVec};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Range, RangeBounds};

use crate::engine::cursor::equal;
use crate::engine::iter::Items;
use crate::engine::length::{bounds, grown};
use crate::engine::path::Path;
use crate::engine::tree::Tree;
use crate::seq::shape::{Position, get};
use shape::begins_character;

pub use diff::{TextConflict, TextHunk, TextPatch, merge3};
pub(crate) use shape::Utf8;

/// Bytes that fit next to the length without any heap.
const INLINE_BYTES: usize = 20;

/// A string with O(1) `clone`.
///
/// Up to 20 bytes lie in the value itself, and longer texts in leaves of 1 KiB. Positions are byte
/// offsets, like those of `str`.
///
/// | operation | cost |
/// |---|---|
/// | `clone`, `==` of an untouched fork | O(1), no allocation |
/// | `insert_str`, `replace_range`, `slice`, `append` | O(log n), and O(k) for k bytes put in |
/// | `chars`, `chunks`, `lines` | O(n) |
/// | `diff`, `merge3` of forks | what differs |
///
/// # When not to use it
///
/// For strings that are not edited in the middle or not forked: `String` and `Arc<str>` are one
/// slice. Lines are found by scanning, so an editor that jumps to line numbers needs a rope that
/// counts them.
///
/// # Example
///
/// ```
/// use tine_values::Text;
///
/// let draft = Text::from("one branch for all ".repeat(100).as_str());
/// let mut fork = draft.clone();
/// fork.replace_range(4..10, "fork");
/// assert_eq!(fork.slice(0..16).to_string(), "one fork for all");
/// assert_eq!(draft.len(), fork.len() + 2);
/// ```
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Inline(ArrayString<INLINE_BYTES>),
    Tree(Tree<Utf8>),
}

impl Text {
    /// Makes an empty text, without allocation.
    pub const fn new() -> Self {
        Text(Repr::Inline(ArrayString::new_const()))
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline(text) => text.len(),
            Repr::Tree(tree) => tree.len(),
        }
    }

    /// Returns `true` if there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if byte offset `at` lies between characters, and `false` past the end.
    pub fn is_char_boundary(&self, at: usize) -> bool {
        match &self.0 {
            Repr::Inline(text) => text.is_char_boundary(at),
            Repr::Tree(tree) => match get(&tree.root, at) {
                Some(byte) => begins_character(*byte),
                None => at == tree.len(),
            },
        }
    }

    /// The text in pieces, in order. None is empty.
    pub fn chunks(&self) -> impl Iterator<Item = &str> {
        let (inline, tree) = match &self.0 {
            Repr::Inline(text) => ((!text.is_empty()).then_some(text.as_str()), None),
            Repr::Tree(tree) => (None, Some(tree.leaves().map(valid))),
        };
        inline.into_iter().chain(tree.into_iter().flatten())
    }

    /// The characters in order.
    pub fn chars(&self) -> impl Iterator<Item = char> {
        self.chunks().flat_map(str::chars)
    }

    /// The bytes in order.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.chunks().flat_map(str::bytes)
    }

    /// The lines in order, without their ends (`\n` or `\r\n`), like `str::lines`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let mut chunks = self.chunks();
        let mut rest = "";
        core::iter::from_fn(move || {
            let mut line = String::new();
            let mut any = false;
            loop {
                if rest.is_empty() {
                    match chunks.next() {
                        Some(chunk) => rest = chunk,
                        None => return any.then_some(line),
                    }
                }
                any = true;
                if let Some((end, after)) = rest.split_once('\n') {
                    line.push_str(end);
                    rest = after;
                    if line.ends_with('\r') {
                        line.pop();
                    }
                    return Some(line);
                }
                line.push_str(rest);
                rest = "";
            }
        })
    }

    fn place(tree: &Tree<Utf8>, at: usize) -> Path {
        match tree.locate(Position(at)) {
            Ok(path) | Err(path) => path,
        }
    }

    /// The tree. For an inline text, a tree is made.
    fn tree(&self) -> Tree<Utf8> {
        match &self.0 {
            Repr::Inline(text) => Tree::build(text.bytes()),
            Repr::Tree(tree) => tree.clone(),
        }
    }

    pub(crate) fn as_tree(&self) -> Option<&Tree<Utf8>> {
        match &self.0 {
            Repr::Inline(_) => None,
            Repr::Tree(tree) => Some(tree),
        }
    }

    fn of(tree: Tree<Utf8>) -> Self {
        if tree.len() > INLINE_BYTES {
            return Text(Repr::Tree(tree));
        }
        let mut text = ArrayString::new_const();
        tree.leaves().for_each(|leaf| text.push_str(valid(leaf)));
        Text(Repr::Inline(text))
    }

    /// Takes the tree out for an edit. The caller puts one back.
    fn take(&mut self) -> Tree<Utf8> {
        match core::mem::take(self).0 {
            Repr::Inline(text) => Tree::build(text.bytes()),
            Repr::Tree(tree) => tree,
        }
    }

    /// Appends text.
    ///
    /// # Panics
    ///
    /// Panics if there would be more than `isize::MAX` bytes, like every method that makes a text
    /// longer. The text is unchanged then.
    #[track_caller]
    pub fn push_str(&mut self, text: &str) {
        if let Repr::Inline(inline) = &mut self.0
            && inline.try_push_str(text).is_ok()
        {
            return;
        }
        grown(self.len(), text.len());
        let mut tree = self.take();
        tree.append(Tree::build(text.bytes()));
        *self = Self::of(tree);
    }

    /// Appends a character.
    pub fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    /// Inserts text at a byte offset.
    ///
    /// # Panics
    ///
    /// Panics if `at` is past the end or inside a character.
    pub fn insert_str(&mut self, at: usize, text: &str) {
        self.replace_range(at..at, text);
    }

    /// Replaces a range of bytes by other text.
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end, reaches past the end of the text, or splits a
    /// character, or if there would be more than `isize::MAX` bytes. The text is unchanged then.
    #[track_caller]
    pub fn replace_range(&mut self, range: impl RangeBounds<usize>, text: &str) {
        let range = self.bounds(range);
        grown(self.len() - range.len(), text.len());
        if let Repr::Tree(tree) = &mut self.0
            && tree.len() - range.len() + text.len() > INLINE_BYTES
            && tree.replace_in_leaf(&Self::place(tree, range.start), range.len(), text.as_bytes())
        {
            return;
        }
        self.replace(range, Tree::build(text.bytes()));
    }

    #[track_caller]
    fn replace(&mut self, range: Range<usize>, text: Tree<Utf8>) {
        grown(self.len() - range.len(), text.len());
        let mut tree = self.take();
        let after = tree.split_off(&Self::place(&tree, range.end));
        drop(tree.split_off(&Self::place(&tree, range.start)));
        tree.append(text);
        tree.append(after);
        *self = Self::of(tree);
    }

    /// Splits the text in two: keeps what is before `at` and returns the rest. O(log n).
    ///
    /// # Panics
    ///
    /// Panics if `at` is past the end or inside a character.
    #[must_use = "use `truncate` to drop the rest"]
    pub fn split_off(&mut self, at: usize) -> Self {
        let at = self.bounds(at..).start;
        let mut tree = self.take();
        let after = tree.split_off(&Self::place(&tree, at));
        *self = Self::of(tree);
        Self::of(after)
    }

    /// Drops the text from byte offset `len` on.
    ///
    /// # Panics
    ///
    /// Panics if `len` lies inside a character.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            drop(self.split_off(len));
        }
    }

    /// Appends other text, and shares its leaves. O(log n).
    ///
    /// # Panics
    ///
    /// Panics if there would be more than `isize::MAX` bytes. The text is unchanged then.
    #[track_caller]
    pub fn append(&mut self, other: &Self) {
        grown(self.len(), other.len());
        match &other.0 {
            Repr::Inline(text) => self.push_str(text),
            Repr::Tree(tail) => {
                let mut tree = self.take();
                tree.append(tail.clone());
                *self = Self::of(tree);
            }
        }
    }

    /// The text of a range of bytes, sharing leaves. O(log n).
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end, reaches past the end of the text, or splits a
    /// character.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let range = self.bounds(range);
        if range.len() <= INLINE_BYTES
            && let Repr::Tree(tree) = &self.0
        {
            return Text(Repr::Inline(inline(tree, range)));
        }
        let mut part = self.clone();
        part.truncate(range.end);
        part.split_off(range.start)
    }

    fn bounds(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        let range = bounds(range, self.len(), "Text");
        for at in [range.start, range.end] {
            assert!(self.is_char_boundary(at), "byte offset {at} is inside a character");
        }
        range
    }
}

/// A leaf as text. It is valid, since leaves are split between characters.
fn valid(leaf: &[u8]) -> &str {
    match core::str::from_utf8(leaf) {
        Ok(text) => text,
        Err(_) => unreachable!("leaves of a Text are split between characters"),
    }
}

/// A short run of bytes of a tree.
fn inline(tree: &Tree<Utf8>, range: Range<usize>) -> ArrayString<INLINE_BYTES> {
    let (from, to) = (Text::place(tree, range.start), Text::place(tree, range.end));
    let bytes: ArrayVec<u8, INLINE_BYTES> =
        Items::between(&tree.root, &from, &to).copied().collect();
    let mut text = ArrayString::new_const();
    text.push_str(valid(&bytes));
    text
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut inline = ArrayString::new_const();
        match inline.try_push_str(text) {
            Ok(()) => Text(Repr::Inline(inline)),
            Err(_) => Text(Repr::Tree(Tree::build(text.bytes()))),
        }
    }
}

impl From<&Text> for String {
    fn from(text: &Text) -> String {
        let mut all = String::with_capacity(text.len());
        text.chunks().for_each(|chunk| all.push_str(chunk));
        all
    }
}

impl FromIterator<char> for Text {
    fn from_iter<I: IntoIterator<Item = char>>(characters: I) -> Self {
        characters.into_iter().collect::<String>().as_str().into()
    }
}

impl<'a> Extend<&'a str> for Text {
    fn extend<I: IntoIterator<Item = &'a str>>(&mut self, pieces: I) {
        pieces.into_iter().for_each(|piece| self.push_str(piece));
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chunks().try_for_each(|chunk| f.write_str(chunk))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from(self), f)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl PartialEq for Text {
    /// Skips what both share: O(1) for an untouched fork.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Inline(a), Repr::Inline(b)) => a == b,
            (Repr::Tree(a), Repr::Tree(b)) => a.same(b) || equal(&a.root, &b.root, |a, b| a == b),
            // Short texts always lie inline.
            _ => false,
        }
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.len() == other.len() && self.bytes().eq(other.bytes())
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().for_each(|byte| state.write_u8(byte));
        state.write_u8(0xff);
    }
}
