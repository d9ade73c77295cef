//! The store that a command line is about.

use std::path::PathBuf;

use etcetera::BaseStrategy;
use tine_service::{Client, Code, Error, Result};
use tine_store::Options;

use crate::global::Global;
use crate::settings;

/// The way to the store that the command line is about, and how it is to be opened.
///
/// # Errors
/// When no place for a store is known, or a setting of the environment makes no sense.
pub fn reach_store(global: &Global) -> Result<(Client, Options)> {
    let (options, percent) = (settings::options()?, settings::points_percent()?);
    let client = Client::new(&store_path(global)?, options.clone())?;
    Ok((client.with_points_percent(percent), options))
}

/// Flag, then environment, then the place that the desktop's rules name.
///
/// # Errors
/// When there is no home directory, and so no such place.
pub fn store_path(global: &Global) -> Result<PathBuf> {
    if let Some(path) = &global.store {
        return Ok(path.clone());
    }
    if let Some(path) = std::env::var_os("TINE_STORE").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    match etcetera::base_strategy::Xdg::new() {
        Ok(base) => Ok(base.data_dir().join("tine/store.tine")),
        Err(_) => Err(Error::new(Code::Usage, "there is no home directory to look for a store in")
            .hint("name the store with --store or TINE_STORE")),
    }
}
