//! The file by which a backup tells the server where tablespaces were: at its start the server
//! links them there.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::data_file;
use crate::protocol::{Error, Result};

/// Number and place of each tablespace in the map; none without a map.
///
/// # Errors
/// When the map cannot be read.
pub(super) fn read(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let file = directory.join("tablespace_map");
    match data_file::read(&file) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::path("read", &file, error)),
    }
}

/// Lines of a number, a blank and a path. A backslash takes the byte behind it as it is, ends of
/// lines too.
fn parse(text: &[u8]) -> Vec<(String, PathBuf)> {
    let mut lines = vec![Vec::new()];
    let mut bytes = text.iter();
    while let (Some(&byte), Some(line)) = (bytes.next(), lines.last_mut()) {
        match byte {
            b'\\' => line.extend(bytes.next()),
            b'\n' | b'\r' => lines.push(Vec::new()),
            byte => line.push(byte),
        }
    }
    let tablespace = |line: Vec<u8>| {
        let blank = line.iter().position(|&byte| byte == b' ')?;
        let number = String::from_utf8_lossy(&line[..blank]).into_owned();
        Some((number, PathBuf::from(OsString::from_vec(line[blank + 1..].to_vec()))))
    };
    lines.into_iter().filter_map(tablespace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_places_are_read_with_their_escapes() {
        let map = parse(b"16384 /srv/a b\n16385 /srv/c\\\\d\\\ne\n");
        let expected = [("16384", "/srv/a b"), ("16385", "/srv/c\\d\ne")];
        assert_eq!(map, expected.map(|(number, place)| (number.to_owned(), place.into())));
    }
}
