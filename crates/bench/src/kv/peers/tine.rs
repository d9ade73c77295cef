//! tine-store: one table of one branch.

use std::path::Path;

use anyhow::Result;
use tine_store::{Branch, Options, Store};

use crate::kv::data::{Key, Pair};
use crate::kv::subject::Subject;

const TABLE: &str = "x";

struct Tine {
    branch: Branch,
}

pub fn open(directory: &Path, cache_bytes: u64) -> Result<Box<dyn Subject>> {
    let path = directory.join("store.tine");
    let mut options = Options::default();
    options.cache_bytes = cache_bytes as usize;
    let branch = if path.exists() {
        Store::open(&path, &options)?.branch("main")?
    } else {
        Store::create(&path, &options)?.create_branch("main")?
    };
    Ok(Box::new(Tine { branch }))
}

impl Subject for Tine {
    fn write(&self, pairs: &[Pair]) -> Result<()> {
        let mut txn = self.branch.write()?;
        txn.table(TABLE)?.load(pairs.iter().map(|(key, value)| (key, value)))?;
        txn.commit()?;
        Ok(self.branch.sync()?)
    }

    fn remove(&self, keys: &[Key]) -> Result<()> {
        let mut txn = self.branch.write()?;
        let mut table = txn.table(TABLE)?;
        for key in keys {
            table.delete(key)?;
        }
        txn.commit()?;
        Ok(self.branch.sync()?)
    }

    fn get(&self, keys: &[Key]) -> Result<u64> {
        let table = self.branch.read()?.table(TABLE)?;
        let mut sum = 0;
        for key in keys {
            sum += table.get(key)?.map_or(0, |value| u64::from(value[0]));
        }
        Ok(sum)
    }

    fn scan(&self, from: &[Key], entries: usize) -> Result<u64> {
        let table = self.branch.read()?.table(TABLE)?;
        let mut sum = 0;
        for key in from {
            for entry in table.range(*key..).take(entries) {
                sum += u64::from(entry?[0]);
            }
        }
        Ok(sum)
    }
}
