//! Whose rights the server's programs run with: PostgreSQL refuses root.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use tine_sys::environment;

use crate::protocol::{Code, Error, Result};

/// The account of PostgreSQL's own packages.
const PACKAGED: &str = "postgres";

/// A user of the system, with the rights of its main group only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
    /// As in the table of users; the number where that has no name.
    pub name: String,
    home: PathBuf,
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
        let User { name, home, .. } = User::of(owner);
        Ok(Self { uid: owner, gid: metadata.gid(), name, home, switch: me != owner })
    }

    /// Who takes in another server's data: this user, or for root the packages' account.
    pub fn for_new_cluster() -> Result<Self> {
        let me = rustix::process::geteuid().as_raw();
        if me != 0 {
            let gid = rustix::process::getegid().as_raw();
            let User { name, home, .. } = User::of(me);
            return Ok(Self { uid: me, gid, name, home, switch: false });
        }
        let missing = || {
            Error::new(Code::Unsupported, format!("there is no user `{PACKAGED}` to own the data"))
                .hint("install PostgreSQL's server package, or run tine as an ordinary user")
        };
        let found = User::all().into_iter().find(|user| user.name == PACKAGED);
        let User { name, uid, gid, home } = found.ok_or_else(missing)?;
        Ok(Self { uid, gid, name, home, switch: true })
    }

    /// This process's own account.
    #[cfg(test)]
    pub fn own_process() -> Self {
        Self { uid: 0, gid: 0, name: String::new(), home: PathBuf::new(), switch: false }
    }

    /// The user that children become, if it is another than that of this process.
    pub fn to_switch_to(&self) -> Option<(u32, u32)> {
        self.switch.then_some((self.uid, self.gid))
    }

    /// A command with this account's rights and an environment that says so, and nothing of the
    /// caller's but the locale; for the caller's own account also where it finds things.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if self.switch {
            environment::of_user(&mut command, &self.name, &self.home);
            command.uid(self.uid).gid(self.gid);
        } else {
            environment::of_this_user(&mut command);
        }
        // The caller's directory may be closed to the account.
        command.current_dir("/");
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

    /// Returns `true` unless the system would keep this account from writing to what is at `path`,
    /// links followed.
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

    /// Makes a new file of the account's in the place of whatever is at `path`, to be written by
    /// this process. Others may write in its directory: no link there is followed.
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

/// Name and home directory of the user that this process runs as.
pub(super) fn this_user() -> (String, PathBuf) {
    let user = User::of(rustix::process::geteuid().as_raw());
    (user.name, user.home)
}

fn name_of(uid: u32) -> String {
    User::of(uid).name
}

/// A line of the table of users.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

impl User {
    /// A user by its number, which is all that is known of a user that is not in the table.
    fn of(uid: u32) -> User {
        let found = User::all().into_iter().find(|user| user.uid == uid);
        found.unwrap_or_else(|| User { name: uid.to_string(), uid, gid: uid, home: "/".into() })
    }

    fn all() -> Vec<User> {
        let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
            let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
            Some(User { name: name.to_owned(), uid, gid, home: home.into() })
        };
        table.lines().filter_map(user).collect()
    }
}
