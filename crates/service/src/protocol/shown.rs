//! Names inside sentences. A name can hold an end of line, after which it could pass for another
//! message, or what a terminal obeys.

/// A name or a path with its control characters as escapes.
pub fn shown(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for letter in String::from_utf8_lossy(name).chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_no_line_and_moves_no_cursor() {
        assert_eq!(shown(b"a\nhint: b\x1b[2J"), "a\\nhint: b\\u{1b}[2J");
        assert_eq!(shown("gr\u{fc}\u{df}e \\ ".as_bytes()), "gr\u{fc}\u{df}e \\ ");
    }
}
