//! The configuration of a cluster as its server would put it together: `postgresql.conf`, what that
//! includes, and `postgresql.auto.conf` last.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::conf_file::{Entry, entries};
use super::data_file;
use crate::protocol::{Error, Result};

pub(super) const MAIN_FILE: &str = "postgresql.conf";
/// What `ALTER SYSTEM` writes.
pub(super) const AUTO_FILE: &str = "postgresql.auto.conf";

/// The server goes no deeper, and does not start then.
const DEPTH_MAX: usize = 10;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: PathBuf,
    pub line: usize,
}

/// A setting that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub name: String,
    pub value: OsString,
    pub place: Place,
}

/// A file or directory that a configuration file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Include {
    pub path: PathBuf,
    pub place: Place,
    /// Whether the server does without it.
    pub is_optional: bool,
}

/// All that the files say.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    settings: HashMap<String, Setting>,
    pub includes: Vec<Include>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Configuration {
    /// Reads the files of a data directory. A file that is not there has no settings, and neither
    /// has one that `follow` does not admit.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn read(directory: &Path, follow: &dyn Fn(&Path) -> bool) -> Result<Self> {
        let mut configuration = Self::default();
        for name in [MAIN_FILE, AUTO_FILE] {
            configuration.add(&directory.join(name), follow, 0)?;
        }
        Ok(configuration)
    }

    /// The value of a setting, the last that was given.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// The settings that count, by name.
    pub fn settings(&self) -> Vec<&Setting> {
        let mut settings: Vec<&Setting> = self.settings.values().collect();
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        settings
    }

    fn add(&mut self, file: &Path, follow: &dyn Fn(&Path) -> bool, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let text = match data_file::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::path("read", file, error)),
        };
        self.files.push(file.to_owned());
        for Entry { name, value, line } in entries(&text) {
            let place = Place { file: file.to_owned(), line };
            if !matches!(name.as_str(), "include" | "include_if_exists" | "include_dir") {
                self.settings.insert(name.clone(), Setting { name, value, place });
                continue;
            }
            // Relative to the file that includes.
            let path = normalized(&file.parent().unwrap_or(file).join(&value));
            let is_optional = name == "include_if_exists";
            self.includes.push(Include { path: path.clone(), place, is_optional });
            if !follow(&path) {
                continue;
            }
            let files = if name == "include_dir" { files_of(&path)? } else { vec![path] };
            for file in files {
                self.add(&file, follow, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// The path without `.` and `..`, as the server shortens it: by its words alone. A relative path
/// may still climb at its beginning.
pub(super) fn normalized(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for component in path.components() {
        match (component, short.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(short.pop()),
            // Above the root there is the root.
            (Component::ParentDir, Some(Component::RootDir)) => {}
            (other, _) => short.push(other),
        }
    }
    short
}

/// The configuration file with which the last server of a data directory was started, where it
/// named one.
pub(crate) fn elsewhere(directory: &Path) -> Option<PathBuf> {
    let command = data_file::read_own_text(&directory.join("postmaster.opts")).ok()?;
    let named = |word: &str| {
        let option = word.strip_prefix("--").unwrap_or(word);
        let (name, file) = option.split_once('=')?;
        matches!(name, "config_file" | "config-file").then(|| PathBuf::from(file))
    };
    // Its arguments are in double quotes.
    command.split('"').rev().find_map(named).filter(|file| !file.starts_with(directory))
}

/// The files of an included directory, in the order of their bytes.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::path("read", directory, error);
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in listed {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if !name.starts_with(b".") && name.ends_with(b".conf") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_whichever_file_says_it() {
        let tree = tempfile::tempdir().unwrap();
        let directory = tree.path();
        fs::create_dir_all(directory.join("sub/conf.d")).unwrap();
        for (file, text) in [
            (MAIN_FILE, "a.x = 1\ninclude 'sub/more.conf'\nINCLUDE_DIR = 'sub/conf.d'\n"),
            // Relative to itself.
            ("sub/more.conf", "a.x = 2\ninclude_if_exists = 'none.conf'\n"),
            ("sub/conf.d/10.conf", "b.x = 10"),
            ("sub/conf.d/20.conf", "b.x = 20\nc.x = 20"),
            ("sub/conf.d/.30.conf", "b.x = 30"),
            ("sub/conf.d/40.txt", "b.x = 40"),
            (AUTO_FILE, "c.x = 99"),
        ] {
            fs::write(directory.join(file), text).unwrap();
        }
        let read = Configuration::read(directory, &|_| true).unwrap();
        let values: Vec<_> = read.settings().iter().map(|it| it.value.to_str().unwrap()).collect();
        assert_eq!(values, ["2", "20", "99"]);
        assert_eq!(read.get("b.x").unwrap().place.file, directory.join("sub/conf.d/20.conf"));
        let optional = &read.includes[1];
        assert_eq!(optional.path, directory.join("sub/none.conf"));
        assert!(optional.is_optional && optional.place.line == 2);
    }

    #[test]
    fn where_the_last_server_had_its_configuration_is_remembered() {
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(elsewhere(tree.path()), None);
        let options = "/usr/lib/postgresql/15/bin/postgres \"-D\" \"/data\" \"-c\" \"config_file=/etc/pg/p.conf\"\n";
        fs::write(tree.path().join("postmaster.opts"), options).unwrap();
        assert_eq!(elsewhere(tree.path()).unwrap(), Path::new("/etc/pg/p.conf"));
        assert_eq!(normalized(Path::new("/a/./b/../../../c")), Path::new("/c"));
        assert_eq!(normalized(Path::new("a/../../b/./../../c")), Path::new("../../c"));
    }

    #[test]
    fn a_file_that_includes_itself_comes_to_an_end() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join(MAIN_FILE), "include 'postgresql.conf'\na.x = 1\n").unwrap();
        let read = Configuration::read(tree.path(), &|_| true).unwrap();
        assert_eq!(read.get("a.x").unwrap().value, "1");
    }
}
