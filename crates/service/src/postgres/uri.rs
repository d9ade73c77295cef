//! The URI by which clients reach a server on a branch.

use std::path::Path;

/// The URI of a server behind a Unix socket, for any client of libpq's grammar.
pub(super) fn of_socket(directory: &Path, port: u16, role: Option<&str>, database: &str) -> String {
    let directory = encode(&directory.to_string_lossy());
    let role = role.map_or_else(String::new, |role| format!("{}@", encode(role)));
    format!("postgresql://{role}/{}?host={directory}&port={port}", encode(database))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_directory_is_encoded_into_the_uri() {
        let uri = of_socket(Path::new("/run/a b"), 5433, Some("me"), "postgres");
        assert_eq!(uri, "postgresql://me@/postgres?host=%2Frun%2Fa%20b&port=5433");
    }
}
