//! Text from outside on a terminal: names can hold what a terminal obeys, or what hides how it
//! reads.

use std::fmt::Write;

/// The text with such characters as escapes; the others stay as they are.
pub fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut shown, c));
    shown
}

/// As [`line`], of a text that may have several lines.
pub fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A line of a file: as [`line`], but tabs stay, and so do backslashes.
pub fn content(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\t' { shown.push(c) } else { push(&mut shown, c) }
        }
        push_bytes(&mut shown, chunk.invalid());
    }
    shown
}

/// A name or path. A backslash is doubled, so that no two names read alike.
pub fn path(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                c => push(&mut shown, c),
            }
        }
        push_bytes(&mut shown, chunk.invalid());
    }
    shown
}

fn push_bytes(shown: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing into a text cannot fail.
        let _ = write!(shown, "\\x{byte:02x}");
    }
}

fn push(shown: &mut String, c: char) {
    match c {
        '\n' => shown.push_str("\\n"),
        '\t' => shown.push_str("\\t"),
        '\r' => shown.push_str("\\r"),
        c if c.is_control() || reorders_or_hides(c) => shown.extend(c.escape_unicode()),
        c => shown.push(c),
    }
}

/// Returns `true` for characters without width of their own that change in which order others are
/// shown, or make two different names look the same (Unicode 16, general category Cf and the
/// separators of lines).
fn reorders_or_hides(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(line("a\x1b[2Jb\u{7f}\u{9b}"), "a\\u{1b}[2Jb\\u{7f}\\u{9b}");
        assert_eq!(line("ab\u{202e}gpj.exe"), "ab\\u{202e}gpj.exe");
        assert_eq!(line("grüße 日本 🎈"), "grüße 日本 🎈");
        assert_eq!(lines("a\nb\t"), "a\nb\\t");
    }

    #[test]
    fn no_two_paths_read_alike() {
        assert_eq!(path(b"a\nb"), "a\\nb");
        assert_eq!(path(b"a\\nb"), "a\\\\nb");
        assert_eq!(path(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(line(&path(b"a\nb\xff")), path(b"a\nb\xff"), "a second time changes nothing");
    }
}
