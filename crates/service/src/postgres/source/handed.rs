//! Files of the caller in the hands of a program that runs as another user.
//!
//! The program gets a copy in memory, under a descriptor that it inherits: no file is made, nothing
//! is left behind however it ends, and no other process finds it by a name.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use crate::postgres::account::Account;
use crate::protocol::{Error, Result};

/// Where a program finds its own descriptors; other names are never there.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Copies of files, alive as long as this.
#[derive(Default)]
pub(super) struct Handed {
    copies: Vec<Copy>,
}

struct Copy {
    /// What the program is given.
    path: PathBuf,
    original: PathBuf,
    _content: Option<File>,
}

impl Handed {
    /// Hands a file over, or leads to nothing where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn file(&mut self, original: &Path, account: &Account) -> Result<PathBuf> {
        let failed = |error: io::Error| Error::path("read", original, error);
        let content = fs::read(original);
        match content {
            Ok(content) => self.text(original, &content, 0o600, account),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(self.nothing(original))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Hands over a file that libpq uses only if it is closed to others. One that is open stays
    /// open, so that libpq refuses it.
    ///
    /// # Errors
    /// As [`Handed::file`].
    pub fn key(&mut self, original: &Path, account: &Account) -> Result<PathBuf> {
        let Ok(meta) = fs::metadata(original) else { return self.file(original, account) };
        if !meta.is_file() {
            return Err(Error::path("use", original, ErrorKind::InvalidInput));
        }
        // The group may read a key of root's.
        let forbidden = if meta.uid() == 0 { 0o037 } else { 0o077 };
        let mode = if meta.mode() & forbidden == 0 { 0o600 } else { 0o644 };
        let content = fs::read(original).map_err(|error| Error::path("read", original, error))?;
        self.text(original, &content, mode, account)
    }

    /// Hands over a text that stands for a file.
    ///
    /// # Errors
    /// When there is no memory or no descriptor for it.
    pub fn text(
        &mut self,
        original: &Path,
        content: &[u8],
        mode: u32,
        account: &Account,
    ) -> Result<PathBuf> {
        let make = || {
            let mut file = in_memory()?;
            file.write_all(content)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            if let Some((uid, gid)) = account.to_switch_to() {
                fchown(&file, Some(uid), Some(gid))?;
            }
            Ok(file)
        };
        let file = make().map_err(|error: io::Error| Error::path("hand over", original, error))?;
        let path = Path::new(DESCRIPTORS).join(file.as_raw_fd().to_string());
        self.copies.push(Copy {
            path: path.clone(),
            original: original.into(),
            _content: Some(file),
        });
        Ok(path)
    }

    /// A path to nothing, in the place of a file that is not there.
    pub fn nothing(&mut self, original: &Path) -> PathBuf {
        let path = Path::new(DESCRIPTORS).join(format!("absent-{}", self.copies.len()));
        self.copies.push(Copy { path: path.clone(), original: original.into(), _content: None });
        path
    }

    /// A program's words, with the names that the caller knows.
    pub fn in_the_callers_words(&self, said: &str) -> String {
        let mut said = said.to_owned();
        let mut copies: Vec<&Copy> = self.copies.iter().collect();
        // One name may begin with another.
        copies.sort_by_key(|copy| std::cmp::Reverse(copy.path.as_os_str().len()));
        for copy in copies {
            said = said.replace(&*copy.path.to_string_lossy(), &copy.original.to_string_lossy());
        }
        said
    }
}

/// A file without a name that programs started from here inherit.
fn in_memory() -> io::Result<File> {
    // Since Linux 6.3 a system may insist on the flag; before, it is not known.
    let made = match memfd_create("tine", MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create("tine", MemfdFlags::empty()),
        made => made,
    };
    Ok(made?.into())
}
