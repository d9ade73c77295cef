//! Opening engines that the benchmark of the store compares with, where their own call is `unsafe`.

use std::path::Path;

use heed::{Env, EnvFlags, EnvOpenOptions};
use sanakirja::btree::{self, UDb};
use sanakirja::{AllocPage, Error};

/// Opens LMDB's environment in `directory`, with a map of `map_bytes`. No other process may use the
/// directory meanwhile. With `scattered`, a fault in the map brings its own page only, and not what the host reads ahead.
///
/// # Errors
/// LMDB's own.
pub fn lmdb(directory: &Path, map_bytes: usize, scattered: bool) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(map_bytes).max_readers(64);
    if scattered {
        // SAFETY: this flag is advice about reading, and gives up none of what makes the map sound.
        unsafe { options.flags(EnvFlags::NO_READ_AHEAD) };
    }
    // SAFETY: the map is sound while nobody changes the file behind LMDB's back; the benchmark makes
    // the directory for itself alone, mode 0700, and opens it once at a time.
    unsafe { options.open(directory) }
}

/// A new, empty table of byte strings in a transaction of sanakirja.
///
/// # Errors
/// sanakirja's own.
pub fn sanakirja_table<T: AllocPage<Error = Error>>(txn: &mut T) -> Result<UDb<[u8], [u8]>, Error> {
    // SAFETY: the page is allocated by `txn` and initialised for the very types that the result names.
    unsafe { btree::create_db_(txn) }
}
