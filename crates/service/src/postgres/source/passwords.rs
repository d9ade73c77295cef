//! Password files: which line is for a host, as libpq finds it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::protocol::{Error, Result};

/// Where programs look for sockets by default; which of them is built into each.
const SOCKET_DIRECTORIES: [&[u8]; 3] = [b"/var/run/postgresql", b"/run/postgresql", b"/tmp"];
const LOCALHOST: &[u8] = b"localhost";
/// The name of the database for which a base backup looks up its password.
const REPLICATION: &[u8] = b"replication";

/// One place where the server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its name, its address, or the directory of its socket.
    pub host: Vec<u8>,
    pub port: Vec<u8>,
}

impl Place {
    pub fn is_socket(&self) -> bool {
        matches!(self.host.first(), None | Some(b'/' | b'@'))
    }

    /// The names under which a line may have it.
    fn names(&self) -> Vec<&[u8]> {
        let is_usual = self.host.is_empty() || SOCKET_DIRECTORIES.contains(&self.host.as_slice());
        let usual = is_usual.then_some(LOCALHOST);
        usual.into_iter().chain((!self.host.is_empty()).then_some(self.host.as_slice())).collect()
    }
}

/// A password file that may be used.
pub(super) struct PasswordFile(Vec<u8>);

/// Why a password file that is there is not used.
pub(super) type Unusable = Option<String>;

impl PasswordFile {
    /// Reads a file, if it is one and only its owner can read it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(path: &Path) -> Result<(Self, Unusable)> {
        let unusable =
            |why: &str| Ok((Self(Vec::new()), Some(format!("{} {why}", path.display()))));
        match fs::metadata(path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok((Self(Vec::new()), None))
            }
            Err(error) => Err(Error::path("read", path, error)),
            Ok(meta) if !meta.is_file() => unusable("is not a plain file, so it was not used"),
            Ok(meta) if meta.mode() & 0o077 != 0 => {
                unusable("may be read by others, so it was not used (`chmod 600` closes it)")
            }
            Ok(_) => {
                let text = fs::read(path).map_err(|error| Error::path("read", path, error))?;
                Ok((Self(text), None))
            }
        }
    }

    /// What a program needs of it to log in at these places: the password for each, whatever the
    /// database. `psql` asks for the one of `database`, a base backup for that of `replication`.
    pub fn excerpt(&self, places: &[Place], database: &[u8], user: &[u8]) -> Vec<u8> {
        let mut excerpt = Vec::new();
        for place in places {
            let password = self.find(place, database, user);
            let Some(password) = password.or_else(|| self.find(place, REPLICATION, user)) else {
                continue;
            };
            if places.len() == 1 {
                excerpt.extend(line(&[b"*", b"*"], &password));
                break;
            }
            for name in place.names() {
                excerpt.extend(line(&[&escape(name), &escape(&place.port)], &password));
            }
        }
        excerpt
    }

    /// The password of the first line that is for this place, database and user.
    fn find(&self, place: &Place, database: &[u8], user: &[u8]) -> Option<Vec<u8>> {
        let lines = self.0.split(|byte| *byte == b'\n');
        let passwords = lines.filter(|line| !line.starts_with(b"#")).filter_map(|line| {
            let rest = place.names().into_iter().find_map(|name| after_field(line, name))?;
            let rest = after_field(rest, &place.port)?;
            after_field(after_field(rest, database)?, user)
        });
        let password = passwords.map(|field| field.strip_suffix(b"\r").unwrap_or(field)).next()?;
        let mut plain = Vec::new();
        let mut bytes = password.iter().peekable();
        while let Some(byte) = bytes.next() {
            let escaped = if *byte == b'\\' { bytes.next() } else { None };
            plain.push(*escaped.unwrap_or(byte));
        }
        Some(plain)
    }
}

/// What follows a field that is `*` or this value.
fn after_field<'a>(line: &'a [u8], value: &[u8]) -> Option<&'a [u8]> {
    if let Some(rest) = line.strip_prefix(b"*:") {
        return Some(rest);
    }
    let mut rest = line;
    for byte in value {
        // A colon that nothing stands before ends the field.
        let unescaped = rest.strip_prefix(b"\\").or((!rest.starts_with(b":")).then_some(rest))?;
        rest = unescaped.strip_prefix(std::slice::from_ref(byte))?;
    }
    rest.strip_prefix(b":")
}

fn line(place: &[&[u8]; 2], password: &[u8]) -> Vec<u8> {
    let mut line = [place[0], place[1], b"*", b"*", &escape(password)].join(&b':');
    line.push(b'\n');
    line
}

fn escape(field: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in field {
        if matches!(byte, b':' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, port: &str) -> Place {
        Place { host: host.into(), port: port.into() }
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = PasswordFile(
            br"# h:1:d:u:note
h:1:other:u:no
h:1:d:u:a\:b\\c:d
*:*:d:u:second
::1:2:d:u:unescaped
\:\:1:2:d:u:six
localhost:5432:*:u:local
h:1:replication:v:stream"
                .to_vec(),
        );
        let find = |host: &str, port: &str, database: &str, user: &str| {
            let found = file.find(&place(host, port), database.as_bytes(), user.as_bytes());
            found.map(|password| String::from_utf8(password).unwrap())
        };
        assert_eq!(find("h", "1", "d", "u").as_deref(), Some(r"a:b\c:d"));
        assert_eq!(find("g", "9", "d", "u").as_deref(), Some("second"));
        assert_eq!(find("g", "9", "e", "u"), None);
        assert_eq!(find("", "5432", "x", "u").as_deref(), Some("local"));
        assert_eq!(find("/var/run/postgresql", "5432", "x", "u").as_deref(), Some("local"));
        assert_eq!(find("/elsewhere", "5432", "x", "u"), None);
        let six = PasswordFile(b"\\:\\:1:2:d:u:six\r\n".to_vec());
        assert_eq!(six.find(&place("::1", "2"), b"d", b"u").unwrap(), b"six");
        assert_eq!(file.excerpt(&[place("h", "1")], b"d", b"v"), b"*:*:*:*:stream\n");
    }

    #[test]
    fn an_excerpt_says_of_each_place_what_the_file_says() {
        let file = PasswordFile(b"a:1:*:u:p\\:1\nlocalhost:*:*:u:p2\n\\:\\:1:3:d:u:p3\n".to_vec());
        let places = [place("a", "1"), place("", "2"), place("::1", "3"), place("none", "4")];
        let excerpt = PasswordFile(file.excerpt(&places, b"d", b"u"));
        for place in &places {
            let (known, found) = (file.find(place, b"d", b"u"), excerpt.find(place, b"x", b"y"));
            assert_eq!(known, found, "{place:?}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".pgpass");
        assert!(PasswordFile::read(&path).unwrap().1.is_none());
        fs::write(&path, "*:*:*:*:p\n").unwrap();
        for (mode, used) in [(0o600, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let (file, unusable) = PasswordFile::read(&path).unwrap();
            assert_eq!((!file.0.is_empty(), unusable.is_none()), (used, used), "{mode:o}");
        }
        assert!(PasswordFile::read(home.path()).unwrap().1.is_some());
    }
}
