//! The thread of a mount that serves no requests: it checks the room on the disk, and drops pages.

use std::time::Duration;

use tine_fs::Ino;

use crate::invalidation::Next;
use crate::lock::lock;
use crate::queue::Ended;
use crate::server::{Server, Step};
use crate::shortage::CHECK_EVERY;

/// The kernel mostly knows a new file this long after the answer that has it.
const NEW_TO_KERNEL: Duration = Duration::from_millis(2);

impl Server {
    /// Works until the mount ends.
    pub fn keep_house(&self) {
        let mut shown_before = Vec::new();
        while let Ok(()) = self.keep_house_once(&mut shown_before) {}
    }

    fn keep_house_once(&self, shown_before: &mut Vec<Ino>) -> Step<()> {
        let next = self.invalidations.next(CHECK_EVERY);
        if self.dispatcher.check_room() {
            // The kernel is to ask before it takes the next write to any file.
            self.invalidate_shown(&self.dispatcher.known())?;
        }
        self.invalidate_shown_again(shown_before)?;
        match next {
            Next::Range(range, answer) => {
                self.notify(&range.inval())?;
                answer.map_or(Ok(()), |answer| self.send(&answer))
            }
            Next::Nothing => Ok(()),
            Next::Stop => Err(Ended),
        }
    }

    /// Makes the kernel forget, once more, the attributes that it was shown of late on a full disk.
    /// When it was notified for the first time, it may not have known a new file yet.
    fn invalidate_shown_again(&self, before: &mut Vec<Ino>) -> Step<()> {
        let shown = std::mem::take(&mut *lock(&self.shown));
        if !shown.is_empty() {
            std::thread::sleep(NEW_TO_KERNEL);
        }
        let sent = self.invalidate_shown(before).and_then(|()| self.invalidate_shown(&shown));
        *before = shown;
        sent
    }
}
