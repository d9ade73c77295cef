//! What a mending could not keep.

use tine_store::{Branch, Finding, Severity};

use crate::path::Paths;
use crate::{Ino, Result};

/// What was lost of a file, given by its inode, or by directory and name where no file is left.
enum Note {
    Of(Ino, String),
    In(Ino, Vec<u8>, String),
}

/// The notes of a mending.
#[derive(Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub fn of(&mut self, ino: Ino, what: impl Into<String>) {
        self.0.push(Note::Of(ino, what.into()));
    }

    pub fn inside(&mut self, dir: Ino, name: &[u8], what: impl Into<String>) {
        self.0.push(Note::In(dir, name.to_vec(), what.into()));
    }

    /// The notes as findings, each with its path in the mended tree.
    pub fn findings(self, branch: &Branch) -> Result<Vec<Finding>> {
        let txn = branch.read()?;
        let mut paths = Paths::new(&txn)?;
        let finding = |note| {
            let (what, place) = match note {
                Note::Of(ino, what) => (what, paths.shown_or_number(ino)),
                Note::In(dir, name, what) => (what, paths.shown_in(dir, &name)),
            };
            Finding { severity: Severity::Error, what, place }
        };
        Ok(self.0.into_iter().map(finding).collect())
    }
}
