//! What a shell completes an argument with.

use std::path::PathBuf;
use std::time::Duration;

use clap_complete::engine::CompletionCandidate;
use tine_service::protocol::branches::Names;
use tine_service::{Client, Result};

use crate::global::Global;
use crate::settings;
use crate::store::store_path;

/// A key that is pressed is not to wait until another command lets go of the store.
const PATIENCE: Duration = Duration::from_millis(200);

/// The branches of the store that the command line so far is about; none where they are not to be
/// had at once.
pub fn branches() -> Vec<CompletionCandidate> {
    names().unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

fn names() -> Result<Vec<String>> {
    let global = Global { store: named_store(), ..Global::default() };
    let path = store_path(&global)?;
    let client = Client::new(&path, settings::options()?)?.with_patience(PATIENCE);
    client.ask(Names)
}

/// What `--store` says among the words that are being completed.
fn named_store() -> Option<PathBuf> {
    let mut words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let mut store = None;
    while let Some(word) = words.next() {
        if word == "--store" {
            store = words.next();
        } else if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--store=")) {
            store = Some(path.into());
        }
    }
    store.map(PathBuf::from)
}
