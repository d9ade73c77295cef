//! Connection URIs: the server's own, and a given one without its password.

use std::path::Path;

/// The URI of a server behind a Unix socket, for any client of libpq's grammar.
pub(super) fn of_socket(directory: &Path, port: u16, role: Option<&str>, database: &str) -> String {
    let directory = encode(&directory.to_string_lossy());
    let role = role.map_or_else(String::new, |role| format!("{}@", encode(role)));
    format!("postgresql://{role}/{}?host={directory}&port={port}", encode(database))
}

/// Splits the password from a URI, so that it can be handed on in the environment, where other users
/// do not see it.
pub(super) fn split_password(uri: &str) -> (String, Option<String>) {
    let whole = (uri.to_owned(), None);
    let Some((scheme, rest)) = uri.split_once("://") else { return whole };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let Some((user, hosts)) = authority.rsplit_once('@') else { return whole };
    let Some((name, password)) = user.split_once(':') else { return whole };
    (format!("{scheme}://{name}@{hosts}{tail}"), Some(decode(password)))
}

/// Percent-encodes everything but what RFC 3986 calls unreserved.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_directory_is_encoded_into_the_uri() {
        let uri = of_socket(Path::new("/run/a b"), 5433, Some("me"), "postgres");
        assert_eq!(uri, "postgresql://me@/postgres?host=%2Frun%2Fa%20b&port=5433");
    }

    #[test]
    fn a_password_is_taken_out_of_the_uri_and_nothing_else() {
        let split = split_password("postgresql://u:p%40ss%2F@h1:5432,h2/db?sslmode=require");
        assert_eq!(
            split,
            ("postgresql://u@h1:5432,h2/db?sslmode=require".into(), Some("p@ss/".into()))
        );
        for plain in [
            "postgresql://u@h/db",
            "postgresql:///db?host=/run",
            "host=h user=u",
            "postgresql://h:5432/db",
        ] {
            assert_eq!(split_password(plain), (plain.to_owned(), None));
        }
    }
}
