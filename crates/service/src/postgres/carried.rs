//! Settings that the server a backup came from had outside of its data directory: in files
//! elsewhere, as on Debian, or on its command line. They go into files of the new directory.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::conf_file::quoted;
use super::configuration::{AUTO_FILE, Configuration, Include, MAIN_FILE};
use super::data_file;
use super::parameters::{Class, class_of};
use crate::protocol::{Code, Error, Result};

/// Where the carried settings are, if the directory has a configuration of its own besides.
const CARRIED_FILE: &str = "tine.conf";

/// A setting as the running server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub name: String,
    /// In the units of `pg_settings`.
    pub value: String,
    /// The file that says so; `None` for the command line, or if the role may not know.
    pub file: Option<PathBuf>,
    /// Whether the command line, or the environment, says so.
    pub by_command: bool,
}

impl Given {
    /// What belongs to the other server, or is overridden, stays there. Names of extensions have a
    /// dot.
    fn is_carried(&self) -> bool {
        matches!(class_of(&self.name), Some(Class::Kept | Class::Code)) || self.name.contains('.')
    }

    fn line(&self) -> String {
        format!("{} = {}\n", self.name, quoted(&self.value))
    }
}

/// All settings of a running server.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub given: Vec<Given>,
    /// Its data directory, as it names it; `None` if the role may not know.
    pub data: Option<PathBuf>,
    /// Whether the role may know all settings that are listed.
    pub are_complete: bool,
    /// Whether the role may know what files say of names whose library is not loaded.
    pub unlisted_are_known: bool,
}

impl Settings {
    /// Completes the configuration of a directory that a backup made. What it returns says which
    /// settings may be missing.
    ///
    /// # Errors
    /// `NotPermitted` if settings would be lost on which the start of the server depends, because
    /// the role may not know them.
    pub fn carry(&self, destination: &Path, account: &Account) -> Result<Option<String>> {
        if fs::symlink_metadata(destination.join(MAIN_FILE)).is_err() {
            self.replace_configuration(destination, account)?;
            return Ok(self.warning(&format!("its {MAIN_FILE}")));
        }
        let is_inside = |path: &Path| path.starts_with(destination);
        let configuration = Configuration::read(destination, &is_inside)?;
        let mut lines = String::new();
        for given in self.given.iter().filter(|given| given.is_carried()) {
            if !self.is_elsewhere(given, &configuration, destination) {
                continue;
            }
            let is_in = |file| {
                configuration
                    .get(&given.name.to_lowercase())
                    .is_some_and(|own| own.place.file == destination.join(file))
            };
            if is_in(AUTO_FILE) {
                // It is read last.
                append(&destination.join(AUTO_FILE), &given.line())?;
            } else {
                lines.push_str(&given.line());
            }
        }
        let mut warning = None;
        if self.are_complete {
            for include in configuration.includes.iter().filter(|it| !is_inside(&it.path)) {
                silence(include)?;
                warning = warning.or_else(|| self.warning(&include.path.display().to_string()));
            }
        }
        if lines.is_empty() {
            return Ok(warning);
        }
        let head =
            "# Made by tine from what the original has in other files and on its command line.\n";
        write(&destination.join(CARRIED_FILE), &format!("{head}{lines}"), account)?;
        append(&destination.join(MAIN_FILE), &format!("\ninclude '{CARRIED_FILE}'\n"))?;
        Ok(warning)
    }

    /// What is said where `file` stayed behind.
    fn warning(&self, file: &str) -> Option<String> {
        (!self.unlisted_are_known).then(|| {
            format!(
                "the server has {file} outside of its data directory, and the role may not read pg_file_settings: \
                 settings with a dot in their names whose library is not loaded, such as app.name, are missing in \
                 the branch. Set them in its {MAIN_FILE}, or import as a superuser"
            )
        })
    }

    /// Writes a configuration for a directory that has none.
    fn replace_configuration(&self, destination: &Path, account: &Account) -> Result<()> {
        if !self.are_complete {
            let message = format!(
                "the server has its {MAIN_FILE} outside of its data directory, and the role may not read all \
                 settings: some, such as shared_preload_libraries, would be lost"
            );
            return Err(Error::new(Code::NotPermitted, message)
                .hint("let the role read them: `GRANT pg_read_all_settings TO ROLE`"));
        }
        let mut text = String::from(
            "# Made by tine from the settings of the server that this data came from.\n",
        );
        // What `ALTER SYSTEM` wrote came along.
        let came = Configuration::read(destination, &|_| false)?;
        for given in self.given.iter().filter(|given| given.is_carried()) {
            let is_of_auto_file = given.file.as_ref().is_some_and(|file| file.ends_with(AUTO_FILE));
            match came.get(&given.name.to_lowercase()) {
                _ if is_of_auto_file => {}
                // It is read last, and the command line won over it.
                Some(_) if given.by_command => {
                    append(&destination.join(AUTO_FILE), &given.line())?;
                }
                _ => text.push_str(&given.line()),
            }
        }
        write(&destination.join(MAIN_FILE), &text, account)
    }

    /// Returns `true` if none of the files that came along says so.
    fn is_elsewhere(
        &self,
        given: &Given,
        configuration: &Configuration,
        destination: &Path,
    ) -> bool {
        let (Some(file), Some(data)) = (&given.file, &self.data) else { return given.by_command };
        let came: HashSet<PathBuf> = configuration
            .files
            .iter()
            .filter_map(|file| Some(data.join(file.strip_prefix(destination).ok()?)))
            .collect();
        !came.contains(file)
    }
}

/// Makes a comment of the line of a file that is not here. What it says has been carried.
fn silence(include: &Include) -> Result<()> {
    let file = &include.place.file;
    let text = data_file::read(file).map_err(|error| Error::path("read", file, error))?;
    let mut lines: Vec<Vec<u8>> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if let Some(line) = lines.get_mut(include.place.line - 1) {
        line.splice(0..0, format!("# Carried by tine in {CARRIED_FILE}: ").into_bytes());
    }
    fs::write(file, lines.join(&b'\n')).map_err(|error| Error::path("write", file, error))
}

fn append(file: &Path, text: &str) -> Result<()> {
    let failed = |error| Error::path("write", file, error);
    let mut opened = File::options().append(true).open(file).map_err(failed)?;
    opened.write_all(text.as_bytes()).map_err(failed)
}

fn write(file: &Path, text: &str, account: &Account) -> Result<()> {
    let failed = |error| Error::path("write", file, error);
    let mut made = account.create(file)?;
    made.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    made.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str, file: &str) -> Given {
        let by_command = file.is_empty();
        let file = (!by_command).then(|| file.into());
        Given { name: name.into(), value: value.into(), file, by_command }
    }

    fn settings(given: &[Given]) -> Settings {
        Settings {
            given: given.to_vec(),
            data: Some("/data".into()),
            are_complete: true,
            unlisted_are_known: true,
        }
    }

    fn value(destination: &Path, name: &str) -> Option<String> {
        let read = Configuration::read(destination, &|_| true).unwrap();
        read.get(name).map(|it| it.value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_directory_without_a_configuration_gets_all_settings_but_those_of_its_place() {
        let tree = tempfile::tempdir().unwrap();
        let settings = settings(&[
            given("log_line_prefix", "C:\\it's %m\n", "/etc/pg.conf"),
            given("archive_command", "cp %p /archive/%f", "/etc/pg.conf"),
            given("hba_file", "/etc/hba.conf", "/etc/pg.conf"),
            given("my.setting", "x", "/etc/pg.conf"),
            given("work_mem", "4096", ""),
            given("jit", "off", "/data/postgresql.auto.conf"),
            given("geqo", "off", ""),
        ]);
        fs::write(tree.path().join(AUTO_FILE), "geqo = on\n").unwrap();
        let warning = settings.carry(tree.path(), &Account::own_process()).unwrap();
        assert_eq!(warning, None);
        assert_eq!(value(tree.path(), "geqo").unwrap(), "off", "the command line won there too");
        assert_eq!(value(tree.path(), "log_line_prefix").unwrap(), "C:\\it's %m\n");
        assert_eq!(value(tree.path(), "my.setting").unwrap(), "x");
        assert_eq!(value(tree.path(), "work_mem").unwrap(), "4096");
        for absent in ["archive_command", "hba_file", "jit"] {
            assert_eq!(value(tree.path(), absent), None, "{absent}");
        }
        let partly = Settings { unlisted_are_known: false, ..settings };
        let other = tempfile::tempdir().unwrap();
        let warning = partly.carry(other.path(), &Account::own_process()).unwrap().unwrap();
        assert!(warning.contains("pg_file_settings"), "{warning}");
        let unknown = Settings { are_complete: false, ..partly };
        let bare = tempfile::tempdir().unwrap();
        let error = unknown.carry(bare.path(), &Account::own_process()).unwrap_err();
        assert!(error.message.contains("shared_preload_libraries"), "{error}");
        assert!(error.hint_text().contains("pg_read_all_settings"));
    }

    #[test]
    fn what_other_files_and_the_command_line_say_joins_the_configuration_that_came() {
        let tree = tempfile::tempdir().unwrap();
        let file = |name: &str| tree.path().join(name);
        fs::create_dir(file("conf.d")).unwrap();
        fs::write(
            file(MAIN_FILE),
            "work_mem = 1\ninclude '/etc/site.conf'\ninclude_dir 'conf.d'\njit = on",
        )
        .unwrap();
        fs::write(file("conf.d/a.conf"), "geqo = off\n").unwrap();
        fs::write(file(AUTO_FILE), "work_mem = 7\nstatement_timeout = 5\n").unwrap();
        settings(&[
            given("maintenance_work_mem", "2", "/etc/site.conf"),
            given("geqo", "off", "/data/conf.d/a.conf"),
            given("jit", "on", "/data/postgresql.conf"),
            given("shared_preload_libraries", "auto_explain", ""),
            given("work_mem", "9", ""),
            given("statement_timeout", "5", "/data/postgresql.auto.conf"),
        ])
        .carry(tree.path(), &Account::own_process())
        .unwrap();
        for (name, expected) in [
            ("maintenance_work_mem", "2"),
            ("geqo", "off"),
            ("jit", "on"),
            ("shared_preload_libraries", "auto_explain"),
            ("work_mem", "9"),
            ("statement_timeout", "5"),
        ] {
            assert_eq!(value(tree.path(), name).unwrap(), expected, "{name}");
        }
        let read = Configuration::read(tree.path(), &|_| true).unwrap();
        assert!(read.includes.iter().all(|it| it.path.starts_with(tree.path())));
        assert!(!fs::read_to_string(file(CARRIED_FILE)).unwrap().contains("geqo"));
    }
}
