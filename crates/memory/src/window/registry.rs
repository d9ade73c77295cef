//! Which window an address belongs to. Signal handlers ask.
//!
//! The table is replaced, never changed. Readers announce themselves in one of two counters, chosen
//! by the epoch's parity. A writer publishes the new table, moves the epoch on, and frees the old
//! table when the counter of the old epoch is zero (sleepable read-copy-update, McKenney 2006).

use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::state::Window;
use crate::error::{Error, Result};
use crate::sys::{self, Mapping};

/// Windows that can be open at a time. The table is copied whenever one opens or closes.
const OPEN_MAX: usize = 4096;

/// A watched range of addresses. It has no window any more once that has closed.
#[derive(Clone)]
struct Entry {
    addresses: Range<usize>,
    window: Option<Arc<Window>>,
}

type Table = Vec<Entry>;

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());
static EPOCH: AtomicUsize = AtomicUsize::new(0);
static READERS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
static WRITING: Mutex<()> = Mutex::new(());
/// The process that the table describes: a child of `fork(2)` has none of the watched memory.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// What is known of an address.
pub(super) enum Found<'a> {
    /// Never watched.
    Nothing,
    /// Watched until a moment ago.
    Closed,
    /// Watched.
    Open(&'a Window),
}

/// Looks up an address. What is found stays valid during `then`. Safe in a signal handler.
pub(super) fn with<R>(address: usize, then: impl FnOnce(Found<'_>) -> R) -> R {
    read(|table| {
        let at = table.partition_point(|entry| entry.addresses.end <= address);
        match table.get(at).filter(|entry| entry.addresses.contains(&address)) {
            None => then(Found::Nothing),
            Some(Entry { window: None, .. }) => then(Found::Closed),
            Some(Entry { window: Some(window), .. }) => then(Found::Open(window)),
        }
    })
}

/// Enters a range, in place of the entry that it has.
pub(super) fn set(addresses: Range<usize>, window: Option<Arc<Window>>) -> Result<()> {
    let guard = lock();
    let mut table = current(&guard);
    // What has closed stays: a thread that got a fault before may look it up long after.
    let open = || table.iter().filter(|entry| entry.window.is_some()).count();
    if window.is_some() && open() >= OPEN_MAX {
        return Err(Error::Windows { limit: OPEN_MAX });
    }
    match table.binary_search_by_key(&addresses.start, |entry| entry.addresses.start) {
        Ok(at) => table[at] = Entry { addresses, window },
        Err(at) => table.insert(at, Entry { addresses, window }),
    }
    publish(&guard, table);
    Ok(())
}

/// Enters a mapping without a window, so that [`knows`] finds its addresses until it is forgotten.
pub(crate) fn enter(mapping: &Mapping) -> Result<()> {
    if knows(mapping.start()) { Ok(()) } else { set(mapping.addresses(), None) }
}

/// Returns `true` if an address belongs to a mapping that had a window or was entered. Safe in a
/// signal handler.
pub(crate) fn knows(address: usize) -> bool {
    with(address, |found| !matches!(found, Found::Nothing))
}

/// Forgets a mapping that is about to be unmapped or moved.
pub(crate) fn forget(mapping: &Mapping) {
    remove(&mapping.addresses());
}

/// Removes a range.
pub(super) fn remove(addresses: &Range<usize>) {
    let guard = lock();
    let mut table = current(&guard);
    let before = table.len();
    table.retain(|entry| entry.addresses.start != addresses.start);
    if table.len() != before {
        publish(&guard, table);
    }
}

fn read<R>(then: impl FnOnce(&[Entry]) -> R) -> R {
    let side = loop {
        let epoch = EPOCH.load(Ordering::SeqCst);
        let side = &READERS[epoch & 1];
        side.fetch_add(1, Ordering::SeqCst);
        if EPOCH.load(Ordering::SeqCst) == epoch {
            break side;
        }
        side.fetch_sub(1, Ordering::SeqCst);
    };
    let table = TABLE.load(Ordering::SeqCst);
    // SAFETY: a published table is freed only when no reader of its epoch is left, and this one has
    // announced itself.
    let answer = then(if table.is_null() { &[] } else { unsafe { &*table } });
    side.fetch_sub(1, Ordering::SeqCst);
    answer
}

fn lock() -> MutexGuard<'static, ()> {
    let guard = WRITING.lock().unwrap_or_else(|e| e.into_inner());
    let process = sys::process_number();
    if PROCESS.swap(process, Ordering::Relaxed) != process {
        // Readers of the parent do not exist here, and its windows are not mapped.
        READERS.iter().for_each(|side| side.store(0, Ordering::SeqCst));
        TABLE.store(ptr::null_mut(), Ordering::SeqCst);
    }
    guard
}

fn current(_: &MutexGuard<'_, ()>) -> Table {
    let table = TABLE.load(Ordering::SeqCst);
    // SAFETY: only a writer frees tables, and the guard says that this is the only one.
    if table.is_null() { Table::new() } else { unsafe { (*table).clone() } }
}

fn publish(_: &MutexGuard<'_, ()>, table: Table) {
    let old = TABLE.swap(Box::into_raw(Box::new(table)), Ordering::SeqCst);
    let epoch = EPOCH.fetch_add(1, Ordering::SeqCst);
    while READERS[epoch & 1].load(Ordering::SeqCst) != 0 {
        std::thread::yield_now();
    }
    if !old.is_null() {
        // SAFETY: made by `Box::into_raw` above, no longer published, and its readers are gone.
        drop(unsafe { Box::from_raw(old) });
    }
}
