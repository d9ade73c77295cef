//! What is remembered of a cluster from one start to the next, in a file of its data directory.
//!
//! So it lasts as long as the branch, goes along with a fork, and moves with the store. What is in
//! the file is not trusted: a program that may write in the branch may write anything there.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::data_file;
use crate::protocol::{Error, Result};

const NAME: &str = "tine.server";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Remembered {
    /// The database that was named when the data was taken in, and the role that did it.
    pub database: Option<String>,
    pub role: Option<String>,
    port: Option<Port>,
}

/// A port belongs to one branch; a fork needs another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Port {
    branch: String,
    number: u16,
}

impl Remembered {
    pub fn of_import(database: &str, role: &str) -> Self {
        Self { database: Some(database.into()), role: Some(role.into()), port: None }
    }

    /// What the directory has; nothing where there is no such file, or one of another kind.
    pub fn read(directory: &Path) -> Self {
        let read = data_file::read_own(&directory.join(NAME));
        read.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// The port that this branch had last.
    pub fn port(&self, branch: &str) -> Option<u16> {
        self.port.as_ref().filter(|port| port.branch == branch).map(|port| port.number)
    }

    pub fn set_port(&mut self, branch: &str, number: u16) {
        self.port = Some(Port { branch: branch.into(), number });
    }

    /// Puts a new file in the place of the old one, whatever that was.
    pub fn write(&self, directory: &Path, account: &Account) -> Result<()> {
        let path = directory.join(NAME);
        let unfinished = directory.join(format!("{NAME}.new"));
        let mut file = account.create(&unfinished)?;
        let mut make = || {
            serde_json::to_writer(&mut file, self)?;
            file.write_all(b"\n")?;
            fs::rename(&unfinished, &path)
        };
        make().map_err(|error: io::Error| Error::path("write", &path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_remembered_for_its_branch_alone() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Remembered::read(directory.path()), Remembered::default());
        let mut remembered = Remembered::of_import("shop", "app");
        remembered.set_port("1-77", 20_001);
        remembered.write(directory.path(), &Account::own_process()).unwrap();
        let read = Remembered::read(directory.path());
        assert_eq!(read, remembered);
        assert_eq!((read.port("1-77"), read.port("2-78")), (Some(20_001), None));
    }

    #[test]
    fn whatever_else_has_the_name_is_neither_followed_nor_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join(NAME), directory.path().join("other"));
        fs::write(&other, r#"{"database":"theirs"}"#).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        std::os::unix::fs::symlink(&other, directory.path().join("tine.server.new")).unwrap();
        assert_eq!(Remembered::read(directory.path()), Remembered::default());
        Remembered::of_import("d", "r").write(directory.path(), &Account::own_process()).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), r#"{"database":"theirs"}"#);
        assert_eq!(Remembered::read(directory.path()).database.as_deref(), Some("d"));
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(Remembered::read(directory.path()), Remembered::default());
        for text in ["", "{", "[]", r#"{"port":{"branch":"b","number":70000}}"#] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, text).unwrap();
            assert_eq!(Remembered::read(directory.path()), Remembered::default(), "{text}");
        }
    }
}
