//! Where symbolic links lead, judged as the kernel follows them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

/// Returns `true` if the link at `path`, relative to `root`, leads out of `root`: by an absolute
/// link or by more `..` than there are directories, on whichever link of a chain. A link to nowhere
/// does not.
///
/// # Errors
/// When the link cannot be read.
pub fn leads_out(root: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    loop {
        return match openat2(root, path, flags, Mode::empty(), ResolveFlags::BENEATH) {
            Ok(_inside) => Ok(false),
            Err(Errno::XDEV) => Ok(true),
            // Something was renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => continue,
            // Before Linux 5.6, or forbidden by a sandbox.
            Err(Errno::NOSYS | Errno::PERM) => target_leads_out(root, path),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(false),
            Err(error) => Err(error.into()),
        };
    }
}

/// Judges by the words of the link itself; links on its way are not followed.
fn target_leads_out(root: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let target = readlinkat(root, path, Vec::new())?;
    let target = Path::new(std::ffi::OsStr::from_bytes(target.to_bytes()));
    Ok(climbs_out(path.components().count().saturating_sub(1), target))
}

fn climbs_out(depth: usize, target: &Path) -> bool {
    let mut depth = depth as isize;
    target.components().any(|component| {
        depth += match component {
            Component::RootDir | Component::Prefix(_) => return true,
            Component::ParentDir => -1,
            Component::CurDir => 0,
            Component::Normal(_) => 1,
        };
        depth < 0
    })
}

/// A directory to resolve links in.
///
/// # Errors
/// When it cannot be opened.
pub fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(rustix::fs::CWD, root, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_leads_out_by_any_link_of_its_chain() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("root");
        std::fs::create_dir_all(root.join("in/deep")).unwrap();
        std::fs::create_dir(tree.path().join("outside")).unwrap();
        let absolute = root.join("in");
        let links = [
            ("in/deep/up", "../..", false),
            ("in/deep/out", "../../..", true),
            ("out", "../outside", true),
            ("back", "../root/in", true),
            ("absolute", absolute.to_str().unwrap(), true),
            ("chain", "in/deep/out/outside", true),
            ("chain2", "chain", true),
            ("fine", "in/deep/up", false),
            ("nowhere", "in/missing", false),
            ("nowhere-out", "/missing/file", true),
            ("itself", "itself", false),
        ];
        for (link, target, _) in links {
            symlink(target, root.join(link)).unwrap();
        }
        let opened = open_root(&root).unwrap();
        for (link, _, out) in links {
            assert_eq!(leads_out(opened.as_fd(), Path::new(link)).unwrap(), out, "{link}");
        }
    }

    #[test]
    fn where_the_kernel_does_not_say_the_words_of_the_link_count() {
        assert!(climbs_out(0, Path::new("/etc")) && climbs_out(1, Path::new("../../x")));
        assert!(!climbs_out(2, Path::new("../../x")) && !climbs_out(0, Path::new("./x/../y")));
    }
}
