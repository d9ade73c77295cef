//! Tells if the store may still be written. After a failed write or flush it is unknown what the
//! disk holds, so nothing is retried into a lie: every later write errors until the store is
//! reopened.

use crate::error::{Error, Result};
use std::sync::OnceLock;

#[derive(Debug, Default)]
pub(crate) struct Health(OnceLock<String>);

impl Health {
    pub fn check(&self) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(why) => Err(Error::Poisoned { why: why.clone() }),
        }
    }

    pub fn poisoned(&self) -> bool {
        self.0.get().is_some()
    }

    /// Passes `result` on; an error is the end of writing.
    pub fn guard<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            let _ = self.0.set(error.to_string());
        }
        result
    }
}
