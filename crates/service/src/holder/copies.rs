//! Copies in and out. A branch that is being filled has a reserved name, and gets its own when it
//! is complete.

use std::time::Instant;

use tine_fs::{Fs, NewRoot};
use tine_store::Store;

use crate::copy::{self, CopyJob};
use crate::holder::call::{Call, Execute};
use crate::holder::{durable, find, names};
use crate::protocol::copies::{Export, Exported, Import, Imported, Publish, Reserve};
use crate::protocol::time::elapsed_us;
use crate::protocol::{Result, Wanted};

impl Execute for Import {
    fn execute(self, call: &mut Call<'_>) -> Result<Imported> {
        let source = call.descriptor()?;
        let (context, Import { source: path, name }) = (call.context, self);
        let (store, start) = (&context.store, Instant::now());
        names::must_be_free(store, &name)?;
        let import = names::import_of(&name)?;
        must_have_no_import(store, &import, &name)?;
        let hidden = names::reserve(store)?;
        let throttle = copy::Throttle(&|| !context.is_idle());
        let job =
            CopyJob { store, branch: &hidden, path: &path, throttle, progress: call.progress };
        let result = copy::import(job, source).and_then(|copied| {
            store.rename(&hidden.name(), &import)?;
            store.fork(&import, &name)?;
            Ok(copied)
        });
        let copied = match result {
            Ok(copied) => copied,
            Err(error) => {
                // The first error is the one to tell; what stays is swept by the next command.
                let _ = store.delete(&hidden.name());
                let _ = store.sync();
                return Err(error);
            }
        };
        durable::make(store, format_args!("the branch {name:?} is imported"))?;
        Ok(Imported {
            branch: name,
            files: copied.files,
            directories: copied.directories,
            bytes: copied.bytes,
            elapsed_us: elapsed_us(start),
            outside_links: copied.told.links,
            outside_links_count: copied.told.count,
            warnings: copied.told.warnings,
        })
    }
}

/// An error if a directory was imported under the name before, and only the branch was deleted.
fn must_have_no_import(store: &Store, import: &str, name: &str) -> Result<()> {
    match store.branch(import) {
        Err(tine_store::Error::BranchNotFound { .. }) => Ok(()),
        found => {
            found?;
            let name = format!("{name}@import");
            Err(tine_store::Error::BranchExists { name }.into())
        }
    }
}

impl Execute for Export {
    /// Copies a fork of the branch, so that the copy is of one moment.
    fn execute(self, call: &mut Call<'_>) -> Result<Exported> {
        let target = call.descriptor()?;
        let (context, Export { name, target: path }) = (call.context, self);
        let (store, start) = (&context.store, Instant::now());
        let fork = names::reserve_fork(store, &find::find(store, &name)?.stored)?;
        let throttle = copy::Throttle(&|| !context.is_idle());
        let job = CopyJob { store, branch: &fork, path: &path, throttle, progress: call.progress };
        let result = copy::export(job, target);
        let deleted = store.delete(&fork.name());
        let copied = result?;
        deleted?;
        let (files, bytes) = (copied.files, copied.bytes);
        Ok(Exported { branch: name, files, bytes, elapsed_us: elapsed_us(start) })
    }
}

impl Execute for Reserve {
    fn execute(self, call: &mut Call<'_>) -> Result<String> {
        let store = &call.context.store;
        names::must_be_free(store, &self.name)?;
        let hidden = names::reserve(store)?;
        if let Some(reserved) = call.reserved {
            reserved.add(&hidden);
        }
        let (uid, gid) = copy::owner();
        Fs::format(&hidden, &NewRoot { mode: 0o700, uid, gid })?;
        Ok(hidden.name())
    }
}

impl Execute for Publish {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let (store, Publish { hidden, name }) = (&call.context.store, self);
        names::must_be_free(store, &name)?;
        call.context.mounts.must_be_free(&hidden, &hidden, Wanted::Renamed)?;
        store.rename(&hidden, &name)?;
        durable::make(store, format_args!("the branch {name:?} is made"))
    }
}
