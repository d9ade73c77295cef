//! Refuses a data directory that leads out of its branch: a server on it would write to what the
//! original uses.
//!
//! Everything is resolved as the server would: links anywhere in the directory, file systems
//! mounted in it, tablespaces that a backup's map is about to link, and what the configuration
//! files include and name. What the command line overrides (see `parameters.txt`) may lead
//! anywhere.

use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::account::Account;
use super::cluster::Cluster;
use super::configuration::{Configuration, Include, MAIN_FILE, Setting, elsewhere, normalized};
use super::installation::Installation;
use super::parameters::{Class, NEWEST_KNOWN, class_of};
use super::{libraries, tablespace_map};
use crate::machine::links::{leads_out, open_root};
use crate::protocol::{Code, Error, Hint, Result};

/// Files that a fork's server never opens, because TLS is off and its rules of access are its own.
const UNREAD: [&str; 6] =
    ["server.crt", "server.key", "root.crt", "root.crl", "pg_hba.conf", "pg_ident.conf"];

/// More links than a person reads at once.
const NAMED_MAX: usize = 5;

/// A data directory in its branch, and the user and the programs that will serve it.
pub(super) struct Boundary<'a> {
    pub cluster: &'a Cluster,
    pub account: &'a Account,
    pub installation: &'a Installation,
}

impl Boundary<'_> {
    /// Reads the configuration, unless it or anything else leads out of the branch.
    ///
    /// # Errors
    /// `Unsupported` with the name of what leads out, and to where. Nothing has been changed.
    pub fn check(&self) -> Result<Configuration> {
        let data = &self.cluster.directory;
        let root = open_root(&self.cluster.root)
            .map_err(|error| Error::path("open", &self.cluster.root, error))?;
        let mut links = Vec::new();
        self.walk(data, &root, &mut links)?;
        if !links.is_empty() {
            return Err(self.links_lead_out(&links));
        }
        if let Some((number, place)) =
            tablespace_map::read(data)?.into_iter().find(|(_, place)| !self.is_inside(place))
        {
            return Err(tablespace_leads_out(&number, &place));
        }
        let configuration = Configuration::read(data, &|path| self.is_inside(path))?;
        for include in &configuration.includes {
            self.check_include(include)?;
        }
        for setting in configuration.settings() {
            self.check_setting(setting)?;
        }
        if !data.join(MAIN_FILE).exists() {
            return Err(self.without_configuration());
        }
        Ok(configuration)
    }

    /// What [`Boundary::check`] refuses of the configuration, each with its place.
    ///
    /// # Errors
    /// When a file of it cannot be read.
    pub fn refused_settings(&self) -> Result<Vec<String>> {
        let data = &self.cluster.directory;
        let configuration = Configuration::read(data, &|path| self.is_inside(path))?;
        let includes = configuration.includes.iter().map(|include| self.check_include(include));
        let settings = configuration.settings().into_iter().map(|it| self.check_setting(it));
        let refused = includes.chain(settings).filter_map(Result::err);
        Ok(refused.map(|error| error.message).collect())
    }

    /// Gathers the links below `directory` that lead out of the branch, with where each leads.
    fn walk(
        &self,
        directory: &Path,
        root: &OwnedFd,
        found: &mut Vec<(PathBuf, PathBuf)>,
    ) -> Result<()> {
        let failed = |error| Error::path("read", directory, error);
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            if kind.is_dir() {
                self.check_file_system(&path)?;
                self.walk(&path, root, found)?;
            } else if kind.is_symlink() && self.is_read(&path) {
                let below = path.strip_prefix(&self.cluster.root).unwrap_or(&path);
                if leads_out(root.as_fd(), below).map_err(|e| Error::path("resolve", &path, e))? {
                    found.push((path.clone(), fs::read_link(&path).unwrap_or_default()));
                }
            } else if is_pipe_or_device(kind) && self.is_read(&path) {
                return Err(self.holds_a_pipe(&path));
            }
        }
        Ok(())
    }

    fn holds_a_pipe(&self, path: &Path) -> Error {
        let message = format!(
            "{} is a pipe or a device: a server that opens it may wait for ever, or work on the host",
            self.shown(path)
        );
        Error::new(Code::Unsupported, message).hint("remove it, inside the branch")
    }

    fn is_read(&self, path: &Path) -> bool {
        is_read_by_a_fork(path.strip_prefix(&self.cluster.directory).unwrap_or(path))
    }

    fn check_file_system(&self, directory: &Path) -> Result<()> {
        let device = |path: &Path| {
            let metadata = fs::symlink_metadata(path);
            metadata.map(|it| it.dev()).map_err(|error| Error::path("read", path, error))
        };
        if device(directory)? == device(&self.cluster.directory)? {
            return Ok(());
        }
        let message = format!(
            "another file system is mounted at {}, and a server on the branch would write to it",
            self.shown(directory)
        );
        Err(Error::new(Code::Unsupported, message).hint("unmount it, and copy its content there"))
    }

    fn links_lead_out(&self, links: &[(PathBuf, PathBuf)]) -> Error {
        let (path, target) = &links[0];
        if path.parent() == Some(&self.cluster.directory.join("pg_tblspc")) {
            let number = path.file_name().unwrap_or_default().to_string_lossy();
            return tablespace_leads_out(&number, target);
        }
        let named: Vec<String> = links
            .iter()
            .take(NAMED_MAX)
            .map(|(path, target)| format!("{} to {}", self.shown(path), target.display()))
            .collect();
        let more = match links.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let message = format!(
            "links lead out of the branch: {}{more}; a server on it would write to the original",
            named.join(", ")
        );
        Error::new(Code::Unsupported, message).hint(Hint::ImportServerOrReplaceLinks)
    }

    fn check_include(&self, include: &Include) -> Result<()> {
        let Include { path, place, is_optional } = include;
        let (file, line) = (self.shown(&place.file), place.line);
        let is_there = path.exists();
        if is_there && self.is_inside(path) || !is_there && *is_optional {
            return Ok(());
        }
        let why = if is_there { "which is outside of the branch" } else { "which is not here" };
        let message = format!("{file} includes {} at line {line}, {why}", self.shown(path));
        Err(Error::new(Code::Unsupported, message)
            .hint("copy it into the data directory, or take the line out, inside the branch"))
    }

    fn check_setting(&self, setting: &Setting) -> Result<()> {
        let version = self.cluster.version.parse().unwrap_or(0_u32);
        let is_extensions = setting.name.contains('.');
        match class_of(&setting.name) {
            Some(Class::Code) => {
                for place in libraries::places(setting, self.installation) {
                    self.check_code(setting, &place)?;
                }
                self.check_ties(setting)
            }
            Some(_) => Ok(()),
            None if is_extensions => {
                let paths = paths_in(&setting.value);
                paths.iter().try_for_each(|path| self.check_path(setting, path))
            }
            // The server knows all of its own names, and says so of others.
            None if version <= NEWEST_KNOWN => Ok(()),
            None => {
                let message = format!(
                    "tine does not know the setting {} of PostgreSQL {version} ({}), nor whether it leads to other servers",
                    setting.name,
                    self.place(setting)
                );
                Err(Error::new(Code::Unsupported, message)
                    .hint("take the line out, inside the branch"))
            }
        }
    }

    /// A place outside may be named if a server on the branch cannot write there.
    fn check_path(&self, setting: &Setting, path: &Path) -> Result<()> {
        let path = normalized(&self.cluster.directory.join(path));
        if self.is_inside(&path) || !self.account.may_write(nearest(&path)) {
            return Ok(());
        }
        let message = format!(
            "the setting {} leads out of the branch, to {} ({}), where a server on it could write",
            setting.name,
            path.display(),
            self.place(setting)
        );
        Err(Error::new(Code::Unsupported, message)
            .hint("name a place in the data directory, or take the line out, inside the branch"))
    }

    /// Code may come from the branch, from the installation's own libraries, and from where the
    /// server's user cannot have put it.
    fn check_code(&self, setting: &Setting, place: &Path) -> Result<()> {
        let path = self.cluster.directory.join(place);
        // Of a path with `..` the kernel may make another thing than the server, which shortens it
        // first.
        let ways = [normalized(&path), path];
        let Some(path) = ways.into_iter().find(|path| !self.may_load_from(path)) else {
            return Ok(());
        };
        let real = nearest(&path).canonicalize();
        let message = format!(
            "the setting {} loads code from outside of the branch, at {} ({}), where its server's user could write",
            setting.name,
            real.unwrap_or_else(|_| normalized(&path)).display(),
            self.place(setting)
        );
        Err(Error::new(Code::Unsupported, message).hint(
            "name a library of the installation or of the data directory, or take the line out, inside the branch",
        ))
    }

    fn may_load_from(&self, path: &Path) -> bool {
        let installed = [self.installation.libraries(), self.installation.shared_files()];
        // What an installation links to is its own affair.
        if normalized(path) == path && installed.iter().any(|own| path.starts_with(own)) {
            return true;
        }
        let Ok(real) = nearest(path).canonicalize() else { return false };
        let is_below = |own: &PathBuf| own.canonicalize().is_ok_and(|own| real.starts_with(own));
        real.starts_with(&self.cluster.root)
            || installed.iter().any(is_below)
            || !real.ancestors().any(|path| self.account.may_write(path))
    }

    fn check_ties(&self, setting: &Setting) -> Result<()> {
        let Some((library, what)) = libraries::tie(setting) else { return Ok(()) };
        let place = self.place(setting);
        let message = format!("{} loads {library} ({place}), which {what}", setting.name);
        Err(Error::new(Code::Unsupported, message)
            .hint("take the library out of that line, inside the branch"))
    }

    fn without_configuration(&self) -> Error {
        let data = &self.cluster.directory;
        let (what, whose) = match elsewhere(data) {
            Some(file) => {
                let directory = file.parent().unwrap_or(&file).display().to_string();
                (format!("; its server was started with {}", file.display()), directory)
            }
            None => (String::new(), "its server".to_owned()),
        };
        let message = format!("the data directory has no {MAIN_FILE}{what}");
        Error::new(Code::Unsupported, message).hint(Hint::CopyConfiguration { of: whose })
    }

    /// Returns `true` if the path, or as much of it as there is, lies in the branch, both as the
    /// kernel goes through it and as the server shortens it.
    fn is_inside(&self, path: &Path) -> bool {
        let path = self.cluster.directory.join(path);
        let is_inside = |path: &Path| {
            nearest(path).canonicalize().is_ok_and(|path| path.starts_with(&self.cluster.root))
        };
        is_inside(&path) && is_inside(&normalized(&path))
    }

    fn place(&self, setting: &Setting) -> String {
        format!("{} line {}", self.shown(&setting.place.file), setting.place.line)
    }

    /// A path as the branch has it, for messages.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.cluster.root).unwrap_or(path).display().to_string()
    }
}

/// Returns `true` unless the file of this name in a data directory is one that a fork's server
/// never opens.
pub(crate) fn is_read_by_a_fork(name: &Path) -> bool {
    !UNREAD.iter().any(|unread| name == Path::new(unread))
}

/// Returns `true` for what no data directory of PostgreSQL has. A server that was killed leaves its
/// socket.
fn is_pipe_or_device(kind: FileType) -> bool {
    kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
}

fn tablespace_leads_out(number: &str, place: &Path) -> Error {
    let message = format!(
        "tablespace {number} lies outside the data directory, at {}; a server on the branch would write to the original",
        place.display()
    );
    Error::new(Code::Unsupported, message).hint(Hint::ImportServerWithTablespaces)
}

/// The path, or the nearest directory above it that there is. A link to nowhere counts as what it
/// names.
fn nearest(path: &Path) -> &Path {
    let is_missing = |path: &&Path| matches!(fs::symlink_metadata(path), Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory));
    path.ancestors().find(|path| !is_missing(path)).unwrap_or(path)
}

/// What may be paths in the value of an extension's setting: absolute ones, and those that climb.
/// Addresses of the web are none.
fn paths_in(value: &OsStr) -> Vec<PathBuf> {
    let value = value.to_string_lossy().replace("file://", "").replace("://", "_");
    let words = value.split(|letter: char| ",:;'\"=".contains(letter) || letter.is_whitespace());
    let is_path = |word: &&str| word.starts_with('/') || word.split('/').any(|part| part == "..");
    words.filter(is_path).map(PathBuf::from).collect()
}
