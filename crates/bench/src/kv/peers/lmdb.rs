//! LMDB through heed, with its default durability. Its cache is the host's page cache.

use std::ops::Bound;
use std::path::Path;

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{Database, Env};

use super::open;
use crate::kv::data::{Key, Pair};
use crate::kv::subject::Subject;

const MAP_BYTES: usize = 64 << 30;

struct Lmdb {
    env: Env,
    table: Database<Bytes, Bytes>,
}

pub fn open(directory: &Path, _cache_bytes: u64) -> Result<Box<dyn Subject>> {
    open_map(directory, false)
}

/// For reads all over a file that is larger than the memory.
pub fn open_scattered(directory: &Path, _cache_bytes: u64) -> Result<Box<dyn Subject>> {
    open_map(directory, true)
}

fn open_map(directory: &Path, scattered: bool) -> Result<Box<dyn Subject>> {
    let env = open::lmdb(directory, MAP_BYTES, scattered).context("open LMDB")?;
    let mut txn = env.write_txn()?;
    let table = env.create_database(&mut txn, None)?;
    txn.commit()?;
    Ok(Box::new(Lmdb { env, table }))
}

impl Drop for Lmdb {
    fn drop(&mut self) {
        // The same process opens the directory again later: the environment must be gone then.
        self.env.clone().prepare_for_closing();
    }
}

impl Subject for Lmdb {
    fn write(&self, pairs: &[Pair]) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in pairs {
            self.table.put(&mut txn, key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn remove(&self, keys: &[Key]) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for key in keys {
            self.table.delete(&mut txn, key)?;
        }
        Ok(txn.commit()?)
    }

    fn get(&self, keys: &[Key]) -> Result<u64> {
        let txn = self.env.read_txn()?;
        let mut sum = 0;
        for key in keys {
            sum += self.table.get(&txn, key)?.map_or(0, |value| u64::from(value[0]));
        }
        Ok(sum)
    }

    fn scan(&self, from: &[Key], entries: usize) -> Result<u64> {
        let txn = self.env.read_txn()?;
        let mut sum = 0;
        for key in from {
            let range = (Bound::Included(key.as_slice()), Bound::Unbounded);
            for entry in self.table.range(&txn, &range)?.take(entries) {
                sum += u64::from(entry?.1[0]);
            }
        }
        Ok(sum)
    }
}
