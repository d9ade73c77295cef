//! Files that change their places while a branch is made equal to a directory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tine_fs::{Attr, Caller, Fs, Ino, Kind, ROOT, RenameMode};

use crate::protocol::Result;

/// What has no place any more, until it is known that it gets no other.
#[derive(Default)]
pub struct Moves {
    gone: Mutex<Vec<Gone>>,
    shelf: Mutex<Option<Shelf>>,
    displaced: AtomicBool,
}

/// A name that the host has no more, and the file it led to.
struct Gone {
    parent: Ino,
    name: Vec<u8>,
    ino: Ino,
}

/// A directory of the root for what another file took the name of.
struct Shelf {
    ino: Ino,
    name: Vec<u8>,
    count: u64,
}

/// Not a name that a host has: those of the tree are found in the listing of its root.
const SHELF: &str = ".tine.displaced";

impl Moves {
    /// Takes note of a name that is gone.
    pub fn gone(&self, parent: Ino, name: Vec<u8>, ino: Ino) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.push(Gone { parent, name, ino });
    }

    /// Moves the file that has a name out of the way, unless it has left already.
    ///
    /// # Errors
    /// Those of the tree.
    pub fn displace(&self, fs: &Fs, parent: Ino, name: &[u8], ino: Ino) -> tine_fs::Result<()> {
        match fs.lookup(parent, name) {
            Ok(attr) if attr.ino == ino => {}
            Ok(_) | Err(tine_fs::Error::NoEntry { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = match &mut *shelf {
            Some(shelf) => shelf,
            none => none.insert(Shelf::new(fs)?),
        };
        self.displaced.store(true, Ordering::Relaxed);
        shelf.count += 1;
        let place = shelf.count.to_string();
        fs.rename(parent, name, shelf.ino, place.as_bytes(), RenameMode::NoReplace)
    }

    /// Returns `true` if something was moved out of the way.
    pub fn displaced_some(&self) -> bool {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Removes an inode whose file is gone. What is in a directory may have another place.
    ///
    /// # Errors
    /// Those of the tree.
    pub fn free_number(&self, fs: &Fs, attr: &Attr) -> tine_fs::Result<()> {
        if attr.kind == Kind::Directory {
            for (name, child) in listing(fs, attr.ino)? {
                self.displace(fs, attr.ino, &name, child)?;
            }
        }
        while let Some((parent, name)) = fs.first_name(attr.ino)? {
            match attr.kind {
                Kind::Directory => return fs.rmdir(parent, &name),
                _ if fs.getattr(attr.ino)?.nlink == 1 => return fs.unlink(parent, &name),
                _ => fs.unlink(parent, &name)?,
            }
        }
        Ok(())
    }

    /// Removes the names that are gone, and what has no other.
    ///
    /// # Errors
    /// Those of the store.
    pub fn remove_gone(&self, fs: &Fs) -> Result<()> {
        let gone = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelf.as_ref().map(|shelf| shelf.ino);
        for Gone { parent, name, ino } in gone.into_iter().filter(|gone| Some(gone.ino) != shelf) {
            match fs.lookup(parent, &name) {
                Ok(attr) if attr.ino == ino => remove(fs, parent, &name, ino, attr.kind)?,
                // Its directory is gone, too, or the name leads elsewhere by now.
                Ok(_) | Err(tine_fs::Error::NoEntry { .. } | tine_fs::Error::NoInode { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Removes what was moved out of the way and has found no other place.
    ///
    /// # Errors
    /// Those of the store.
    pub fn clear_shelf(&self, fs: &Fs) -> Result<()> {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).take();
        match shelf {
            Some(shelf) => remove(fs, ROOT, &shelf.name, shelf.ino, Kind::Directory),
            None => Ok(()),
        }
    }
}

impl Shelf {
    fn new(fs: &Fs) -> tine_fs::Result<Shelf> {
        let owner = Caller { uid: 0, gid: 0, umask: 0 };
        let mut name = SHELF.as_bytes().to_vec();
        loop {
            match fs.mkdir(&owner, ROOT, &name, 0o700) {
                Ok(attr) => return Ok(Shelf { ino: attr.ino, name, count: 0 }),
                // The host has it: a longer one.
                Err(tine_fs::Error::Exists { .. }) => name.push(b'~'),
                Err(error) => return Err(error),
            }
        }
    }
}

fn listing(fs: &Fs, ino: Ino) -> tine_fs::Result<Vec<(Vec<u8>, Ino)>> {
    let mut names = Vec::new();
    fs.readdir(ino, 0, &mut |entry| {
        if ![&b"."[..], b".."].contains(&entry.name) {
            names.push((entry.name.to_vec(), entry.ino));
        }
        true
    })?;
    Ok(names)
}

/// Removes a name, and what is below it.
fn remove(fs: &Fs, parent: Ino, name: &[u8], ino: Ino, kind: Kind) -> Result<()> {
    if kind != Kind::Directory {
        return Ok(fs.unlink(parent, name)?);
    }
    // Each directory is met twice: to be emptied, and to be removed.
    let mut left = vec![(parent, name.to_vec(), ino, false)];
    while let Some((parent, name, ino, emptied)) = left.pop() {
        if emptied {
            fs.rmdir(parent, &name)?;
            continue;
        }
        left.push((parent, name, ino, true));
        let mut files = Vec::new();
        fs.readdir(ino, 0, &mut |entry| {
            match entry.kind {
                _ if [&b"."[..], b".."].contains(&entry.name) => {}
                Kind::Directory => left.push((ino, entry.name.to_vec(), entry.ino, false)),
                _ => files.push(entry.name.to_vec()),
            }
            true
        })?;
        for file in files {
            fs.unlink(ino, &file)?;
        }
    }
    Ok(())
}
