//! What-if for a whole running application: fork its files, try several futures, keep one.
//!
//! This crate is the front of the workspace. A [`Store`] is one file that holds many [`Branch`]es;
//! forking one takes microseconds, and from then on each copies exactly what it writes. [`Fs`] sees
//! the files of a branch without a kernel in the loop; the binary `tine` mounts them.
//!
//! ```
//! use tine::{Caller, Fs, NewRoot, Options, ROOT, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("store.tine");
//! let store = Store::create(&path, &Options::default())?;
//! let me = Caller { uid: 1000, gid: 1000, umask: 0o022 };
//!
//! // A branch with a file.
//! let main = store.create_branch("main")?;
//! Fs::format(&main, &NewRoot { mode: 0o755, uid: me.uid, gid: me.gid })?;
//! let fs = Fs::open(&store, main)?;
//! let note = fs.create(&me, ROOT, b"note", 0o644)?.ino;
//! fs.write(note, 0, b"as it was", false)?;
//!
//! // A fork of it: O(1), writable, apart.
//! let what_if = Fs::open(&store, store.fork("main", "what-if")?)?;
//! what_if.write(note, 0, b"as it may be", false)?;
//!
//! let mut text = [0; 9];
//! fs.read(note, 0, &mut text)?;
//! assert_eq!(&text, b"as it was");
//!
//! // What changed, at the cost of the change.
//! let branch = what_if.branch();
//! let before = branch.fork_point()?.expect("a fork keeps its fork point");
//! let changes = tine::diff(&before, &branch.read()?)?;
//! assert_eq!(changes[0].path, b"note");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub use tine_fs::{
    Attr, Caller, Change, DirEntry, Fallocate, Fs, Ino, Kind, NewRoot, PathChange, ROOT,
    RenameMode, Seek, SetAttr, SetTime, Stat, Time, XattrMode, diff,
};
pub use tine_store::{
    Branch, BranchInfo, BranchUsage, CheckReport, Finding, Options, ReadTxn, Severity, Store,
    StoreUsage, WriteTxn,
};

/// The key-value layer below the files, for what is not a file.
pub mod store {
    pub use tine_store::*;
}

/// Errors of files; those of the store are in [`store`].
pub use tine_fs::Error as FsError;
/// Errors of the store.
pub use tine_store::Error as StoreError;
