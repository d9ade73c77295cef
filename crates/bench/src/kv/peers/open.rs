//! Opening peers whose own call for it is `unsafe`.

#![allow(unsafe_code)]

use std::path::Path;

use heed::{Env, EnvFlags, EnvOpenOptions};
use sanakirja::btree::{self, UDb};
use sanakirja::{AllocPage, Error};

/// Opens LMDB's environment in `directory`, with a map of `map_bytes`. No other process may use the
/// directory meanwhile. With `scattered`, a fault in the map reads only its own page, without the
/// host's read-ahead.
pub fn lmdb(directory: &Path, map_bytes: usize, scattered: bool) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(map_bytes).max_readers(64);
    if scattered {
        // SAFETY: this flag is advice about reading, and does not affect the soundness of the map.
        unsafe { options.flags(EnvFlags::NO_READ_AHEAD) };
    }
    // SAFETY: the map is sound while nothing else changes the file. The benchmark makes the
    // directory for itself alone, mode 0700, and opens it once at a time.
    unsafe { options.open(directory) }
}

/// Makes an empty table of byte strings in a transaction of sanakirja.
pub fn sanakirja_table<T: AllocPage<Error = Error>>(txn: &mut T) -> Result<UDb<[u8], [u8]>, Error> {
    // SAFETY: the page is allocated by `txn` and initialised for the very types that the result
    // names.
    unsafe { btree::create_db_(txn) }
}
