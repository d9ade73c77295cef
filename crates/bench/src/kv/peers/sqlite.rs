//! SQLite: a table without rowid, a write-ahead log, `synchronous = FULL`: each commit is flushed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use rusqlite::Connection;

use crate::kv::data::{Key, Pair};
use crate::kv::subject::Subject;

struct Sqlite {
    /// Each reading thread has its own connection, as is usual with SQLite.
    free: Mutex<Vec<Connection>>,
    path: std::path::PathBuf,
    cache_bytes: u64,
}

pub fn open(directory: &Path, cache_bytes: u64) -> Result<Box<dyn Subject>> {
    let path = directory.join("data.sqlite");
    let subject = Sqlite { free: Mutex::default(), path, cache_bytes };
    subject.with(|connection| {
        Ok(connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS x (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
        )?)
    })?;
    Ok(Box::new(subject))
}

impl Sqlite {
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = free().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = work(&mut connection);
        free().push(connection);
        result
    }

    fn connect(&self) -> Result<Connection> {
        let connection = Connection::open(&self.path)?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{}",
            self.cache_bytes >> 10
        ))?;
        Ok(connection)
    }
}

impl Subject for Sqlite {
    fn write(&self, pairs: &[Pair]) -> Result<()> {
        self.with(|connection| {
            let txn = connection.transaction()?;
            {
                let mut put = txn.prepare_cached("REPLACE INTO x VALUES (?, ?)")?;
                for (key, value) in pairs {
                    put.execute((key.as_slice(), value.as_slice()))?;
                }
            }
            Ok(txn.commit()?)
        })
    }

    fn remove(&self, keys: &[Key]) -> Result<()> {
        self.with(|connection| {
            let txn = connection.transaction()?;
            {
                let mut delete = txn.prepare_cached("DELETE FROM x WHERE k = ?")?;
                for key in keys {
                    delete.execute([key.as_slice()])?;
                }
            }
            Ok(txn.commit()?)
        })
    }

    fn get(&self, keys: &[Key]) -> Result<u64> {
        self.with(|connection| {
            let txn = connection.transaction()?;
            let mut get = txn.prepare_cached("SELECT v FROM x WHERE k = ?")?;
            let mut sum = 0;
            for key in keys {
                sum += get.query_row([key.as_slice()], first_byte)?;
            }
            Ok(sum)
        })
    }

    fn scan(&self, from: &[Key], entries: usize) -> Result<u64> {
        self.with(|connection| {
            let txn = connection.transaction()?;
            let mut scan = txn.prepare_cached("SELECT v FROM x WHERE k >= ? ORDER BY k LIMIT ?")?;
            let mut sum = 0;
            for key in from {
                let mut rows = scan.query((key.as_slice(), entries as i64))?;
                while let Some(row) = rows.next()? {
                    sum += first_byte(row)?;
                }
            }
            Ok(sum)
        })
    }
}

fn first_byte(row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
    Ok(row.get_ref(0)?.as_blob()?.first().copied().map_or(0, u64::from))
}
