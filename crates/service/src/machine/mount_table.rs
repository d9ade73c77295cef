//! The kernel's table of mounts, read without touching any mount.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use tine_sys::mountinfo::unescape;

/// The types by which tine's mounts are known begin so.
const TYPE: &str = "fuse.";

/// The type of a mount that all processes see, after `fuse.`.
pub const PUBLIC: &str = "tine";

/// The type of one in a mount namespace that tine made for one command. All other mounts came along
/// into it.
pub const PRIVATE: &str = "tine.private";

/// A mount of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of its file system, `MAJOR:MINOR`.
    pub device: String,
    /// Whether it is in a mount namespace that was made for it.
    pub private: bool,
    pub directory: PathBuf,
    pub store: PathBuf,
    pub branch: String,
}

/// What a mount of a branch says about itself in the table.
pub fn source(store: &Path, branch: &str) -> String {
    format!("{}#{branch}", store.display())
}

/// The mounts of branches in this mount namespace.
pub fn ours() -> io::Result<Vec<Entry>> {
    of(Path::new("/proc/self"))
}

/// The mounts of branches that a process sees, named as it names them; `process` is its directory
/// in `/proc`.
pub fn of(process: &Path) -> io::Result<Vec<Entry>> {
    Ok(parse(&fs::read(process.join("mountinfo"))?))
}

fn parse(table: &[u8]) -> Vec<Entry> {
    table.split(|&byte| byte == b'\n').filter_map(entry).collect()
}

/// `id parent major:minor root DIRECTORY options [optional…] - TYPE SOURCE options`
fn entry(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let dash = fields.iter().position(|field| field == b"-")?;
    let subtype = fields.get(dash + 1)?.strip_prefix(TYPE.as_bytes())?;
    let private = subtype == PRIVATE.as_bytes();
    if !private && subtype != PUBLIC.as_bytes() {
        return None;
    }
    let source = unescape(fields.get(dash + 2)?);
    let hash = source.iter().rposition(|&byte| byte == b'#')?;
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    Some(Entry {
        device: String::from_utf8(fields.get(2)?.to_vec()).ok()?,
        private,
        directory: path(&unescape(fields.get(4)?)),
        store: path(&source[..hash]),
        branch: String::from_utf8(source[hash + 1..].to_vec()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_of_branches_are_listed_and_odd_paths_are_understood() {
        let table = b"22 1 0:20 / / rw - ext4 /dev/vda rw\n\
            30 22 0:40 / /mnt/a\\040b rw,nosuid shared:5 - fuse.tine /s\\134t.tine\\043x/1 rw\n\
            31 22 0:41 / /mnt/c rw - fuse.other /x#y rw\n\
            32 22 0:42 / /mnt/d rw - fuse.tine.private /x#y rw\n";
        let entries = parse(table);
        let expected = Entry {
            device: "0:40".into(),
            private: false,
            directory: "/mnt/a b".into(),
            store: "/s\\t.tine".into(),
            branch: "x/1".into(),
        };
        let private = Entry {
            device: "0:42".into(),
            private: true,
            directory: "/mnt/d".into(),
            store: "/x".into(),
            branch: "y".into(),
        };
        assert_eq!(entries, [expected, private]);
    }
}
