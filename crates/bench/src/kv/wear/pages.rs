//! The subjects, which store pages. Every write is one transaction that is durable when it returns.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;
use tine_store::{Branch, Options};

pub const PAGE_BYTES: usize = 4096;

/// A page's number, and what it holds from now on.
pub type Page = (u64, Vec<u8>);

pub trait Pages {
    fn write(&mut self, pages: &[Page]) -> Result<()>;
    /// Writes everything that was deferred to its final place.
    fn write_deferred(&mut self) -> Result<()>;
}

/// A map of a branch.
pub struct Store {
    store: tine_store::Store,
    branch: Branch,
}

impl Store {
    pub fn new(directory: &Path) -> Result<Store> {
        let store = tine_store::Store::create(&directory.join("store.tine"), &Options::default())?;
        let branch = store.create_branch("main")?;
        Ok(Store { store, branch })
    }
}

impl Pages for Store {
    fn write(&mut self, pages: &[Page]) -> Result<()> {
        let staged: Vec<_> =
            pages.iter().map(|(_, data)| self.branch.stage(data)).collect::<Result<_, _>>()?;
        let mut txn = self.branch.write()?;
        for ((place, _), staged) in pages.iter().zip(staged) {
            txn.map(b"file", *place, staged)?;
        }
        txn.commit()?;
        Ok(self.branch.sync()?)
    }

    fn write_deferred(&mut self) -> Result<()> {
        Ok(self.store.checkpoint()?)
    }
}

/// A table of pages, with a write-ahead log.
pub struct Database(Connection);

impl Database {
    pub fn new(directory: &Path) -> Result<Database> {
        let database = Connection::open(directory.join("data.sqlite"))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.execute("CREATE TABLE pages (number INTEGER PRIMARY KEY, data BLOB)", ())?;
        Ok(Database(database))
    }
}

impl Pages for Database {
    fn write(&mut self, pages: &[Page]) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO pages VALUES (?1, ?2)")?;
            for (place, data) in pages {
                put.execute((*place as i64, data))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn write_deferred(&mut self) -> Result<()> {
        Ok(self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
    }
}

/// A plain file. btrfs copies what is overwritten.
pub struct BtrfsFile(File);

impl BtrfsFile {
    pub fn new(directory: &Path) -> Result<BtrfsFile> {
        Ok(BtrfsFile(File::create(directory.join("file"))?))
    }
}

impl Pages for BtrfsFile {
    fn write(&mut self, pages: &[Page]) -> Result<()> {
        for (place, data) in pages {
            self.0.write_all_at(data, place * PAGE_BYTES as u64)?;
        }
        Ok(self.0.sync_data()?)
    }

    fn write_deferred(&mut self) -> Result<()> {
        Ok(self.0.sync_all()?)
    }
}
