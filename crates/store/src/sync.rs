//! Locking that survives a panic elsewhere: state under our locks is changed only by steps that
//! either finish or leave it whole, so a poisoned lock is taken as it is.
//!
//! All that threads of the engine wait for comes from here, so that `cfg(shuttle)` can put a
//! scheduler under it.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
};
#[cfg(all(any(test, feature = "testing"), not(all(test, shuttle))))]
pub(crate) use std::thread::yield_now;

// A scheduler of its own tries orders of events that threads rarely find.
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{
    Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::thread::yield_now;

use std::time::Duration;

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: Duration,
) -> MutexGuard<'a, T> {
    condvar.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner).0
}
