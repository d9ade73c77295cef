//! redb: a copy-on-write B-tree. Commits have the default durability.

use std::path::Path;

use anyhow::Result;
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::kv::data::{Key, Pair};
use crate::kv::subject::Subject;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("x");

struct Redb(Database);

pub fn open(directory: &Path, cache_bytes: u64) -> Result<Box<dyn Subject>> {
    let path = directory.join("data.redb");
    let database = Database::builder().set_cache_size(cache_bytes as usize).create(path)?;
    Ok(Box::new(Redb(database)))
}

impl Subject for Redb {
    fn write(&self, pairs: &[Pair]) -> Result<()> {
        let txn = self.0.begin_write()?;
        {
            let mut table = txn.open_table(TABLE)?;
            for (key, value) in pairs {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(txn.commit()?)
    }

    fn remove(&self, keys: &[Key]) -> Result<()> {
        let txn = self.0.begin_write()?;
        {
            let mut table = txn.open_table(TABLE)?;
            for key in keys {
                table.remove(key.as_slice())?;
            }
        }
        Ok(txn.commit()?)
    }

    fn get(&self, keys: &[Key]) -> Result<u64> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut sum = 0;
        for key in keys {
            sum += table.get(key.as_slice())?.map_or(0, |value| u64::from(value.value()[0]));
        }
        Ok(sum)
    }

    fn scan(&self, from: &[Key], entries: usize) -> Result<u64> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut sum = 0;
        for key in from {
            for entry in table.range(key.as_slice()..)?.take(entries) {
                sum += u64::from(entry?.1.value()[0]);
            }
        }
        Ok(sum)
    }
}
