//! What keeps a mount of a branch: the processes that work in it, and the mount namespaces that
//! have a copy of it.
//!
//! A file system ends with its last mount and its last open file. A mount namespace that was made
//! while a branch was mounted, as that of a container, has a copy of the mount, which an unmount
//! elsewhere leaves alone unless the system shares its mounts. All is read in `/proc`, without a
//! request to the mount itself. An ordinary user sees its own processes only.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::process::geteuid;

use crate::machine::{kernel_users, mount_table};
use crate::protocol::mounts::Mount;

/// How many are named in a message.
const NAMED: usize = 3;

/// A process that has to do with a mount.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    name: String,
    /// A path by which it leads into the mount.
    way: PathBuf,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// A mount of the file system, in one of the namespaces.
#[derive(Clone, Debug)]
struct Copy {
    /// One that sees it.
    process: Process,
    directory: PathBuf,
    /// Whether this process sees it too.
    here: bool,
    /// Whether it came along with all other mounts into a namespace that was made for a command in
    /// another branch.
    beside: bool,
}

/// All that keeps a mount.
#[derive(Debug, Default)]
pub struct Seen {
    /// The processes that work in it.
    pub working: Vec<Process>,
    copies: Vec<Copy>,
    /// Loop devices and overlays over it.
    kernel: Vec<String>,
}

impl Seen {
    /// Returns `true` if nothing was found.
    pub fn is_empty(&self) -> bool {
        self.working.is_empty() && self.copies.is_empty() && self.kernel.is_empty()
    }

    /// Returns `true` if all that keeps the mount are copies that came along with commands in other
    /// branches, unused.
    pub fn is_unasked_for(&self) -> bool {
        self.working.is_empty()
            && self.kernel.is_empty()
            && !self.copies.is_empty()
            && self.copies.iter().all(|it| it.beside)
    }

    /// The processes, each once.
    pub fn processes(&self) -> Vec<Process> {
        let mut known = HashSet::new();
        let all = self.working.iter().chain(self.copies.iter().map(|copy| &copy.process));
        all.filter(|process| known.insert(process.pid)).cloned().collect()
    }

    /// All of it in words.
    pub fn words(&self) -> String {
        let working = self.working.iter().map(|process| format!("{process} works in it"));
        let copies = self.copies.iter().map(|copy| {
            let directory = copy.directory.display();
            match copy.here {
                true => format!("it is mounted at {directory} as well"),
                false => format!(
                    "{} has a copy of the mount in another mount namespace, at {directory}",
                    copy.process
                ),
            }
        });
        let kernel = self.kernel.iter().map(|user| format!("{user} uses it"));
        let mut items: Vec<String> = working.chain(kernel).chain(copies).collect();
        if items.is_empty() {
            let kept = kernel_users::kept_namespaces().into_iter();
            items.extend(kept.map(|place| {
                let place = place.display();
                format!("the mount namespace that is kept at {place} may have a copy of the mount")
            }));
        }
        list(items).unwrap_or_else(|| format!("{} keeps it", unseen()))
    }

    /// What uses it in the place where it is.
    pub fn users(&self) -> String {
        let working = self.working.iter().map(Process::to_string);
        list(working.chain(self.kernel.iter().cloned()).collect()).unwrap_or_else(unseen)
    }
}

/// Some of the items, and how many more there are; `None` without any.
fn list(mut items: Vec<String>) -> Option<String> {
    let more = items.len().saturating_sub(NAMED);
    items.truncate(NAMED);
    match more {
        _ if items.is_empty() => None,
        0 => Some(items.join(", ")),
        more => Some(format!("{}, and {more} more", items.join(", "))),
    }
}

/// What is not found. Root sees all processes.
fn unseen() -> String {
    match geteuid().is_root() {
        true => "something in the kernel that no table shows".into(),
        false => "something that this user cannot see".into(),
    }
}

/// Processes as they are named in a message.
pub fn names(processes: &[Process]) -> String {
    list(processes.iter().map(Process::to_string).collect()).unwrap_or_else(unseen)
}

/// Looks for all that keeps a mount.
pub fn look_at(mount: &Mount) -> Seen {
    let Some(device) = &mount.device else { return Seen::default() };
    let seen = look(device);
    let mut places = vec![mount.directory.clone()];
    places.extend(seen.copies.iter().filter(|copy| copy.here).map(|copy| copy.directory.clone()));
    Seen { kernel: kernel_users::find(&places), ..seen }
}

/// Looks for the processes and the mounts that keep the file system with the number `device`.
fn look(device: &str) -> Seen {
    let own = fs::read_link("/proc/self/ns/mnt").ok();
    let mut known = HashSet::new();
    let mut seen = Seen::default();
    for pid in pids() {
        let process = PathBuf::from(format!("/proc/{pid}"));
        if pid != std::process::id()
            && let Some(way) = way_through(&process, device)
        {
            seen.working.push(named(pid, way));
        }
        let namespace = fs::read_link(process.join("ns/mnt"));
        // A process sees in its table what is below its root.
        let root = fs::read_link(process.join("root"));
        let (Ok(namespace), Ok(root)) = (namespace, root) else { continue };
        if !known.insert((namespace.clone(), root)) {
            continue;
        }
        let table = mount_table::of(&process).unwrap_or_default();
        let of_command = table.iter().any(|entry| entry.private);
        for entry in table.into_iter().filter(|entry| entry.device == device) {
            let inside = entry.directory.strip_prefix("/").unwrap_or(&entry.directory);
            let way = process.join("root").join(inside);
            let here = own.as_ref() == Some(&namespace);
            let (beside, directory) = (of_command && !entry.private, entry.directory);
            seen.copies.push(Copy { process: named(pid, way), directory, here, beside });
        }
    }
    seen
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

fn named(pid: u32, way: PathBuf) -> Process {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    // A process chooses its name, and a terminal obeys what it is shown.
    let name = name.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Process { pid, name, way }
}

/// A path by which the process has to do with the file system: what it stands in, has open, or has
/// mapped.
fn way_through(process: &Path, device: &str) -> Option<PathBuf> {
    // Threads may have tables and directories of their own.
    let tasks = fs::read_dir(process.join("task")).ok()?.flatten();
    for task in tasks.map(|task| task.path()) {
        let files = fs::read_dir(task.join("fd")).into_iter().flatten().flatten();
        let links = ["cwd", "root", "exe"].map(|name| task.join(name)).into_iter();
        let found = links.chain(files.map(|file| file.path())).find(|path| is_on(path, device));
        if found.is_some() {
            return found;
        }
    }
    let maps = fs::read_to_string(process.join("maps")).ok()?;
    let mapped = maps.lines().find(|line| is_of(line, device))?;
    let range = mapped.split(' ').next()?;
    Some(process.join("map_files").join(range))
}

/// `addresses permissions offset MAJOR:MINOR …`, the numbers in hexadecimal.
fn is_of(line: &str, device: &str) -> bool {
    let number = |line: &str| {
        let (major, minor) = line.split(' ').nth(3)?.split_once(':')?;
        let [major, minor] = [major, minor].map(|part| u32::from_str_radix(part, 16).ok());
        Some(format!("{}:{}", major?, minor?))
    };
    number(line).as_deref() == Some(device)
}

/// Returns `true` if a path leads to the file system. Nothing is asked of it: the number is known
/// to the kernel alone.
fn is_on(path: &Path, device: &str) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    statx(CWD, path, flags, StatxFlags::empty())
        .is_ok_and(|about| format!("{}:{}", about.stx_dev_major, about.stx_dev_minor) == device)
}

/// The directories at which this process sees the mount.
pub fn places(mount: &Mount) -> Vec<PathBuf> {
    let is_it = |entry: &mount_table::Entry| match &mount.device {
        Some(device) => entry.device == *device,
        None => entry.directory == mount.directory,
    };
    let entries = mount_table::ours().unwrap_or_default();
    entries.into_iter().filter(is_it).map(|entry| entry.directory).collect()
}

/// Returns `true` if this process sees the mount where it was made.
pub fn is_in_place(mount: &Mount) -> bool {
    places(mount).contains(&mount.directory)
}

/// A path by which this process gets at the mount, wherever that still is.
pub fn way_in(mount: &Mount) -> Option<PathBuf> {
    let Some(device) = &mount.device else { return Some(mount.directory.clone()) };
    // What is mounted over it would be found instead.
    let own = places(mount).into_iter().find(|place| is_on(place, device));
    own.or_else(|| {
        let seen = look(device);
        let copies = seen.copies.into_iter().map(|copy| copy.process.way);
        let ways = copies.chain(seen.working.into_iter().map(|process| process.way));
        ways.into_iter().find(|way| is_on(way, device))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_found_by_what_it_stands_in_and_has_open() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let dev = fs::metadata(directory.path()).unwrap().dev();
        let device = format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
        let start = |at: &Path, input: Stdio| {
            Command::new("sleep").arg("60").current_dir(at).stdin(input).spawn().unwrap()
        };
        let file = fs::File::create(directory.path().join("file")).unwrap();
        let mut children = [
            start(directory.path(), Stdio::null()),
            start(Path::new("/"), file.into()),
            start(Path::new("/"), Stdio::null()),
        ];
        let working = look(&device).processes();
        let found = children.each_ref().map(|child| {
            working.iter().any(|it| it.pid == child.id() && it.to_string().contains("(sleep)"))
        });
        children.iter_mut().for_each(|child| {
            child.kill().unwrap();
            child.wait().unwrap();
        });
        assert_eq!(found, [true, true, false]);
    }

    #[test]
    fn a_mapping_is_told_by_the_number_of_its_file_system() {
        let line = "7f00-7f10 r-xp 00000000 00:2f 12   /mnt/program";
        assert!(is_of(line, "0:47"));
        assert!(!is_of(line, "0:48"));
        assert!(!is_of("7f00-7f10 rw-p 00000000 00:00 0", "0:47"));
    }

    #[test]
    fn long_lists_are_cut_short() {
        let items = |count: usize| (0..count).map(|n| n.to_string()).collect();
        assert_eq!(list(items(2)).unwrap(), "0, 1");
        assert_eq!(list(items(5)).unwrap(), "0, 1, 2, and 2 more");
        assert_eq!(list(items(0)), None);
    }
}
