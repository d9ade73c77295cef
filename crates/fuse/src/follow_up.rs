//! What the server does about a request besides sending its answer.

use tine_fs::{Attr, Ino, Kind};

use crate::notify::FileRange;

/// Set while a request is served, carried out afterwards.
#[derive(Debug, Default)]
pub(crate) struct FollowUp {
    /// The kernel has to forget these attributes before it gets the answer.
    pub stale_attr: Option<Ino>,
    /// Data from the kernel's cache that was not taken.
    pub failed_writeback: Option<FileRange>,
    /// Bytes that a direct write replaced: the kernel has to drop its pages of them before it gets
    /// the answer.
    pub overwritten: Option<FileRange>,
    /// Files whose attributes the answer shows while the disk is full: the kernel has to forget
    /// them, so that it asks before it takes the next write.
    pub shown: Vec<Ino>,
    /// The disk was full when the request came.
    disk_is_full: bool,
}

impl FollowUp {
    pub fn new(disk_is_full: bool) -> FollowUp {
        FollowUp { disk_is_full, ..FollowUp::default() }
    }

    /// Notes attributes that the answer shows.
    pub fn note_shown(&mut self, attr: &Attr) {
        if self.disk_is_full && attr.kind == Kind::File {
            self.shown.push(attr.ino);
        }
    }
}
