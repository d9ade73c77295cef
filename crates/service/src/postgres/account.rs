//! Whose rights the server's programs run with: PostgreSQL refuses root.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::{Code, Error, Result};

/// The account of PostgreSQL's own packages.
const PACKAGED: &str = "postgres";

/// A user of the system, with the rights of its main group only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
    /// As in the table of users; the number where that has no name.
    pub name: String,
    /// This process has to take the account's identity for its children.
    switch: bool,
}

impl Account {
    /// Who may start a server on this directory: its owner, which PostgreSQL insists on.
    pub fn of_directory(directory: &Path) -> Result<Self> {
        let metadata =
            fs::metadata(directory).map_err(|error| Error::path("read", directory, error))?;
        let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if owner == 0 {
            let message = format!(
                "{} belongs to root, and PostgreSQL does not run as root",
                directory.display()
            );
            return Err(Error::new(Code::NotPermitted, message)
                .hint("give it to another user with `chown -R` inside the branch"));
        }
        if me != 0 && me != owner {
            let message = format!(
                "{} belongs to {}, and only that user or root can start its server",
                directory.display(),
                name_of(owner)
            );
            return Err(Error::new(Code::NotPermitted, message)
                .hint("run tine as that user, or own a copy: import the directory as yourself"));
        }
        Ok(Self { uid: owner, gid: metadata.gid(), name: name_of(owner), switch: me != owner })
    }

    /// Who takes in another server's data: this user, or for root the packages' account.
    pub fn for_new_cluster() -> Result<Self> {
        let me = rustix::process::geteuid().as_raw();
        if me != 0 {
            let gid = rustix::process::getegid().as_raw();
            return Ok(Self { uid: me, gid, name: name_of(me), switch: false });
        }
        let missing = || {
            Error::new(Code::Unsupported, format!("there is no user `{PACKAGED}` to own the data"))
                .hint("install PostgreSQL's server package, or run tine as an ordinary user")
        };
        let (uid, gid) = users()
            .find_map(|(name, uid, gid)| (name == PACKAGED).then_some((uid, gid)))
            .ok_or_else(missing)?;
        Ok(Self { uid, gid, name: PACKAGED.to_owned(), switch: true })
    }

    /// This process's own account, whoever that is.
    #[cfg(test)]
    pub fn own_process() -> Self {
        Self { uid: 0, gid: 0, name: String::new(), switch: false }
    }

    /// A command with this account's rights and none of the caller's connection settings but those of
    /// authentication.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for variable in [
            "PGDATA",
            "PGHOST",
            "PGHOSTADDR",
            "PGPORT",
            "PGOPTIONS",
            "PGDATABASE",
            "PGUSER",
            "PGSERVICE",
        ] {
            command.env_remove(variable);
        }
        // The caller's directory may be closed to the account.
        command.current_dir("/");
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes a directory that only this account can enter, or leaves the one that is there.
    pub fn private_directory(&self, directory: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir_all(directory).map_err(|error| Error::path("make", directory, error))?;
        self.own(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
            .map_err(|error| Error::path("close", directory, error))
    }

    /// Returns `true` unless the system would keep this account from writing to what is at `path`, links followed.
    pub fn may_write(&self, path: &Path) -> bool {
        if !self.switch {
            return access(path, Access::WRITE_OK) != Err(Errno::ACCESS);
        }
        let Ok(metadata) = fs::metadata(path) else { return true };
        let class = match (metadata.uid() == self.uid, metadata.gid() == self.gid) {
            (true, _) => 0o200,
            (_, true) => 0o020,
            _ => 0o002,
        };
        metadata.mode() & class != 0
    }

    /// Makes a new file of the account's in the place of whatever is at `path`, to be written by this process. Others
    /// may write in its directory: no link there is followed.
    pub fn create(&self, path: &Path) -> Result<File> {
        use std::os::unix::fs::{OpenOptionsExt, fchown};
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::path("replace", path, error));
            }
            _ => {}
        }
        let failed = |error| Error::path("write", path, error);
        let how = File::options().write(true).create_new(true).mode(0o600).clone();
        let file = how.open(path).map_err(failed)?;
        if self.switch {
            fchown(&file, Some(self.uid), Some(self.gid)).map_err(failed)?;
        }
        Ok(file)
    }

    /// Gives a file or directory to the account.
    pub fn own(&self, path: &Path) -> Result<()> {
        if !self.switch {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(|error| Error::path("give away", path, error))
    }
}

fn name_of(uid: u32) -> String {
    users().find_map(|(name, id, _)| (id == uid).then_some(name)).unwrap_or_else(|| uid.to_string())
}

/// Name, user and group of every line of the table of users.
fn users() -> impl Iterator<Item = (String, u32, u32)> {
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        Some((name, uid, fields.next()?.parse().ok()?))
    };
    table.lines().filter_map(user).collect::<Vec<_>>().into_iter()
}
