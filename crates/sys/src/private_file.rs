//! Files that belong to one process: a child of `fork(2)` does not have them.
//!
//! A child's copy of a descriptor refers to the same open file. It would hold the file's lock after
//! the parent has ended, and the child's use of it would collide with the parent's. So the open
//! files are listed, and a handler of `pthread_atfork` closes the listed ones in a child. The
//! number of a descriptor may refer to another file there by then, so only the process that opened
//! the file gets it.
//!
//! A child that a bare system call makes runs no such handler. It has the descriptors, but no way
//! to use them, until it ends or runs a program.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;

use crate::lineage::Process;

/// An open file that is closed in children of `fork(2)`.
#[derive(Debug)]
pub struct PrivateFile {
    file: ManuallyDrop<File>,
    owner: Process,
    identity: Identity,
}

/// Device and inode.
type Identity = (u64, u64);

impl PrivateFile {
    /// Takes what `open` opens. No other thread can fork in between, so `open` should be short.
    ///
    /// # Errors
    /// Those of `open`, of reading the file's identity, and `ENOMEM` for the handlers of `fork(2)`.
    pub fn open(open: impl FnOnce() -> io::Result<File>) -> io::Result<PrivateFile> {
        let mut list = OPEN.lock();
        list.watch_forks()?;
        let file = open()?;
        let found = file.metadata()?;
        let identity = (found.dev(), found.ino());
        list.files.push((file.as_raw_fd(), identity));
        Ok(PrivateFile { file: ManuallyDrop::new(file), owner: Process::current(), identity })
    }

    /// The file.
    ///
    /// # Errors
    /// If this is a child of the process that opened the file: it does not have it.
    pub fn get(&self) -> io::Result<&File> {
        if self.owner.is_current() { Ok(&self.file) } else { Err(io::Error::other(NOT_INHERITED)) }
    }

    /// Returns `true` if it is the same file as `other`.
    pub fn is_same(&self, other: &PrivateFile) -> bool {
        self.identity == other.identity
    }

    /// Returns `true` if this process has the file open as another private file, too.
    pub fn is_open_twice(&self) -> bool {
        let list = OPEN.lock();
        list.files.iter().filter(|(_, identity)| *identity == self.identity).count() > 1
    }
}

const NOT_INHERITED: &str = "the file belongs to the process that this one was forked from";

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // In a child, the number may refer to another file.
        if self.owner.is_current() {
            let mut list = OPEN.lock();
            let number = self.file.as_raw_fd();
            list.files.retain(|(listed, _)| *listed != number);
            // SAFETY: dropped once, here. A fork waits for the list, so no child gets a number that
            // is neither listed nor closed.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

/// The private files of this process. The lock is held during every `fork(3)`, and released on both
/// sides.
static OPEN: Open = Open {
    lock: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER),
    list: UnsafeCell::new(List { files: Vec::new(), watches_forks: false }),
};

struct Open {
    lock: UnsafeCell<libc::pthread_mutex_t>,
    list: UnsafeCell<List>,
}

struct List {
    files: Vec<(RawFd, Identity)>,
    watches_forks: bool,
}

// SAFETY: the list is reached only with the lock held.
unsafe impl Sync for Open {}

/// The list, locked.
struct Locked(&'static Open);

impl Open {
    fn lock(&'static self) -> Locked {
        // SAFETY: initialized statically, and a static does not move. The call fails only for a
        // thread that already holds the lock, and no thread takes it twice.
        unsafe { libc::pthread_mutex_lock(self.lock.get()) };
        Locked(self)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: this thread locked it, or, in a child, is the copy of the thread that did.
        unsafe { libc::pthread_mutex_unlock(self.0.lock.get()) };
    }
}

impl std::ops::Deref for Locked {
    type Target = List;

    fn deref(&self) -> &List {
        // SAFETY: the lock is held.
        unsafe { &*self.0.list.get() }
    }
}

impl std::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut List {
        // SAFETY: the lock is held.
        unsafe { &mut *self.0.list.get() }
    }
}

impl List {
    fn watch_forks(&mut self) -> io::Result<()> {
        if self.watches_forks {
            return Ok(());
        }
        // SAFETY: the handlers only take and release a lock, and the child's also closes
        // descriptors.
        match unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) } {
            0 => {
                self.watches_forks = true;
                Ok(())
            }
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

extern "C" fn before() {
    std::mem::forget(OPEN.lock());
}

extern "C" fn in_parent() {
    // Locked by `before`.
    drop(Locked(&OPEN));
}

extern "C" fn in_child() {
    // Locked by `before`.
    let mut list = Locked(&OPEN);
    for (number, _) in &list.files {
        // SAFETY: the number was inherited and nothing in this process uses it: its owner is the
        // parent.
        unsafe { libc::close(*number) };
    }
    // Frees no memory: another thread of the parent may have held the allocator's lock.
    list.files.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fork_and_wait;
    use std::os::fd::BorrowedFd;

    fn open(path: &str) -> PrivateFile {
        PrivateFile::open(|| File::open(path)).unwrap()
    }

    #[test]
    fn a_child_has_no_private_file_and_its_numbers_are_free_for_others() {
        let files = [open("/dev/null"), open("/dev/null"), open("/dev/zero")];
        let numbers = files.each_ref().map(|file| file.get().unwrap().as_raw_fd());
        let status = fork_and_wait(|| {
            // SAFETY: only asks whether there is a descriptor of the number.
            let there = |number| rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) });
            if numbers.iter().any(|number| there(*number).is_ok()) {
                return 1;
            }
            if files.iter().any(|file| file.get().is_ok()) {
                return 2;
            }
            let own: Vec<File> = (0..8).map(|_| File::open("/dev/zero").unwrap()).collect();
            let private = open("/dev/null");
            drop(files);
            let reads = own.iter().all(|file| io::Read::read(&mut &*file, &mut [1]).is_ok());
            if reads && private.get().is_ok() { 0 } else { 3 }
        });
        assert_eq!(status.unwrap().code(), Some(0));
    }

    #[test]
    fn a_file_that_is_open_twice_is_told_from_one_that_is_not() {
        let dir = std::env::temp_dir();
        let path = dir.join(format!("tine-private-file-{}", std::process::id()));
        let create = || PrivateFile::open(|| File::create(&path));
        let first = create().unwrap();
        assert!(!first.is_open_twice());
        let second = create().unwrap();
        assert!(first.is_open_twice() && second.is_same(&first));
        drop(first);
        assert!(!second.is_open_twice());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn forks_beside_threads_that_open_and_close_leave_no_descriptor_behind() {
        let ends = &std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                        drop(open("/proc/self/status"));
                    }
                });
            }
            for _ in 0..200 {
                let status = fork_and_wait(|| {
                    let status = std::path::Path::new("/proc/self/status");
                    let leads = |fd: io::Result<std::fs::DirEntry>| {
                        std::fs::read_link(fd.unwrap().path())
                            .is_ok_and(|to| to.file_name() == status.file_name())
                    };
                    u8::from(std::fs::read_dir("/proc/self/fd").unwrap().any(leads))
                });
                assert_eq!(status.unwrap().code(), Some(0));
            }
            ends.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
