//! How much points may hold, and how they give way: the oldest first.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tine_store::Store;

use super::kept::{History, content, is_there};
use super::record::Item;
use super::records::Records;
use crate::holder::{names, reclaim};
use crate::protocol::Result;
use crate::protocol::history::Gone;

/// The points that are mounted, by their names in the store: they do not give way. A lock of its
/// own, under which nothing else is waited for: a change that finds no room asks.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<BTreeSet<String>>>);

impl Held {
    pub fn add(&self, stored: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stored.into());
    }

    pub fn remove(&self, stored: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(stored);
    }

    fn has(&self, stored: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(stored)
    }
}

/// Has the points of a store give way to changes that find no room.
pub fn give_way_on_shortage(store: &Store, held: &Held) {
    let held = held.clone();
    // The longer a change asks, the more go at a time: some free little.
    store.on_shortage(move |store, asked| {
        let count = 1 << asked.min(10);
        matches!(drop_oldest(store, &held, count), Ok(1..))
    });
}

/// Deletes the content of the oldest points and deleted branches, without a record: the change that
/// asks may be one of the records. Returns how many it were.
fn drop_oldest(store: &Store, held: &Held, count: usize) -> Result<usize> {
    let mut dropped = 0;
    for entry in Records::read(store)?.oldest() {
        let (_, item) = entry?;
        if dropped == count {
            break;
        }
        let name = content(item);
        if held.has(&name) || !is_there(store, item)? {
            continue;
        }
        store.delete(&name)?;
        dropped += 1;
    }
    Ok(dropped)
}

/// The names of all that is kept, as the store has them.
pub fn held_names(store: &Store) -> Result<Vec<String>> {
    let infos = store.branches()?.into_iter();
    Ok(infos.map(|info| info.name).filter(|name| names::is_kept(name)).collect())
}

impl History<'_> {
    /// Brings the records up to date with what went because space was needed.
    pub fn note_dropped(&self) -> Result<()> {
        let records = self.records()?;
        let entries = records.oldest().collect::<Result<Vec<_>>>()?;
        if entries.len() == held_names(self.store)?.len() {
            return Ok(());
        }
        for (order, item) in entries {
            if !is_there(self.store, item)? {
                self.note_gone(&records, order, item, Gone::Space)?;
            }
        }
        Ok(())
    }

    fn note_gone(&self, records: &Records, order: u64, item: Item, why: Gone) -> Result<()> {
        match item.serial {
            Some(serial) => {
                let point = records.point(item.branch, serial)?;
                self.change(|change| {
                    change.gives_back();
                    change.begin_way(item)?;
                    change.drop_order(order)?;
                    match point {
                        Some(mut point) => {
                            point.gone = Some(point.gone.unwrap_or(why));
                            change.put_point(item.branch, serial, &point)
                        }
                        None => Ok(()),
                    }
                })?;
                self.delete_content(item)?;
                self.change(|change| {
                    change.gives_back();
                    change.end_way(item)
                })
            }
            None => match records.deleted(item.branch)? {
                Some(deleted) => self.end_deleted(item.branch, deleted, why),
                None => self.change(|change| {
                    change.gives_back();
                    change.drop_order(order)
                }),
            },
        }
    }

    /// Drops the oldest points while all hold more than `percent` of the store: of what it uses and
    /// what its disk has free. The last one stays, so that the last slip can be undone, unless
    /// nothing is to be kept. Counting ends after `time`; what was counted until then decides.
    pub fn keep_to(&self, percent: u8, held: &Held, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        let keep = usize::from(percent > 0);
        // What deleted branches shared counts as that of the others only when it is freed.
        reclaim::before_counting(self.store);
        loop {
            let names = held_names(self.store)?;
            if names.len() <= keep {
                return Ok(());
            }
            let space = self.store.space()?;
            let most = (space.used_bytes.saturating_add(space.available_bytes) / 100)
                .saturating_mul(percent.into());
            let referenced: u64 = (self.store.branches()?.iter())
                .filter(|info| names::is_kept(&info.name))
                .map(|info| info.referenced_bytes)
                .fold(0, u64::saturating_add);
            // Nodes of a tree are not in what it references.
            if percent > 0 && referenced.saturating_mul(2) <= most {
                return Ok(());
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let counted = self.store.held_bytes(&names, &mut || Instant::now() < deadline)?.bytes;
            let Some(mut surplus) = counted.checked_sub(most).filter(|surplus| *surplus > 0) else {
                if percent > 0 {
                    return Ok(());
                }
                self.drop_some(u64::MAX, 0, held)?;
                return Ok(());
            };
            if percent == 0 {
                surplus = u64::MAX;
            }
            if !self.drop_some(surplus, keep, held)? {
                return Ok(());
            }
        }
    }

    /// Drops the oldest points until those that went held so many bytes by themselves. Returns
    /// `true` if one went.
    fn drop_some(&self, mut bytes: u64, keep: usize, held: &Held) -> Result<bool> {
        let records = self.records()?;
        let entries = records.oldest().collect::<Result<Vec<_>>>()?;
        let mut some = false;
        for (order, item) in &entries[..entries.len().saturating_sub(keep)] {
            let name = content(*item);
            if held.has(&name) {
                continue;
            }
            let alone = self.store.held_bytes(&[&name], &mut || true)?.bytes;
            self.note_gone(&records, *order, *item, Gone::Budget)?;
            some = true;
            match bytes.checked_sub(alone.max(1)) {
                Some(rest) if rest > 0 => bytes = rest,
                _ => break,
            }
        }
        Ok(some)
    }
}
