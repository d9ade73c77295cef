//! Settings that name code for the server to load: which libraries, and where from.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::configuration::{Configuration, Setting, normalized};
use super::installation::Installation;

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

/// Where a setting has the server load code from: files and directories, each resolved as the
/// server would; relative ones begin at the data directory. A name without a slash is looked up in
/// the directories of `dynamic_library_path`, which are places of their own.
pub(super) fn places(setting: &Setting, installation: &Installation) -> Vec<PathBuf> {
    let libraries = installation.libraries();
    match setting.name.as_str() {
        name if LISTS.contains(&name) => {
            let has_slash = |name: &OsString| name.as_bytes().contains(&b'/');
            let names = elements(&setting.value).into_iter().filter(has_slash).map(PathBuf::from);
            // The server shortens a name, and replaces `$libdir` in what is left: so `$libdir/../x`
            // is relative. Before version 15 it shortened no `..` in the middle.
            let ways = names.flat_map(|name| [normalized(&name), name]);
            let paths = ways.map(|name| expanded(&name, "$libdir", &libraries));
            paths.flat_map(|path| [with_suffix(&path), path]).collect()
        }
        "dynamic_library_path" => {
            directories(setting).map(|path| expanded(&path, "$libdir", &libraries)).collect()
        }
        "extension_control_path" => {
            let shared = installation.shared_files();
            directories(setting).map(|path| expanded(&path, "$system", &shared)).collect()
        }
        "extension_destdir" => vec![PathBuf::from(&setting.value)],
        // The name is put behind that of the directory, whatever it is.
        "jit_provider" => {
            let mut path = libraries.into_os_string();
            path.push("/");
            path.push(&setting.value);
            vec![with_suffix(Path::new(&path))]
        }
        _ => Vec::new(),
    }
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".so");
    path.into()
}

/// The elements of a search path.
fn directories(setting: &Setting) -> impl Iterator<Item = PathBuf> {
    let elements = setting.value.as_bytes().split(|&byte| byte == b':');
    elements.filter(|one| !one.is_empty()).map(|one| OsStr::from_bytes(one).into())
}

/// The path with what the macro at its beginning stands for.
fn expanded(path: &Path, name: &str, directory: &Path) -> PathBuf {
    path.strip_prefix(name).map_or_else(|_| path.to_owned(), |below| directory.join(below))
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

    fn places_of(name: &str, value: &str) -> Vec<String> {
        let installation = Installation { programs: "/pg/bin".into(), version: "18".into() };
        let places = places(&setting(name, value), &installation).into_iter();
        places.map(|place| place.display().to_string()).collect()
    }

    #[test]
    fn a_name_in_a_list_is_looked_up_and_a_path_is_shortened_before_libdir_is_replaced() {
        for list in LISTS {
            // The server tries each with `.so` as well.
            let list = |value: &str| -> Vec<String> {
                let places = places_of(list, value);
                assert!(places.chunks(2).all(|pair| pair[0] == format!("{}.so", pair[1])));
                places.into_iter().skip(1).step_by(2).collect()
            };
            assert_eq!(list("pg_stat_statements, \"a.b\""), [""; 0]);
            assert_eq!(list("\"/opt/my, lib/x\" "), ["/opt/my, lib/x"; 2]);
            assert_eq!(list("$libdir/y"), ["/pg/lib/y"; 2]);
            assert_eq!(list("$libdir/../../x"), ["../x", "/pg/lib/../../x"]);
            assert_eq!(list("$libdir/a/../../x"), ["x", "/pg/lib/a/../../x"]);
            assert_eq!(list("../z"), ["../z"; 2]);
            assert_eq!(list("$libdirs/../../x"), ["../x", "$libdirs/../../x"]);
        }
    }

    #[test]
    fn a_search_path_and_the_provider_of_jit_are_what_the_installations_directories_make_of_them() {
        let path = "$libdir:/opt/lib::$libdir/../x";
        assert_eq!(
            places_of("dynamic_library_path", path),
            ["/pg/lib/", "/opt/lib", "/pg/lib/../x"]
        );
        let path = "$system:/opt/share";
        assert_eq!(places_of("extension_control_path", path), ["/pg/share/", "/opt/share"]);
        assert_eq!(places_of("jit_provider", "llvmjit"), ["/pg/lib/llvmjit.so"]);
        assert_eq!(places_of("jit_provider", "../../tmp/x"), ["/pg/lib/../../tmp/x.so"]);
        assert_eq!(places_of("jit_provider", "/tmp/x"), ["/pg/lib//tmp/x.so"]);
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
