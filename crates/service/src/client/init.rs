//! Making a store.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tine_store::Store;

use crate::client::Client;
use crate::protocol::identity::Identity;
use crate::protocol::socket::{self, Attempt};
use crate::protocol::{Code, Error, Result};

/// How long a new store waits for the holder of one that was removed, which ends when it is not
/// needed.
const REMOVED_PATIENCE: Duration = Duration::from_secs(2);
const REMOVED_LOOK_EVERY: Duration = Duration::from_millis(500);
impl Client {
    /// Makes the store, and the directory it lies in.
    ///
    /// # Errors
    /// `store-exists` when anything is at the path; `store-locked` when a process still serves a
    /// store that was there and has been removed; `no-space`, `not-permitted`, `io`.
    pub fn init(&self) -> Result<()> {
        let deadline = Instant::now() + REMOVED_PATIENCE;
        // Commands would reach that process, and what they write would be on no disk when it ends.
        while !self.store.exists() && matches!(socket::connect(&self.store)?, Attempt::Reached(_)) {
            if Instant::now() >= deadline {
                let store = self.store.display();
                let what = format!("a process still serves the store that was at {store}");
                return Err(Error::new(Code::StoreLocked, what)
                    .hint("unmount its branches, which ends that process, or use another path"));
            }
            // It ends only after no command has asked for a while.
            thread::sleep(REMOVED_LOOK_EVERY);
        }
        let made = make_parents(&self.store)?;
        let created = Store::create(&self.store, &self.options).and_then(|store| {
            let identity = Identity::at(&self.store);
            store.close().inspect_err(|_| {
                // Nothing is in it yet, and `init` must be able to try again.
                if identity.is_some() && Identity::at(&self.store) == identity {
                    let _ = std::fs::remove_file(&self.store);
                }
            })
        });
        if let Err(error) = created {
            // The deepest first; one in which something lies by now stays.
            for directory in made.iter().rev() {
                let _ = std::fs::remove_dir(directory);
            }
            return Err(Error::from(error).of_new_store(&self.store));
        }
        Ok(())
    }
}

/// Makes the directories that a path lies in; returns those that were missing, the outermost first.
fn make_parents(path: &Path) -> Result<Vec<PathBuf>> {
    let Some(parent) = path.parent() else { return Ok(Vec::new()) };
    let mut missing: Vec<PathBuf> =
        parent.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
    missing.reverse();
    std::fs::create_dir_all(parent).map_err(|error| Error::path("make", parent, error))?;
    Ok(missing)
}
