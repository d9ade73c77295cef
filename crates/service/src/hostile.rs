//! Exports of forged trees, for tests and fuzzing: whatever the tree says, nothing
//! outside the target is made or changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tine_store::{Branch, MemoryDevice, Options, Store};

use crate::holder::{Call, Context};
use crate::protocol::copies::{Export, Exported};
use crate::protocol::{Progress, Result};

/// A store in memory, and in it the branch `main` with a file tree.
///
/// # Errors
/// Those of the store.
pub fn store() -> Result<(Store, Branch)> {
    let mut options = Options::default();
    options.background = false;
    let store = Store::create_on(Arc::new(MemoryDevice::new()), &options)?;
    let main = store.create_branch("main")?;
    tine_fs::Fs::format(&main, &tine_fs::NewRoot { mode: 0o755, uid: 0, gid: 0 })?;
    Ok((store, main))
}

/// Exports `main` into the new directory `target/out` below `lab`, and looks whether anything
/// else changed.
///
/// # Errors
/// Those of an export.
///
/// # Panics
/// If something outside the target was made or changed, or the lab cannot be used.
pub fn export(lab: &Path, store: Store) -> Result<Exported> {
    let target = lab.join("target/out");
    fs::create_dir_all(&target).expect("the lab takes a directory");
    fs::create_dir_all(lab.join("beside")).expect("the lab takes a directory");
    fs::write(lab.join("beside/file"), "as it was").expect("the lab takes a file");
    let before = outside(lab, &target);
    let opened = File::open(&target).expect("the target can be opened");
    let export = Export { name: "main".into(), target: target.clone() };
    let context = Context::over(store);
    let exported = Call::new(&context, vec![opened.into()], &Progress::default()).answer(export);
    assert_eq!(before, outside(lab, &target), "an export left its target");
    exported
}

/// Everything below the lab but what is in the target: content, and what else may change.
fn outside(lab: &Path, target: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![lab.to_path_buf()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).expect("the lab can be read");
        if meta.is_dir() && path != target {
            let entries = fs::read_dir(&path).expect("the lab can be read");
            left.extend(entries.flatten().map(|entry| entry.path()));
        }
        let content = if meta.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        // The target itself gets the attributes of the root.
        let state = match path == target {
            true => String::new(),
            false => format!("{:o} {} {:?}", meta.mode(), meta.nlink(), meta.mtime()),
        };
        found.insert(path, format!("{state} {content:?}"));
    }
    found
}
