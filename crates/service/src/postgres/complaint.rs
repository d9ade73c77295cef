//! Why a server did not start, in its own words, from its log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Lines that are shown; the rest is in the log.
const LINES_MAX: usize = 8;

/// Of a log that is longer, the end counts.
const LOG_BYTES_MAX: u64 = 64 << 10;

/// Marks that begin what a line says; before them stand a time and a process, in whatever form is
/// configured.
const MARKS: [&str; 9] = [
    "FATAL:  ",
    "PANIC:  ",
    "ERROR:  ",
    "LOG:  ",
    "WARNING:  ",
    "HINT:  ",
    "DETAIL:  ",
    "CONTEXT:  ",
    "NOTICE:  ",
];

/// What every start says.
const USUAL: [&str; 10] = [
    "LOG:  starting PostgreSQL",
    "LOG:  listening on",
    "LOG:  database system was",
    "LOG:  database system is shut down",
    "LOG:  shutting down",
    "LOG:  entering standby mode",
    "LOG:  redo ",
    "LOG:  checkpoint ",
    "LOG:  invalid record length",
    "LOG:  aborting startup due to startup process failure",
];

/// What the log at `path` says of a failed start. Files below `root` are named as the branch has
/// them.
pub(super) fn reason(path: &Path, root: &Path) -> String {
    let text = end_of(path, LOG_BYTES_MAX).unwrap_or_default();
    words(&String::from_utf8_lossy(&text), root)
}

/// The last bytes of a log. Its directory is its server's user's: no link there is followed.
///
/// # Errors
/// When it is not there, or cannot be read.
pub(crate) fn end_of(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut log = File::options().read(true).custom_flags(flags as i32).open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut text = Vec::new();
    log.take(bytes_max).read_to_end(&mut text)?;
    Ok(text)
}

fn words(log: &str, root: &Path) -> String {
    let root = format!("{}/", root.display());
    let said: Vec<String> = log
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(without_prefix)
        .filter(|line| !USUAL.iter().any(|usual| line.starts_with(usual)))
        .map(|line| line.trim().replace(&root, ""))
        .collect();
    match said.len() {
        0 => "it said nothing".to_owned(),
        count => said[count.saturating_sub(LINES_MAX)..].join("; "),
    }
}

fn without_prefix(line: &str) -> &str {
    let mark = MARKS.iter().filter_map(|mark| line.find(mark)).min();
    &line[mark.unwrap_or_default()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_names_a_reason_is_told_and_the_usual_ones_are_not() {
        let log = "2026-11-30 18:28:55.162 GMT [31062] LOG:  unrecognized configuration parameter \"no_such\" in file \
                   \"/run/tine/1/mnt/data/postgresql.conf\" line 3\n\
                   2026-11-30 18:28:55.162 GMT [31062] LOG:  syntax error in file \"/run/tine/1/mnt/data/a.conf\" line 9, near token \"x\"\n\
                   2026-11-30 18:28:55.163 GMT [31062] LOG:  starting PostgreSQL 15\n\
                   2026-11-30 18:28:55.163 GMT [31062] FATAL:  configuration file contains errors\n";
        assert_eq!(
            words(log, Path::new("/run/tine/1/mnt")),
            "LOG:  unrecognized configuration parameter \"no_such\" in file \"data/postgresql.conf\" line 3; \
             LOG:  syntax error in file \"data/a.conf\" line 9, near token \"x\"; \
             FATAL:  configuration file contains errors"
        );
        assert_eq!(words("ВАЖНО:  нет\n", Path::new("/x")), "ВАЖНО:  нет");
        assert_eq!(words("\n", Path::new("/x")), "it said nothing");
    }

    #[test]
    fn of_a_long_log_the_end_is_told() {
        let log: String = (0..50).map(|n| format!("[{n}] LOG:  line {n}\n")).collect();
        let told = words(&log, Path::new("/x"));
        assert!(told.starts_with("LOG:  line 42; ") && told.ends_with("; LOG:  line 49"), "{told}");
    }
}
