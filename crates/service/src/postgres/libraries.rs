//! Settings that name code for the server to load: which libraries, and where from.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::configuration::{Configuration, Setting};

/// Settings that list libraries.
const LISTS: [&str; 3] =
    ["shared_preload_libraries", "session_preload_libraries", "local_preload_libraries"];

/// Libraries whose own processes write to other servers from the moment they are loaded, and what
/// they do.
const TIED: [(&str, &str); 7] = [
    ("bdr", REPLICATES),
    ("citus", "sends queries to the other servers of its cluster"),
    ("pg_net", "sends requests that the original has queued"),
    ("pgactive", REPLICATES),
    ("pgautofailover", "answers to the original's monitor"),
    ("pglogical", REPLICATES),
    ("spock", REPLICATES),
];
const REPLICATES: &str = "takes changes from other servers in the original's place";

/// Schedulers, each with the setting that keeps its jobs from running by themselves.
const SCHEDULERS: [(&str, &str, &str); 1] = [("pg_cron", "cron.launch_active_jobs", "off")];

/// Places that a setting loads code from. What is found in the installation's own directories is
/// none.
pub(super) fn paths(setting: &Setting) -> Vec<PathBuf> {
    let value = setting.value.as_bytes();
    let names: Vec<OsString> = match setting.name.as_str() {
        name if LISTS.contains(&name) => elements(&setting.value),
        "dynamic_library_path" | "extension_control_path" => {
            value.split(|&byte| byte == b':').map(|one| OsStr::from_bytes(one).into()).collect()
        }
        "extension_destdir" => vec![setting.value.clone()],
        // `jit_provider` is a file's name in the installation.
        _ => Vec::new(),
    };
    let is_place = |name: &OsString| {
        let name = name.as_bytes();
        name.contains(&b'/') && !name.starts_with(b"$")
    };
    names.into_iter().filter(is_place).map(PathBuf::from).collect()
}

/// What a library that the setting lists does to other servers, with its name.
pub(super) fn tie(setting: &Setting) -> Option<(String, &'static str)> {
    LISTS.contains(&setting.name.as_str()).then_some(())?;
    elements(&setting.value).iter().find_map(|library| {
        let name = stem(library);
        TIED.iter().find(|(tied, _)| *tied == name).map(|(_, what)| (name, *what))
    })
}

/// Settings by which the schedulers among the loaded libraries start no job.
pub(super) fn quiet_schedulers(configuration: &Configuration) -> Vec<(&'static str, String)> {
    let loaded: Vec<String> = configuration
        .get("shared_preload_libraries")
        .map(|setting| elements(&setting.value).iter().map(|library| stem(library)).collect())
        .unwrap_or_default();
    let is_loaded = |name: &str| loaded.iter().any(|library| library == name);
    let scheduler = SCHEDULERS.iter().filter(|(library, ..)| is_loaded(library));
    scheduler.map(|(_, name, value)| (*name, (*value).to_owned())).collect()
}

/// The elements of a list: between commas, blanks around them aside, perhaps in double quotes.
fn elements(list: &OsStr) -> Vec<OsString> {
    let mut found = vec![Vec::new()];
    let mut in_quotes = false;
    for &byte in list.as_bytes() {
        match (byte, found.last_mut()) {
            (b'"', _) => in_quotes = !in_quotes,
            (b',', _) if !in_quotes => found.push(Vec::new()),
            (byte, Some(element)) => element.push(byte),
            (_, None) => {}
        }
    }
    let trimmed = found.into_iter().map(|element| element.trim_ascii().to_vec());
    trimmed.filter(|element| !element.is_empty()).map(OsString::from_vec).collect()
}

/// `$libdir/pg_cron.so` → `pg_cron`.
fn stem(library: &OsStr) -> String {
    let stem = Path::new(library).file_stem().unwrap_or_default();
    stem.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::configuration::Place;

    fn setting(name: &str, value: &str) -> Setting {
        let place = Place { file: PathBuf::new(), line: 1 };
        Setting { name: name.into(), value: value.into(), place }
    }

    #[test]
    fn names_in_the_installation_are_no_places_and_paths_are() {
        let list = setting(
            "shared_preload_libraries",
            " pg_stat_statements, \"/opt/my, lib/x\" ,$libdir/y,../z",
        );
        assert_eq!(paths(&list), [Path::new("/opt/my, lib/x"), Path::new("../z")]);
        let path = setting("dynamic_library_path", "$libdir:/opt/lib::$libdir/x");
        assert_eq!(paths(&path), [Path::new("/opt/lib")]);
        assert_eq!(paths(&setting("jit_provider", "llvmjit")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_library_that_reaches_other_servers_is_known_however_it_is_written() {
        for value in ["citus", "a, $libdir/citus.so", "\"CITUS\""] {
            let (name, what) = tie(&setting("shared_preload_libraries", value)).unwrap();
            assert!(name == "citus" && what.contains("servers"));
        }
        assert_eq!(tie(&setting("shared_preload_libraries", "pg_stat_statements")), None);
        assert_eq!(tie(&setting("dynamic_library_path", "citus")), None);
    }
}
