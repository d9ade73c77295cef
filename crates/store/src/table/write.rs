//! Changing a table inside a transaction.

use super::name::Prefix;
use crate::error::Result;
use crate::txn::WriteTxn;

/// A table as a transaction changes it.
#[derive(Debug)]
pub struct TableMut<'t, 'b> {
    txn: &'t mut WriteTxn<'b>,
    prefix: Prefix,
}

impl<'b> WriteTxn<'b> {
    /// The table with the name. It comes with its first entry.
    ///
    /// ```
    /// # fn main() -> tine_store::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("s.tine");
    /// use tine_store::{Options, Store};
    /// let store = Store::create(&path, &Options::default())?;
    /// let main = store.create_branch("main")?;
    ///
    /// let mut txn = main.write()?;
    /// txn.table("born")?.load([("Ada", "1815"), ("Grace", "1906"), ("Barbara", "1939")])?;
    /// txn.table("died")?.put("Ada", "1852")?;
    /// txn.commit()?;
    ///
    /// let trial = store.fork("main", "trial")?; // all tables, in O(1)
    /// let mut txn = trial.write()?;
    /// txn.table("died")?.put("Grace", "1992")?;
    /// txn.commit()?;
    ///
    /// let born = main.read()?.table("born")?;
    /// assert_eq!(born.get("Ada")?.as_deref(), Some(b"1815".as_slice()));
    /// assert_eq!(born.len()?, 3);
    ///
    /// let names = born.range("B"..).rev().map(|entry| Ok(entry?.key().to_vec()));
    /// let names: Vec<_> = names.collect::<tine_store::Result<_>>()?;
    /// assert_eq!(names, [b"Grace".to_vec(), b"Barbara".to_vec()]);
    ///
    /// let mut cursor = born.cursor()?;
    /// cursor.seek("C")?;
    /// assert_eq!(cursor.prev()?.unwrap().key(), b"Barbara");
    ///
    /// let (before, after) = (main.read()?.table("died")?, trial.read()?.table("died")?);
    /// let changes: Vec<_> = before.diff(&after)?.collect::<tine_store::Result<_>>()?;
    /// assert_eq!(changes[0].key, b"Grace");
    /// assert_eq!(main.read()?.tables()?, ["born", "died"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NameInvalid`](crate::Error::NameInvalid) unless the name has 1 to 64 bytes.
    pub fn table(&mut self, name: &str) -> Result<TableMut<'_, 'b>> {
        self.shared.engine()?;
        Ok(TableMut { prefix: Prefix::of(name)?, txn: self })
    }
}

impl TableMut<'_, '_> {
    /// Puts a value.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a value above 2000 bytes, or a key that has
    /// more than 510 together with the table's name.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let key = self.prefix.key_to_put(key.as_ref())?;
        self.txn.put_at(&key, value.as_ref())
    }

    /// Puts many pairs, in any order. They are sorted by the commit, which writes each part of the
    /// table once: the more in one transaction, the faster, as long as they fit in memory.
    ///
    /// # Errors
    /// As [`TableMut::put`]; then those before are put.
    pub fn load<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        pairs.into_iter().try_for_each(|(key, value)| self.put(key, value))
    }

    /// Deletes a key, if it is there.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a key that no table can hold.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        let key = self.prefix.key_to_put(key.as_ref())?;
        self.txn.delete_at(&key);
        Ok(())
    }

    /// The value of a key, as this transaction's own changes leave it.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let key = self.prefix.key(key.as_ref());
        match self.txn.pending_change(&key) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.txn.view().get_at(&key),
        }
    }
}
