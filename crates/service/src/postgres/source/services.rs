//! Services: sections of a file in which a person keeps the parameters of a connection.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::caller::Caller;
use super::conninfo::Parameters;
use crate::postgres::Installation;
use crate::protocol::{Code, Error, Result};

/// Keywords and values of one service.
type Lines = Vec<(String, Vec<u8>)>;

/// Adds what the service that is asked for says, except of parameters that are given themselves.
///
/// # Errors
/// `usage` when no file defines the service, or its section cannot be used.
pub(super) fn add(
    parameters: &mut Parameters,
    caller: &Caller,
    installation: &Installation,
) -> Result<()> {
    let named = parameters.remove("service").or_else(|| caller.variable("PGSERVICE"));
    let file = parameters.remove("servicefile").or_else(|| caller.variable("PGSERVICEFILE"));
    let Some(service) = named.filter(|name| !name.is_empty()) else { return Ok(()) };
    let shown = String::from_utf8_lossy(&service).into_owned();
    let own = match &file {
        Some(file) => caller.absolute(Path::new(OsStr::from_bytes(file))),
        None => caller.at_home(".pg_service.conf"),
    };
    let mut found = if file.is_some() || own.exists() { section(&own, &service)? } else { None };
    if found.is_none()
        && let Some(system) = system_file(caller, installation).filter(|file| file.exists())
    {
        found = section(&system, &service)?;
    }
    let Some(found) = found else {
        let what = format!("no file defines the service {shown:?}");
        return Err(Error::new(Code::Usage, what)
            .hint("services are looked for in PGSERVICEFILE, else ~/.pg_service.conf, then the system's file"));
    };
    for (keyword, value) in found {
        // The first counts, as there.
        parameters.entry(keyword).or_insert(value);
    }
    Ok(())
}

/// The file for all users; its directory is built into the programs.
fn system_file(caller: &Caller, installation: &Installation) -> Option<PathBuf> {
    const NAME: &str = "pg_service.conf";
    if let Some(directory) = caller.variable("PGSYSCONFDIR") {
        return Some(caller.absolute(Path::new(OsStr::from_bytes(&directory))).join(NAME));
    }
    let program = installation.program("pg_config");
    let mut command = Command::new(program);
    tine_sys::environment::of_this_user(&mut command).arg("--sysconfdir");
    let output = command.output().ok()?;
    let directory = output.stdout.trim_ascii_end();
    (!directory.is_empty()).then(|| Path::new(OsStr::from_bytes(directory)).join(NAME))
}

/// The lines of one section, in their order; `None` where there is no such section.
fn section(file: &Path, service: &[u8]) -> Result<Option<Lines>> {
    let text = fs::read(file).map_err(|error| Error::path("read", file, error))?;
    let wrong = |number: usize, why: &str| {
        let what = format!("line {number} of {} {why}", file.display());
        Error::new(Code::Usage, what).hint("each line of a service is KEYWORD=VALUE")
    };
    let mut found = None;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        if let Some(name) = line.strip_prefix(b"[") {
            if found.is_some() {
                break;
            }
            if name.strip_prefix(service).is_some_and(|rest| rest.starts_with(b"]")) {
                found = Some(Vec::new());
            }
            continue;
        }
        let Some(lines) = &mut found else { continue };
        if line.starts_with(b"ldap") {
            return Err(wrong(number, "asks a directory over LDAP, which is not done here"));
        }
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
            return Err(wrong(number, "has no ="));
        };
        let keyword = String::from_utf8_lossy(&line[..equals]).into_owned();
        if matches!(keyword.as_str(), "service" | "servicefile") {
            return Err(wrong(number, "names another service"));
        }
        lines.push((keyword, line[equals + 1..].to_vec()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_to_the_next_one() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("services");
        let text = "x=before\n[m]\nhost=no\n # note\n[mine]\n  host=h \nhost=second\npassword=a =b\\n\n\n[m2]\nhost=no\n[mine]\nuser=no\n";
        fs::write(&file, text).unwrap();
        let found = section(&file, b"mine").unwrap().unwrap();
        let known: [(&str, &[u8]); 3] =
            [("host", b"h"), ("host", b"second"), ("password", b"a =b\\n")];
        assert_eq!(found, known.map(|(keyword, value)| (keyword.to_owned(), value.to_vec())));
        assert_eq!(section(&file, b"min").unwrap(), None);
        for wrong in ["[s]\nno equals", "[s]\nservice=t", "[s]\nldap://h/x"] {
            fs::write(&file, wrong).unwrap();
            assert_eq!(section(&file, b"s").unwrap_err().code, Code::Usage, "{wrong}");
        }
    }
}
