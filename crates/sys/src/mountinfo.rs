//! The kernel's table of mounts, `/proc/self/mountinfo`, read without touching any mount.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The number that the kernel gives to the mount on `directory`, as `MAJOR:MINOR`, found without
/// touching the mount itself. If there are several, the last one counts. `None` if nothing is
/// mounted there.
///
/// # Errors
/// If the table of mounts cannot be read.
pub fn device_number(directory: &Path) -> io::Result<Option<String>> {
    // The last component is the mount itself, which may be waiting to be served by this process.
    let place = match (directory.parent(), directory.file_name()) {
        (Some(parent), Some(name)) if parent != Path::new("") => {
            fs::canonicalize(parent)?.join(name)
        }
        _ => std::path::absolute(directory)?,
    };
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(find_device_number(&table, &place))
}

fn find_device_number(table: &[u8], directory: &Path) -> Option<String> {
    table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b' ');
            let number = fields.nth(2)?;
            let place = unescape(fields.nth(1)?);
            (OsStr::from_bytes(&place) == directory.as_os_str())
                .then(|| String::from_utf8_lossy(number).into_owned())
        })
        .next_back()
}

/// The bytes that a field of the table stands for. The kernel writes blanks, tabs, newlines,
/// backslashes and hashes as a backslash and three octal digits.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_on_a_directory_gives_the_number() {
        let table = b"22 1 0:20 / /mnt/a\\040b rw - fuse.tine x rw\n\
                      23 1 0:21 / /mnt rw - ext4 y rw\n\
                      24 1 0:22 / /mnt/a\\040b rw - fuse.tine z rw\n";
        let number = |place: &str| find_device_number(table, Path::new(place));
        assert_eq!(number("/mnt/a b").as_deref(), Some("0:22"));
        assert_eq!(number("/mnt").as_deref(), Some("0:21"));
        assert_eq!(number("/else"), None);
    }

    #[test]
    fn only_octal_digits_are_an_escape() {
        assert_eq!(unescape(b"a\\040b\\134\\043"), b"a b\\#");
        assert_eq!(unescape(b"\\+12\\400\\04"), b"\\+12\\400\\04");
    }
}
