//! RocksDB: a log-structured merge tree. Every batch is written with `sync`.

use std::path::Path;

use anyhow::Result;
use rocksdb::{BlockBasedOptions, Cache, DB, Direction, IteratorMode, Options, WriteBatch};

use crate::kv::data::{Key, Pair};
use crate::kv::subject::Subject;

struct Rocks(DB);

pub fn open(directory: &Path, cache_bytes: u64) -> Result<Box<dyn Subject>> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(cache_bytes as usize));
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    Ok(Box::new(Rocks(DB::open(&options, directory.join("data.rocksdb"))?)))
}

impl Rocks {
    fn commit(&self, batch: WriteBatch) -> Result<()> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        Ok(self.0.write_opt(batch, &options)?)
    }
}

impl Subject for Rocks {
    fn write(&self, pairs: &[Pair]) -> Result<()> {
        let mut batch = WriteBatch::default();
        pairs.iter().for_each(|(key, value)| batch.put(key, value));
        self.commit(batch)
    }

    fn remove(&self, keys: &[Key]) -> Result<()> {
        let mut batch = WriteBatch::default();
        keys.iter().for_each(|key| batch.delete(key));
        self.commit(batch)
    }

    fn get(&self, keys: &[Key]) -> Result<u64> {
        let mut sum = 0;
        for key in keys {
            sum += self.0.get_pinned(key)?.map_or(0, |value| u64::from(value[0]));
        }
        Ok(sum)
    }

    fn scan(&self, from: &[Key], entries: usize) -> Result<u64> {
        let mut sum = 0;
        for key in from {
            let start = IteratorMode::From(key, Direction::Forward);
            for entry in self.0.iterator(start).take(entries) {
                sum += u64::from(entry?.1[0]);
            }
        }
        Ok(sum)
    }
}
