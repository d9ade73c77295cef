//! Requests that name files: each answer that names an inode counts one lookup of it.

use tine_fs::{Attr, Error, Ino, ROOT};

use super::{Dispatcher, Disposition, Handled};
use crate::follow_up::FollowUp;
use crate::reply::{Listed, Reply};

impl Dispatcher {
    pub(super) fn lookup(
        &self,
        parent: Ino,
        name: &[u8],
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        // The kernel does not remember an error, as it would a name that leads nowhere.
        if parent == ROOT && self.visitors.meet(name) {
            return Err(libc::ENOENT);
        }
        if name == b"." {
            return self.find_by_number(parent, reply, follow_up);
        }
        match self.fs.lookup(parent, name) {
            Err(Error::NoEntry { .. }) => {
                reply.no_entry();
                Ok(Disposition::Reply)
            }
            found => self.entry(found, reply, follow_up),
        }
    }

    /// Answers with the file of a number, which comes from a handle (`name_to_handle_at`). The
    /// kernel compares the generations.
    fn find_by_number(&self, ino: Ino, reply: &mut Reply, follow_up: &mut FollowUp) -> Handled {
        let attr = self.errno(self.fs.getattr(ino))?;
        if attr.nlink == 0 { Err(libc::ENOENT) } else { self.entry(Ok(attr), reply, follow_up) }
    }

    /// Answers with a file that the kernel knows from now on.
    pub(super) fn entry(
        &self,
        attr: tine_fs::Result<Attr>,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        let attr = self.errno(attr)?;
        self.lookups.count(&self.fs, attr.ino);
        follow_up.note_shown(&attr);
        reply.entry(&self.as_mounted(attr));
        Ok(Disposition::Reply)
    }

    /// Answers with a new file without a name, which came with its first lookup counted.
    pub(super) fn unnamed(
        &self,
        attr: tine_fs::Result<Attr>,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        let attr = self.errno(attr)?;
        self.lookups.count_in_use(attr.ino);
        follow_up.note_shown(&attr);
        reply.entry(&self.as_mounted(attr));
        reply.opened();
        Ok(Disposition::Reply)
    }

    pub(super) fn forget(&self, ino: Ino, lookups: u64) -> Handled {
        match self.lookups.forget(&self.fs, ino, lookups) {
            Ok(true) => self.cached.forget(ino),
            Ok(false) => {}
            Err(error) => self.report(&error),
        }
        Ok(Disposition::NoReply)
    }

    pub(super) fn readdir(
        &self,
        ino: Ino,
        position: u64,
        size_max: usize,
        reply: &mut Reply,
    ) -> Handled {
        self.done(self.fs.readdir(ino, position, &mut |entry| {
            reply.directory_entry(&Listed { entry, plus: false, attr: None }, size_max)
        }))
    }

    pub(super) fn readdir_plus(
        &self,
        ino: Ino,
        position: u64,
        size_max: usize,
        reply: &mut Reply,
        follow_up: &mut FollowUp,
    ) -> Handled {
        self.done(self.fs.readdir_plus(ino, position, &mut |entry, attr| {
            // The kernel counts no lookup for these two.
            let own = matches!(entry.name, b"." | b"..");
            let mounted = self.as_mounted(*attr);
            let listed = Listed { entry, plus: true, attr: (!own).then_some(&mounted) };
            let fits = reply.directory_entry(&listed, size_max);
            if fits && !own {
                self.lookups.count(&self.fs, attr.ino);
                follow_up.note_shown(attr);
            }
            fits
        }))
    }
}
