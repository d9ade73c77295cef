//! fjall: a log-structured merge tree. Every batch is persisted with `fdatasync`.

use std::path::Path;

use anyhow::Result;
use fjall::{Config, Keyspace, PartitionCreateOptions, PartitionHandle, PersistMode};

use crate::kv::data::{Key, Pair};
use crate::kv::subject::Subject;

struct Fjall {
    keyspace: Keyspace,
    table: PartitionHandle,
}

pub fn open(directory: &Path, cache_bytes: u64) -> Result<Box<dyn Subject>> {
    let keyspace = Config::new(directory.join("data.fjall")).cache_size(cache_bytes).open()?;
    let table = keyspace.open_partition("x", PartitionCreateOptions::default())?;
    Ok(Box::new(Fjall { keyspace, table }))
}

impl Subject for Fjall {
    fn write(&self, pairs: &[Pair]) -> Result<()> {
        let mut batch = self.keyspace.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in pairs {
            batch.insert(&self.table, *key, value.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn remove(&self, keys: &[Key]) -> Result<()> {
        let mut batch = self.keyspace.batch().durability(Some(PersistMode::SyncData));
        for key in keys {
            batch.remove(&self.table, *key);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, keys: &[Key]) -> Result<u64> {
        let mut sum = 0;
        for key in keys {
            sum += self.table.get(key)?.map_or(0, |value| u64::from(value[0]));
        }
        Ok(sum)
    }

    fn scan(&self, from: &[Key], entries: usize) -> Result<u64> {
        let mut sum = 0;
        for key in from {
            for entry in self.table.range(key.as_slice()..).take(entries) {
                sum += u64::from(entry?.1[0]);
            }
        }
        Ok(sum)
    }
}
