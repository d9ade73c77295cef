//! Paths as git writes them in a patch.

/// A path behind a prefix. It stands in quotes, with escapes, if a program could misread it
/// otherwise. Git itself leaves spaces as they are; `patch` then finds no end of the name.
pub(super) fn quoted(prefix: &str, path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + path.len());
    out.extend_from_slice(prefix.as_bytes());
    for chunk in path.utf8_chunks() {
        chunk.valid().bytes().for_each(|byte| push(&mut out, byte));
        chunk.invalid().iter().for_each(|byte| octal(&mut out, *byte));
    }
    if out.len() != prefix.len() + path.len() || path.contains(&b' ') {
        out.insert(0, b'"');
        out.push(b'"');
    }
    out
}

fn push(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        7 => b'a',
        8 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        11 => b'v',
        12 => b'f',
        b'\r' => b'r',
        0..32 | 127 => return octal(out, byte),
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

fn octal(out: &mut Vec<u8>, byte: u8) {
    let digit = |shift: u8| b'0' + (byte >> shift & 7);
    out.extend_from_slice(&[b'\\', digit(6), digit(3), digit(0)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_program_could_misread_it() {
        for (path, written) in [
            (&b"src/main.rs"[..], "a/src/main.rs"),
            ("gr\u{fc}\u{df}e".as_bytes(), "a/gr\u{fc}\u{df}e"),
            (b"two words", "\"a/two words\""),
            (b"a\tb\nc", "\"a/a\\tb\\nc\""),
            (b"\"\\", "\"a/\\\"\\\\\""),
            (b"caf\xe9\x1b", "\"a/caf\\351\\033\""),
        ] {
            assert_eq!(quoted("a/", path), written.as_bytes());
        }
    }
}
