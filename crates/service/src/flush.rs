//! Making a mount hand over every write that has finished.
//!
//! `syncfs` alone does not do it: for FUSE the kernel starts the writing of all dirty pages and does not
//! wait for the end, lest a server that hangs could hang the machine. It does wait in an `fdatasync` of
//! each file. A file that was closed has been written out by the close; so what is left are the files
//! that some process has open for writing, which are found in `/proc`.
//!
//! Of other users' processes an ordinary user sees no files; what those write while the fork is made is
//! in it as far as the kernel has handed it over.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fdatasync, fstat, major, minor, syncfs};
use rustix::io::Errno;

/// Hands over the finished writes of the mount whose root is at `root`.
pub fn flush(root: &Path) -> io::Result<()> {
    let root = File::open(root)?;
    // Starts everything at once, so that the waits below overlap.
    syncfs(&root)?;
    let device = fstat(&root)?.st_dev;
    let device = format!("{}:{}", major(device), minor(device));
    let mut mounts: HashMap<OsString, HashSet<String>> = HashMap::new();
    let mut done = HashSet::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let is_process =
            process.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        // A process that ends meanwhile closes its files, and so hands them over.
        if is_process && let Some(ids) = mounts_of(&process.path(), &device, &mut mounts) {
            flush_process(&process.path(), ids, &mut done)?;
        }
    }
    Ok(())
}

/// The mounts of the device that a process sees, by their numbers; read once for each namespace.
fn mounts_of<'a>(
    process: &Path,
    device: &str,
    known: &'a mut HashMap<OsString, HashSet<String>>,
) -> Option<&'a HashSet<String>> {
    let namespace = fs::read_link(process.join("ns/mnt")).ok()?.into_os_string();
    if !known.contains_key(&namespace) {
        let table = fs::read(process.join("mountinfo")).ok()?;
        known.insert(namespace.clone(), numbers(&String::from_utf8_lossy(&table), device));
    }
    known.get(&namespace).filter(|ids| !ids.is_empty())
}

/// `id parent major:minor …` of each mount of the device.
fn numbers(table: &str, device: &str) -> HashSet<String> {
    let number = |line: &str| {
        let mut fields = line.split(' ');
        let id = fields.next()?;
        (fields.nth(1)? == device).then(|| id.to_owned())
    };
    table.lines().filter_map(number).collect()
}

fn flush_process(
    process: &Path,
    mounts: &HashSet<String>,
    done: &mut HashSet<String>,
) -> io::Result<()> {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return Ok(()) };
    for file in files.flatten() {
        let is_path = |target: PathBuf| target.is_absolute();
        if !fs::read_link(file.path()).is_ok_and(is_path) {
            continue;
        }
        let about = process.join("fdinfo").join(file.file_name());
        let Ok(about) = fs::read_to_string(about) else { continue };
        let Some(inode) = written(&about, mounts) else { continue };
        if done.insert(inode)
            && let Some(file) = reopen(&file.path())
        {
            fdatasync(&file)?;
        }
    }
    Ok(())
}

/// The inode of a descriptor that is open for writing on one of the mounts.
fn written(about: &str, mounts: &HashSet<String>) -> Option<String> {
    let field = |name: &str| {
        let value = about.lines().find_map(|line| line.strip_prefix(name));
        value.map(str::trim)
    };
    let flags = u32::from_str_radix(field("flags:")?, 8).ok()?;
    let writes = flags & (OFlags::WRONLY | OFlags::RDWR).bits() != 0;
    let ours = mounts.contains(field("mnt_id:")?);
    (writes && ours).then(|| field("ino:").unwrap_or_default().to_owned())
}

/// The same file once more; `None` when it is gone, not to be opened by this user, or a pipe or
/// device, which keeps no data in the file system.
fn reopen(descriptor: &Path) -> Option<File> {
    fs::metadata(descriptor).ok().filter(fs::Metadata::is_file)?;
    let opened = OpenOptions::new().read(true).open(descriptor);
    let opened = opened.or_else(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ACCESS) => OpenOptions::new().write(true).open(descriptor),
        _ => Err(error),
    });
    opened.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_open_for_writing_on_the_mount_are_flushed() {
        let mounts = numbers("30 22 0:40 / /mnt rw\n31 22 0:41 / /other rw\n", "0:40");
        assert_eq!(mounts, HashSet::from(["30".to_owned()]));
        let about = |flags: &str, mount: &str| {
            let about = format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t{mount}\nino:\t7\n");
            written(&about, &mounts)
        };
        assert_eq!(about("0100002", "30"), Some("7".to_owned()));
        assert_eq!(about("0100001", "30"), Some("7".to_owned()));
        assert_eq!(about("0100000", "30"), None);
        assert_eq!(about("0100002", "31"), None);
    }

    #[test]
    fn a_plain_directory_is_flushed_too_whatever_is_open_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let _open = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let _open = File::create(directory.path().join("file")).unwrap();
        flush(directory.path()).unwrap();
        assert!(flush(&directory.path().join("nowhere")).is_err());
    }
}
