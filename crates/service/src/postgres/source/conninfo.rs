//! Connection strings as libpq reads them: URIs, pairs of `keyword = value`, plain names of
//! databases.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::protocol::{Code, Error, Result};

/// A connection's parameters by keyword. One that is absent is not the same as one that is empty.
pub(super) type Parameters = BTreeMap<String, Vec<u8>>;

/// What may be seen by everyone: the parameters that libpq 12 to 18 knows, but for those that are
/// secret and `options`, which may set anything.
const OPEN: [&str; 49] = [
    "application_name",
    "authtype",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "tty",
    "user",
];

/// Returns `true` if the value of this parameter may be shown to other users; not so for one that
/// is not known, which may be a secret with a misspelt name.
pub(super) fn is_open(keyword: &str) -> bool {
    OPEN.contains(&keyword)
}

/// One parameter, and where its value is in the text.
#[derive(Debug, PartialEq, Eq)]
struct Given {
    keyword: String,
    value: Vec<u8>,
    span: Range<usize>,
}

/// Reads a connection string. Of a parameter that is given twice the last counts.
///
/// # Errors
/// `usage` for what libpq cannot read either; the message does not repeat the text, which may hold
/// a password.
pub(super) fn parse(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    for Given { keyword, value, .. } in given(text)? {
        let (keyword, value) = match (keyword.as_str(), value.as_slice()) {
            // Names of old that libpq still takes.
            ("ssl", b"true") => ("sslmode", b"require".to_vec()),
            ("requiressl", [b'1', ..]) => ("sslmode", b"require".to_vec()),
            ("requiressl", _) => ("sslmode", b"prefer".to_vec()),
            (keyword, _) => (keyword, value),
        };
        parameters.insert(keyword.to_owned(), value);
    }
    Ok(parameters)
}

/// The parts of a connection string that other users should not see: all of one that cannot be
/// read.
pub fn secrets(text: &str) -> Vec<Range<usize>> {
    match given(text) {
        Ok(given) => {
            let hidden = given.into_iter().filter(|given| !is_open(&given.keyword));
            hidden.map(|given| given.span).collect()
        }
        Err(_) => std::iter::once(0..text.len()).collect(),
    }
}

/// Parameters as one argument of a program.
pub(super) fn text_of(parameters: &Parameters) -> Vec<u8> {
    let mut text = Vec::new();
    for (keyword, value) in parameters {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend(keyword.bytes());
        text.extend(b"='");
        for byte in value {
            if matches!(byte, b'\'' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.push(b'\'');
    }
    text
}

fn given(text: &str) -> Result<Vec<Given>> {
    match ["postgresql://", "postgres://"].iter().find(|scheme| text.starts_with(*scheme)) {
        Some(scheme) => uri(text, scheme.len()),
        None if text.contains('=') => pairs(text),
        None => {
            let value = text.as_bytes().to_vec();
            Ok(vec![Given { keyword: "dbname".into(), value, span: 0..text.len() }])
        }
    }
}

fn wrong(why: impl std::fmt::Display) -> Error {
    Error::new(Code::Usage, format!("the server's address cannot be read: {why}"))
        .hint("give it as for psql: `postgresql://user@host:5432/database?sslmode=require`, or `host=… user=…`")
}

fn uri(text: &str, begin: usize) -> Result<Vec<Given>> {
    let bytes = text.as_bytes();
    let find = |from: usize, stops: &[u8]| find(bytes, from, stops);
    let mut found = Vec::new();
    let mut give = |keyword: &str, span: Range<usize>, encoded: &str| -> Result<()> {
        if !encoded.is_empty() {
            found.push(Given { keyword: keyword.into(), value: decode(encoded)?, span });
        }
        Ok(())
    };
    let mut at = begin;
    let user_end = find(at, b"@/");
    if bytes.get(user_end) == Some(&b'@') {
        if text[at..user_end].contains('?') {
            return Err(wrong("it has an @ behind its ?, which is written %40"));
        }
        let name_end = find(at, b":@");
        give("user", at..name_end, &text[at..name_end])?;
        let password = (name_end + 1).min(user_end)..user_end;
        give("password", password.clone(), &text[password])?;
        at = user_end + 1;
    }
    let Hosts { names, ports, end } = hosts(text, at)?;
    give("host", at..end, &names)?;
    give("port", at..end, &ports)?;
    at = end;
    if bytes.get(at) == Some(&b'/') {
        let end = find(at + 1, b"?");
        give("dbname", at + 1..end, &text[at + 1..end])?;
        at = end;
    }
    uri_parameters(text, at + 1, &mut found)?;
    Ok(found)
}

/// The first place from `from` on of one of the bytes, or the end of the text.
fn find(bytes: &[u8], from: usize, stops: &[u8]) -> usize {
    let stop = |at: &usize| stops.contains(&bytes[*at]);
    (from.min(bytes.len())..bytes.len()).find(stop).unwrap_or(bytes.len())
}

/// The hosts of a URI and their ports, each list with commas.
struct Hosts {
    names: String,
    ports: String,
    /// Where they end in the URI.
    end: usize,
}

fn hosts(text: &str, begin: usize) -> Result<Hosts> {
    let bytes = text.as_bytes();
    let (mut names, mut ports, mut at) = (String::new(), String::new(), begin);
    loop {
        if bytes.get(at) == Some(&b'[') {
            let end = find(bytes, at, b"]");
            let follows = bytes.get(end + 1);
            if end <= at + 1
                || end == bytes.len()
                || follows.is_some_and(|next| !b":/?,".contains(next))
            {
                return Err(wrong("an address in brackets does not end"));
            }
            names.push_str(&text[at + 1..end]);
            at = end + 1;
        } else {
            let end = find(bytes, at, b":/?,");
            names.push_str(&text[at..end]);
            at = end;
        }
        if bytes.get(at) == Some(&b':') {
            let end = find(bytes, at + 1, b"/?,");
            ports.push_str(&text[at + 1..end]);
            at = end;
        }
        if bytes.get(at) != Some(&b',') {
            return Ok(Hosts { names, ports, end: at });
        }
        names.push(',');
        ports.push(',');
        at += 1;
    }
}

/// Reads the parameters of a URI, which begin at `begin`.
fn uri_parameters(text: &str, begin: usize, found: &mut Vec<Given>) -> Result<()> {
    let mut at = begin;
    while at < text.len() {
        let end = find(text.as_bytes(), at, b"&");
        let Some((keyword, value)) = text[at..end].split_once('=') else {
            return Err(wrong("a parameter of it has no value"));
        };
        if value.contains('=') {
            return Err(wrong("a parameter of it has a second =, which is written %3D"));
        }
        let span = end - value.len()..end;
        let keyword = String::from_utf8_lossy(&decode(keyword)?).into_owned();
        found.push(Given { keyword, value: decode(value)?, span });
        at = end + 1;
    }
    Ok(())
}

/// Undoes the encoding of RFC 3986.
fn decode(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(0) => return Err(wrong("%00 stands for no character")),
            Some(byte) => bytes.push(byte),
            None => return Err(wrong("a % in it is not followed by two hexadecimal digits")),
        }
        rest = &tail[2..];
    }
    Ok(bytes)
}

fn pairs(text: &str) -> Result<Vec<Given>> {
    let bytes = text.as_bytes();
    let is_blank = |at: usize| bytes.get(at).is_some_and(|byte| b" \t\n\r\x0b\x0c".contains(byte));
    let skip = |mut at: usize| {
        while is_blank(at) {
            at += 1;
        }
        at
    };
    let mut found = Vec::new();
    let mut at = skip(0);
    while at < bytes.len() {
        let begin = at;
        while at < bytes.len() && bytes[at] != b'=' && !is_blank(at) {
            at += 1;
        }
        let keyword = text[begin..at].to_owned();
        at = skip(at);
        if bytes.get(at) != Some(&b'=') {
            return Err(wrong("a word of it is not followed by ="));
        }
        at = skip(at + 1);
        let begin = at;
        let quoted = bytes.get(at) == Some(&b'\'');
        at += usize::from(quoted);
        let mut value = Vec::new();
        loop {
            match bytes.get(at) {
                None if quoted => return Err(wrong("a quote in it does not end")),
                Some(b'\'') if quoted => {
                    at += 1;
                    break;
                }
                None => break,
                Some(_) if !quoted && is_blank(at) => break,
                Some(b'\\') => {
                    value.extend(bytes.get(at + 1));
                    at += 2;
                }
                Some(byte) => {
                    value.push(*byte);
                    at += 1;
                }
            }
        }
        at = at.min(bytes.len());
        found.push(Given { keyword, value, span: begin..at });
        at = skip(at);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parameters as `keyword=value`, in the order of their keywords.
    fn read(text: &str) -> Vec<String> {
        let show = |(keyword, value): (&String, &Vec<u8>)| {
            format!("{keyword}={}", String::from_utf8_lossy(value))
        };
        parse(text).unwrap().iter().map(show).collect()
    }

    #[test]
    fn uris_are_read_as_libpq_reads_them() {
        let known: [(&str, &[&str]); 12] = [
            ("postgresql://", &[]),
            ("postgres://localhost", &["host=localhost"]),
            ("postgresql://u@h:5433/db", &["dbname=db", "host=h", "port=5433", "user=u"]),
            ("postgresql://u:p%40%2F@h", &["host=h", "password=p@/", "user=u"]),
            ("postgresql://u:@h", &["host=h", "user=u"]),
            ("postgresql://u:a:b@h", &["host=h", "password=a:b", "user=u"]),
            ("postgresql:///db?host=/run/a%20b", &["dbname=db", "host=/run/a b"]),
            ("postgresql://%2Frun%2Fpg/db", &["dbname=db", "host=/run/pg"]),
            ("postgresql://[::1]:5,h2,:6/", &["host=::1,h2,", "port=5,,6"]),
            ("postgresql://h?ssl=true", &["host=h", "sslmode=require"]),
            ("postgresql://h?host=other&a%62=", &["ab=", "host=other"]),
            ("postgresql://h?requiressl=0", &["host=h", "sslmode=prefer"]),
        ];
        for (text, parameters) in known {
            assert_eq!(read(text), parameters, "{text}");
        }
    }

    #[test]
    fn pairs_and_names_are_read_as_libpq_reads_them() {
        let known: [(&str, &[&str]); 6] = [
            ("shop", &["dbname=shop"]),
            (" host = h  port=5 ", &["host=h", "port=5"]),
            (r"password='a\'b\\ =c' user=d\ e", &[r"password=a'b\ =c", "user=d e"]),
            ("user=a user=b", &["user=b"]),
            ("user= password=''", &["user=password=''"]),
            ("password='' user=x", &["password=", "user=x"]),
        ];
        for (text, parameters) in known {
            assert_eq!(read(text), parameters, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_repeated() {
        for text in [
            "postgresql://u:secret@[::1",
            "postgresql://u:secret@[]/x",
            "postgresql://[::1]secret",
            "postgresql://h/%z?password=secret",
            "postgresql://h/%00secret",
            "postgresql://h?secret",
            "postgresql://h?password=secret=",
            "postgresql://h?user=u&password=secret@",
            "password='secret",
            "password secret user=x",
            "a=b secret",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code, Code::Usage, "{text}");
            assert!(!format!("{error} {:?}", error.hint).contains("secret"), "{text}: {error}");
            assert_eq!(secrets(text).first(), Some(&(0..text.len())), "{text}");
        }
    }

    #[test]
    fn secrets_are_found_wherever_they_are_given() {
        for text in [
            "postgresql://u:s%65cret@h1:5432,h2/db?sslmode=require",
            "postgresql://u@h/db?password=s%65cret&connect_timeout=3",
            "postgresql://u@h/db?pasword=s%65cret",
            "postgresql://h/?options=-c%20my.token%3Ds%65cret&sslpassword=s%65cret",
            "host=h password=s%65cret user=u",
            "password = 's%65cret' sslpassword=s%65cret",
        ] {
            let mut hidden = text.as_bytes().to_vec();
            secrets(text).into_iter().flatten().for_each(|at| hidden[at] = b'*');
            let hidden = String::from_utf8(hidden).unwrap();
            assert!(!hidden.contains("s%65cret"), "{hidden}");
            assert!(hidden.contains('h') || hidden.contains("password"), "{hidden}");
        }
        assert!(secrets("postgresql://u@h/db").is_empty());
    }

    #[test]
    fn parameters_written_are_read_as_they_were() {
        let mut parameters = Parameters::new();
        for (keyword, value) in [("host", "/run/a b"), ("password", r"a'b\c = 'd'"), ("user", "")] {
            parameters.insert(keyword.into(), value.into());
        }
        let text = String::from_utf8(text_of(&parameters)).unwrap();
        assert_eq!(parse(&text).unwrap(), parameters);
    }
}
