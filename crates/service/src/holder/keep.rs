//! What a command leaves of a branch that it deletes, and of one that it is about to change:
//! requests about the history, and the room that it may take.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use crate::holder::call::{Call, Execute};
use crate::holder::context::Context;
use crate::holder::names::Named;
use crate::holder::{durable, find, history};
use crate::protocol::history::{
    CanUndo, Log, Logged, MarkPoint, Marked, PointKind, SettlePoint, Undo, Undone,
};
use crate::protocol::{Code, Hint, Result, Wanted};

/// How long a command goes on counting what points hold after it has done what it was asked.
const TEND_AT_ONCE: Duration = Duration::from_millis(20);

impl Execute for MarkPoint {
    fn execute(self, call: &mut Call<'_>) -> Result<Option<Marked>> {
        let (context, MarkPoint { name, kind, command }) = (call.context, self);
        let named = find::find_to_change(&context.store, &name, "run a command in")?;
        // It is durable before anything that the change does: the journal keeps their order.
        context.history().mark(&named, kind, command)
    }
}

impl Execute for SettlePoint {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let SettlePoint { point, began, status, changes } = self;
        let changes = if began { changes } else { Some(0) };
        call.context.history().settle(point, status, changes)?;
        call.context.note_points();
        Ok(())
    }
}

impl Execute for Log {
    fn execute(self, call: &mut Call<'_>) -> Result<Logged> {
        let (context, name) = (call.context, &self.name);
        match find::find(&context.store, name) {
            Err(error) if error.code == Code::BranchNotFound => {
                context.history().log_deleted(name)?.ok_or(error)
            }
            named => context.history().log(&named?),
        }
    }
}

impl Execute for Undo {
    fn execute(self, call: &mut Call<'_>) -> Result<Undone> {
        let (context, Undo { name, redo, force }) = (call.context, self);
        let undone = match find::find_to_change(&context.store, &name, "take back") {
            Err(error) if error.code == Code::BranchNotFound && !redo => {
                context.history().revive(&name)?.ok_or(error)?
            }
            named => {
                let named = named?;
                must_do_something(context, &named, redo)?;
                if !force {
                    let mounts = &context.mounts;
                    mounts.must_be_free(&named.stored, &named.shown, Wanted::Changed)?;
                }
                context.mounts.abort(&named.stored);
                let history = context.history();
                if redo { history.redo(&named)? } else { history.undo(&named)? }
            }
        };
        durable::make(&context.store, format_args!("{name:?} is taken back"))?;
        context.note_points();
        Ok(undone)
    }
}

impl Execute for CanUndo {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let (context, CanUndo { name, redo }) = (call.context, self);
        let named = find::find_to_change(&context.store, &name, "take back")?;
        must_do_something(context, &named, redo)
    }
}

fn must_do_something(context: &Context, named: &Named, redo: bool) -> Result<()> {
    context.history().can_undo(named, redo).map_err(|error| {
        let kept = history::has_deleted(&context.store, &named.shown).unwrap_or(false);
        match kept && !redo && error.code == Code::Unsupported {
            true => error.hint(Hint::RenameForUndo { branch: named.shown.clone() }),
            false => error,
        }
    })
}

impl Context {
    /// Deletes a branch, which a person calls `shown`; unless it goes `now`, so that it can be
    /// brought back. Returns until when; `None` where there was no room to keep it.
    pub(super) fn remove(
        &self,
        stored: &str,
        shown: &str,
        kind: PointKind,
        now: bool,
    ) -> Result<Option<SystemTime>> {
        let history = self.history();
        if !now && self.points_percent > 0 {
            match history.retire(stored, shown, kind) {
                Ok(until) => return Ok(Some(until)),
                // Deleting works on a full disk, and whatever is wrong with the history.
                Err(error) if error.code == Code::NoSpace || history::is_of_history(&error) => {}
                Err(error) => return Err(error),
            }
        }
        history.end(stored)?;
        Ok(None)
    }

    /// Looks how much points hold: soon in the holder, at once in a process that is about to end.
    pub(super) fn note_points(&self) {
        self.has_new_points.store(true, Ordering::Release);
        if !self.is_served {
            // What fails shows at the next request about the history.
            let _ = self.tend_new(TEND_AT_ONCE);
        }
    }

    /// Brings points to the part of the store that they may hold, if some were made since the last
    /// time.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn tend_new(&self, time: Duration) -> Result<()> {
        match self.has_new_points.swap(false, Ordering::AcqRel) {
            true => self.tend(time),
            false => Ok(()),
        }
    }

    /// Brings points to the part of the store that they may hold; what was not counted after the
    /// time does not count.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn tend(&self, time: Duration) -> Result<()> {
        let history = self.history();
        let tended = history
            .note_dropped()
            .and_then(|()| history.keep_to(self.points_percent, &self.mounts.held, time));
        history::unless_damaged(tended)
    }
}
