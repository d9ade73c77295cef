//! Settings from the environment, which the holder inherits from the command that starts it.

use std::env::VarError;

use tine_service::{Code, Error, POINTS_PERCENT, Result};
use tine_store::Options;

/// How the store is to be opened.
///
/// `TINE_CACHE_MIB` bounds the memory for nodes that were read. `TINE_LOSSY`, with the feature
/// `testing` alone, is for tests of crash safety: what was not flushed is lost when the process
/// ends, as in a power cut (`honest`); or flushes do nothing, which such a test must notice
/// (`ignores-flushes`).
pub fn options() -> Result<Options> {
    let mut options = Options::default();
    if let Some(text) = variable("TINE_CACHE_MIB")? {
        let mib = text.parse::<usize>().ok().filter(|mib| (1..=1 << 20).contains(mib));
        let mib =
            mib.ok_or_else(|| wrong("TINE_CACHE_MIB", &text, "a number from 1 to 1048576"))?;
        options.cache_bytes = mib << 20;
    }
    #[cfg(feature = "testing")]
    if let Some(text) = variable("TINE_LOSSY")? {
        options.lossy = match text.as_str() {
            "honest" => Some(tine_store::Lossy::Honest),
            "ignores-flushes" => Some(tine_store::Lossy::IgnoresFlushes),
            _ => return Err(wrong("TINE_LOSSY", &text, "`honest` or `ignores-flushes`")),
        };
    }
    Ok(options)
}

/// How much of the store points may hold, in percent: `TINE_POINTS_PERCENT`. With 0 none is kept,
/// and what is deleted is gone.
pub fn points_percent() -> Result<u8> {
    let Some(text) = variable("TINE_POINTS_PERCENT")? else { return Ok(POINTS_PERCENT) };
    let percent = text.parse::<u8>().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| wrong("TINE_POINTS_PERCENT", &text, "a number from 0 to 100"))
}

fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(Some(text)),
        Ok(_) | Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(text)) => Err(wrong(name, &text.to_string_lossy(), "plain text")),
    }
}

fn wrong(name: &str, text: &str, expected: &str) -> Error {
    Error::new(Code::Usage, format!("{name} is {text:?}")).hint(format!("it is {expected}"))
}
