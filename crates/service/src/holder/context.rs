//! An open store and the mounts that are served from it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tine_store::{Options, Store};

use crate::holder::history::{self, History};
use crate::holder::mounts::Mounts;
use crate::holder::names;
use crate::holder::refreshing::Refreshing;
use crate::protocol::history::PointKind;
use crate::protocol::identity::Identity;
use crate::protocol::{Error, Result};

/// How much of the store points hold at most, unless it is set.
pub const POINTS_PERCENT: u8 = 10;

/// An open store and the mounts that are served from it.
pub struct Context {
    pub(super) store: Store,
    pub(super) mounts: Mounts,
    /// Where the file was as it was opened; `None` for a store that was opened elsewhere.
    path: Option<PathBuf>,
    identity: Option<Identity>,
    /// Whether changes would be gone with the process.
    pub(super) read_only: bool,
    pub(super) refreshing: Refreshing,
    /// Whether a command waits for this process to end.
    is_awaited: AtomicBool,
    /// Held by the request that works with the history.
    turn: Mutex<()>,
    /// How much of the store points may hold.
    pub(super) points_percent: u8,
    /// Whether it stays open after a request, in the holder.
    pub(super) is_served: bool,
    /// Whether points were made since it was last looked how much they hold.
    pub(super) has_new_points: AtomicBool,
}

impl Context {
    /// Opens the store at `path`, and undoes what a process that died left half-made.
    ///
    /// # Errors
    /// `store-not-found`, `store-locked` while another process has it open, `store-damaged`,
    /// `store-version`, `io`.
    pub fn open(path: &Path, options: &Options) -> Result<Context> {
        let seen = || std::fs::metadata(path).ok().map(|meta| Identity::of(&meta));
        let before = seen();
        let store = Store::open(path, options)?;
        // Unless the file was replaced meanwhile, and either could be the one that is open.
        let identity = seen().filter(|after| Some(*after) == before);
        names::sweep(&store)?;
        history::sweep(&store)?;
        Ok(Context { identity, path: Some(path.to_owned()), ..Context::over(store) })
    }

    /// The file that the store is in; `None` where that is not certain.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Opens the store at `path` without writing its file; requests that change something are
    /// refused.
    ///
    /// # Errors
    /// As [`Context::open`].
    pub fn open_read_only(path: &Path, options: &Options) -> Result<Context> {
        let store = Store::open_read_only(path, options)?;
        // In memory: what was half-made is not shown.
        names::sweep(&store)?;
        history::sweep(&store)?;
        let path = Some(path.to_owned());
        Ok(Context { read_only: true, path, ..Context::over(store) })
    }

    /// The requests of a store that is open already.
    #[doc(hidden)]
    pub fn over(store: Store) -> Context {
        let mounts = Mounts::default();
        history::give_way_on_shortage(&store, &mounts.held);
        Context {
            store,
            mounts,
            path: None,
            identity: None,
            read_only: false,
            refreshing: Refreshing::default(),
            is_awaited: AtomicBool::new(false),
            turn: Mutex::default(),
            points_percent: POINTS_PERCENT,
            is_served: false,
            has_new_points: AtomicBool::new(false),
        }
    }

    /// The same in the holder, which has time after a request.
    pub(super) fn served(self) -> Context {
        Context { is_served: true, ..self }
    }

    /// The same, with the part of the store that points may hold.
    #[must_use]
    pub fn with_points_percent(self, percent: u8) -> Context {
        Context { points_percent: percent, ..self }
    }

    /// The history, once no other request works with it.
    pub(super) fn history(&self) -> History<'_> {
        History::of(&self.store, self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An error of a request, with the file of the store where only the store knows the reason.
    pub(super) fn located(&self, error: Error) -> Error {
        match &self.path {
            Some(path) => error.of_store(path),
            None => error,
        }
    }

    /// Returns `true` if the store was opened without writing its file.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Deletes the branches whose time has come; one that is mounted waits until it is not. Ends
    /// the deleted ones whose days are over.
    ///
    /// # Errors
    /// Those of the store.
    pub fn expire(&self) -> Result<()> {
        let now = SystemTime::now();
        for info in self.store.branches()? {
            let Some(shown) = names::shown(&info.name) else { continue };
            if info.expires.is_none_or(|time| time > now) || self.mounts.find(&info.name).is_some()
            {
                continue;
            }
            // What is wrong with the history keeps no branch.
            if !history::stays(&self.store, info.id).unwrap_or(false) {
                self.remove(&info.name, &shown, PointKind::Expire, false)?;
            }
        }
        history::unless_damaged(self.history().end_old())
    }

    /// Returns `true` if nothing is mounted.
    pub fn is_idle(&self) -> bool {
        self.mounts.list().is_empty()
    }

    /// Lets go of the store as soon as it is idle.
    pub(super) fn let_go(&self) {
        self.is_awaited.store(true, Ordering::Release);
    }

    /// Returns `true` if it is to end as soon as it is idle.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::Acquire)
    }

    /// Makes everything durable and lets go of the store.
    pub fn close(self) -> Result<()> {
        Ok(self.store.close()?)
    }
}
