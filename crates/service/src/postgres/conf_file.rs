//! The syntax of PostgreSQL's configuration files, as the server's own scanner has it.
//!
//! A line is a name, perhaps an equals sign, and one value; the rest is comments. Lines that are
//! none of this are left to the server, which does not start with them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A name with its value, and the line it stands on, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// In small letters, as names are compared.
    pub name: String,
    pub value: OsString,
    pub line: usize,
}

/// The entries of a file, in order.
pub(super) fn entries(text: &[u8]) -> Vec<Entry> {
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    let entry = |(number, line): (usize, &[u8])| {
        let (name, value) = entry(line)?;
        Some(Entry { name, value: OsString::from_vec(value), line: number + 1 })
    };
    lines.filter_map(entry).collect()
}

/// A value in quotes: every quote, backslash and control character survives.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::from("'");
    for letter in value.chars() {
        match letter {
            '\'' => text.push_str("''"),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            letter => text.push(letter),
        }
    }
    text.push('\'');
    text
}

fn entry(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let line = without_blanks(line);
    let end = line.iter().position(|&byte| !is_of_name(byte)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    name.first().filter(|first| !first.is_ascii_digit())?;
    let mut rest = without_blanks(rest);
    if let Some(behind) = rest.strip_prefix(b"=") {
        rest = without_blanks(behind);
    }
    let (value, rest) = match rest.strip_prefix(b"'") {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = rest.iter().position(|&byte| !is_of_bare_value(byte)).unwrap_or(rest.len());
            (rest[..end].to_vec(), &rest[end..])
        }
    };
    let is_over = matches!(without_blanks(rest).first(), None | Some(b'#'));
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    is_over.then_some((name, value))
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | 0x0C | 0x0B));
    &text[blanks.count()..]
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.') || byte >= 0x80
}

fn is_of_bare_value(byte: u8) -> bool {
    is_of_name(byte) || matches!(byte, b'-' | b'+' | b':' | b'/')
}

/// What stands before the closing quote, and what behind it; `None` without one.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match (*text.get(at)?, text.get(at + 1)) {
            (b'\'', Some(b'\'')) => {
                value.push(b'\'');
                at += 2;
            }
            (b'\'', _) => return Some((value, &text[at + 1..])),
            (b'\\', Some(&escaped)) => {
                let digits =
                    text[at + 1..].iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte));
                let length = digits.clone().count();
                if length == 0 {
                    value.push(control_character(escaped));
                    at += 2;
                } else {
                    let code = digits
                        .fold(0_u8, |code, digit| code.wrapping_mul(8).wrapping_add(digit - b'0'));
                    value.push(code);
                    at += 1 + length;
                }
            }
            (byte, _) => {
                value.push(byte);
                at += 1;
            }
        }
    }
}

/// What a letter behind a backslash stands for.
fn control_character(letter: u8) -> u8 {
    match letter {
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, usize)> {
        let found = entries(text.as_bytes()).into_iter();
        found.map(|it| (it.name, it.value.into_string().unwrap(), it.line)).collect()
    }

    #[test]
    fn every_way_to_write_a_line_is_read() {
        let text = "# port = 1\n\
                    port=5433#x\n\
                    \tWork_Mem 4MB\r\n\
                    include'a b.conf' # more\n\
                    cron.host = '/run/pg'\n\
                    a = 'it''s \\'x\\' \\\\ \\n\\101'\n\
                    b = off";
        let expected = [
            ("port", "5433", 2),
            ("work_mem", "4MB", 3),
            ("include", "a b.conf", 4),
            ("cron.host", "/run/pg", 5),
            ("a", "it's 'x' \\ \nA", 6),
            ("b", "off", 7),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(n, v, l)| (n.to_string(), v.to_string(), *l)).collect();
        assert_eq!(read(text), expected);
    }

    #[test]
    fn what_is_no_setting_is_left_to_the_server() {
        assert_eq!(read("port = 'open\nport = 1 2\n= 3\n7 = 8\n\n"), []);
    }

    #[test]
    fn a_quoted_value_is_read_back_as_it_was() {
        for value in ["", "plain", "it's", "C:\\x\\", "two\nlines\r\n", "\\'", "%m [%p] ''", "ü€"]
        {
            let line = format!("a = {}", quoted(value));
            assert_eq!(read(&line), [("a".into(), value.to_owned(), 1)], "{line}");
        }
    }
}
