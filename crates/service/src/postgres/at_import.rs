//! What a start will refuse of the settings of a data directory, reported when the directory is
//! imported.

use std::path::Path;

use super::account::Account;
use super::boundary::Boundary;
use super::cluster::Cluster;
use super::installation::Installation;
use crate::protocol::Result;

/// The settings and included files of a data directory in the tree `root` for which a start on a
/// copy will be refused. None where a start is refused anyway, such as without the server's
/// programs.
pub(crate) fn refused_settings(root: &Path, directory: &Path) -> Vec<String> {
    let look = || -> Result<Vec<String>> {
        let cluster = &Cluster::open_in(root, directory)?;
        let account = &Account::of_directory(&cluster.directory)?;
        let installation = &Installation::for_version(&cluster.version)?;
        Boundary { cluster, account, installation }.refused_settings()
    };
    look().unwrap_or_default()
}
