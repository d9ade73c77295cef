//! PostgreSQL's programs as they are installed here, by major version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tine_sys::environment;

use crate::protocol::{Code, Error, Result};

/// From here on standby and recovery are ordinary settings, which a fork's start can override.
const VERSION_MIN: u32 = 12;

/// The programs of one major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The directory that has `postgres`, `pg_basebackup` and the others.
    pub programs: PathBuf,
    /// The major version, as `PG_VERSION` has it.
    pub version: String,
}

impl Installation {
    /// The installed programs that can run a cluster of this version; only the same major version
    /// can.
    ///
    /// # Errors
    /// `Unsupported`, naming the versions that are installed.
    pub fn for_version(version: &str) -> Result<Self> {
        if version.parse::<u32>().is_ok_and(|number| number < VERSION_MIN) || version.contains('.')
        {
            let message = format!(
                "the data is of PostgreSQL {version}; versions before {VERSION_MIN} are not supported"
            );
            return Err(Error::new(Code::Unsupported, message)
                .hint("upgrade the original with pg_upgrade first"));
        }
        let installed = Self::all();
        if let Some(found) = installed.iter().find(|one| one.version == version) {
            return Ok(found.clone());
        }
        let others: Vec<_> = installed.iter().map(|one| one.version.as_str()).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        let message = format!("the data needs PostgreSQL {version}; installed here: {others}");
        Err(Error::new(Code::Unsupported, message)
            .hint(format!("install its server, on Debian `apt-get install postgresql-{version}`")))
    }

    /// Every installed version, the newest first.
    pub fn all() -> Vec<Self> {
        let mut found: Vec<Self> =
            candidate_directories().iter().filter_map(|path| Self::at(path)).collect();
        found.sort_by_key(|one| {
            std::cmp::Reverse(one.version.parse::<f64>().map_or(0, |n| (n * 10.0) as u64))
        });
        found.dedup_by(|a, b| a.version == b.version);
        found
    }

    /// The newest installed version: its clients speak with servers of all others.
    ///
    /// # Errors
    /// `Unsupported` where none is installed.
    pub fn newest() -> Result<Self> {
        Self::all().into_iter().next().ok_or_else(|| {
            Error::new(Code::Unsupported, "PostgreSQL's programs are not installed here")
                .hint("install the server's package, on Debian `apt-get install postgresql`")
        })
    }

    /// A program of this installation.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The directory of this installation's libraries, which the server knows as `$libdir`.
    pub(super) fn libraries(&self) -> PathBuf {
        // The language that every installation has.
        self.find("plpgsql.so", &["lib", "lib/postgresql", "lib64/pgsql", "lib/pgsql", "lib64"])
    }

    /// The directory of its other files, which the server knows as `$system`.
    pub(super) fn shared_files(&self) -> PathBuf {
        let debian = format!("/usr/share/postgresql/{}", self.version);
        let likely = ["share", "share/postgresql", "share/pgsql", &debian];
        self.find("postgresql.conf.sample", &likely)
    }

    /// The first of the likely directories that has a file; the first of all where none has.
    fn find(&self, file: &str, likely: &[&str]) -> PathBuf {
        let prefix = self.programs.parent().unwrap_or(&self.programs);
        let mut directories = likely.iter().map(|directory| prefix.join(directory));
        let found = directories.clone().find(|directory| directory.join(file).is_file());
        found.or_else(|| directories.next()).unwrap_or_else(|| prefix.to_owned())
    }

    fn at(directory: &Path) -> Option<Self> {
        // A link on the search path may stand alone; the others are next to what it leads to.
        let server = directory.join("postgres").canonicalize().ok()?;
        let directory = server.parent()?;
        if !["psql", "pg_basebackup"].iter().all(|name| directory.join(name).is_file()) {
            return None;
        }
        let mut command = Command::new(&server);
        let output = environment::of_this_user(&mut command).arg("--version").output().ok()?;
        let version = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { programs: directory.to_owned(), version })
    }
}

/// Where distributions put the server's programs, which is seldom on the search path.
fn candidate_directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix, below) in
        [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin"), ("/opt", "pgsql", "bin")]
    {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        directories.extend(ours.map(|entry| entry.path().join(below)));
    }
    directories.push("/usr/local/pgsql/bin".into());
    directories
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → `15`; before 10 a major version has two parts.
fn major(text: &str) -> Option<String> {
    let number =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    let first = parts.next()?;
    if first.parse::<u32>().ok()? >= 10 {
        return Some(first.to_owned());
    }
    Some(format!("{first}.{}", parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_server_says() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").unwrap(), "15");
        assert_eq!(major("postgres (PostgreSQL) 17beta1").unwrap(), "17");
        assert_eq!(major("postgres (PostgreSQL) 9.6.24").unwrap(), "9.6");
        assert_eq!(major("no number"), None);
    }

    #[test]
    fn a_version_that_is_not_installed_is_refused_with_what_is() {
        let error = Installation::for_version("9999").unwrap_err();
        assert_eq!(error.code, Code::Unsupported);
        assert!(error.message.contains("9999") && error.hint_text().contains("postgresql-9999"));
        assert!(Installation::for_version("9.6").unwrap_err().message.contains("before 12"));
    }
}
