//! sanakirja: a B-tree that can be forked, over a memory map. Its cache is the host's page cache.

use std::path::Path;

use anyhow::Result;
use sanakirja::btree::{self, UDb};
use sanakirja::{Commit, Env, RootDb};

use super::open;
use crate::kv::data::{Key, Pair};
use crate::kv::subject::Subject;

type Table = UDb<[u8], [u8]>;

const FIRST_BYTES: u64 = 1 << 20;

struct Sanakirja(Env);

pub fn open(directory: &Path, _cache_bytes: u64) -> Result<Box<dyn Subject>> {
    Ok(Box::new(Sanakirja(Env::new(directory.join("data.sanakirja"), FIRST_BYTES, 2)?)))
}

impl Subject for Sanakirja {
    fn write(&self, pairs: &[Pair]) -> Result<()> {
        let mut txn = Env::mut_txn_begin(&self.0)?;
        let mut table: Table = match txn.root_db(0) {
            Some(table) => table,
            None => open::sanakirja_table(&mut txn)?,
        };
        for (key, value) in pairs {
            btree::put(&mut txn, &mut table, &key[..], &value[..])?;
        }
        txn.set_root(0, table.db.into());
        Ok(txn.commit()?)
    }

    fn remove(&self, keys: &[Key]) -> Result<()> {
        let mut txn = Env::mut_txn_begin(&self.0)?;
        if let Some(mut table) = txn.root_db::<[u8], [u8], _>(0) as Option<Table> {
            for key in keys {
                btree::del(&mut txn, &mut table, &key[..], None)?;
            }
            txn.set_root(0, table.db.into());
        }
        Ok(txn.commit()?)
    }

    fn get(&self, keys: &[Key]) -> Result<u64> {
        let txn = Env::txn_begin(&self.0)?;
        let Some(table): Option<Table> = txn.root_db(0) else { return Ok(0) };
        let mut sum = 0;
        for key in keys {
            if let Some((found, value)) = btree::get(&txn, &table, &key[..], None)?
                && found == key
            {
                sum += u64::from(value[0]);
            }
        }
        Ok(sum)
    }

    fn scan(&self, from: &[Key], entries: usize) -> Result<u64> {
        let txn = Env::txn_begin(&self.0)?;
        let Some(table): Option<Table> = txn.root_db(0) else { return Ok(0) };
        let mut sum = 0;
        for key in from {
            for entry in btree::iter(&txn, &table, Some((&key[..], None)))?.take(entries) {
                sum += u64::from(entry?.1[0]);
            }
        }
        Ok(sum)
    }
}
