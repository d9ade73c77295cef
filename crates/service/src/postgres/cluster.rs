//! A database cluster on disk: where it is in a tree, which version wrote it, whether a server is
//! on it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use super::data_file;
use super::process::start_ticks;
use crate::protocol::{Code, Error, Hint, Result};

/// How deep under a branch's root a cluster is looked for. Deeper ones are named by the caller.
const DEPTH_MAX: usize = 6;

/// A PostgreSQL data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The data directory, absolute.
    pub directory: PathBuf,
    /// The tree that is the cluster's own, absolute: nothing it uses may lie outside.
    pub root: PathBuf,
    /// The major version, as in the file `PG_VERSION`: `15`.
    pub version: String,
}

impl Cluster {
    /// Reads what a data directory that stands alone says about itself.
    ///
    /// # Errors
    /// `Unsupported` if it is no data directory.
    pub fn open(directory: &Path) -> Result<Self> {
        Self::open_in(directory, directory)
    }

    /// Reads what a data directory says about itself, which lies in a tree that goes with it.
    ///
    /// # Errors
    /// `Unsupported` if it is no data directory, or lies outside of the tree.
    pub fn open_in(root: &Path, directory: &Path) -> Result<Self> {
        let canonical =
            |path: &Path| path.canonicalize().map_err(|error| Error::path("open", path, error));
        let (root, named, directory) = (canonical(root)?, directory, canonical(directory)?);
        if !directory.starts_with(&root) {
            let message = format!(
                "{} leads out of the branch, to {}",
                named.strip_prefix(&root).unwrap_or(named).display(),
                directory.display()
            );
            return Err(Error::new(Code::Unsupported, message)
                .hint("name a data directory that is inside the branch"));
        }
        if !is_cluster(&directory) {
            let message = format!("{} is not a PostgreSQL data directory", directory.display());
            return Err(Error::new(Code::Unsupported, message)
                .hint("a data directory holds PG_VERSION and global/pg_control"));
        }
        let file = directory.join("PG_VERSION");
        let version =
            data_file::read_own_text(&file).map_err(|error| Error::path("read", &file, error))?;
        Ok(Self { directory, root, version: version.trim().to_owned() })
    }

    /// Finds the only cluster in a tree, nearest to the root first; symbolic links are not
    /// followed.
    ///
    /// # Errors
    /// `Unsupported` if there is none or more than one; the message names what was found.
    pub fn find(root: &Path) -> Result<Self> {
        let found = clusters_under(root)?;
        match found.as_slice() {
            [one] => Self::open_in(root, one),
            [] => {
                let message = format!(
                    "no PostgreSQL data directory lies within {DEPTH_MAX} levels of its top"
                );
                Err(Error::new(Code::Unsupported, message).hint(Hint::NameDataDirectory))
            }
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|path| path.strip_prefix(root).unwrap_or(path).display().to_string())
                    .collect();
                let message = format!("several PostgreSQL data directories: {}", names.join(", "));
                Err(Error::new(Code::Unsupported, message).hint(Hint::ChooseDataDirectory))
            }
        }
    }
}

/// The process of the server that runs on this data directory now, if there is one.
///
/// The pid file of a copied directory names a process too, its original's; a process counts only if
/// it works in this very directory.
pub fn live_server(directory: &Path) -> Option<u32> {
    let directory = directory.canonicalize().ok()?;
    let text = data_file::read_own_text(&directory.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid: u32 = lines.next()?.trim().parse().ok()?;
    let recorded = lines.next().unwrap_or_default();
    start_ticks(pid)?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    let works_here = match fs::read_link(process.join("cwd")) {
        Ok(working) => working == directory,
        // Another user's process does not tell; then its name and its own record must do.
        Err(_) => {
            let name = fs::read_to_string(process.join("comm")).ok()?;
            matches!(name.trim(), "postgres" | "postmaster") && Path::new(recorded) == directory
        }
    };
    works_here.then_some(pid)
}

fn is_cluster(directory: &Path) -> bool {
    directory.join("PG_VERSION").is_file() && directory.join("global/pg_control").is_file()
}

fn clusters_under(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut queue = VecDeque::from([(root.to_owned(), 0)]);
    while let Some((directory, depth)) = queue.pop_front() {
        if is_cluster(&directory) {
            found.push(directory);
            continue;
        }
        if depth == DEPTH_MAX {
            continue;
        }
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // What this user may not enter, this user's server can't be in.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && depth > 0 => {
                continue;
            }
            Err(error) => return Err(Error::path("read", &directory, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| Error::path("read", &directory, error))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                queue.push_back((entry.path(), depth + 1));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster_at(directory: &Path) {
        fs::create_dir_all(directory.join("global")).unwrap();
        fs::write(directory.join("PG_VERSION"), "15\n").unwrap();
        fs::write(directory.join("global/pg_control"), "").unwrap();
    }

    #[test]
    fn a_cluster_is_found_in_a_tree_and_its_parts_are_not_taken_for_clusters() {
        let tree = tempfile::tempdir().unwrap();
        let data = tree.path().join("var/lib/15/main");
        cluster_at(&data);
        fs::create_dir_all(data.join("base/1")).unwrap();
        fs::write(data.join("base/1/PG_VERSION"), "15\n").unwrap();
        let cluster = Cluster::find(tree.path()).unwrap();
        assert_eq!(cluster.version, "15");
        assert_eq!(cluster.directory, data.canonicalize().unwrap());
    }

    #[test]
    fn none_and_several_clusters_are_errors_that_name_the_way_out() {
        let tree = tempfile::tempdir().unwrap();
        assert!(Cluster::find(tree.path()).unwrap_err().hint == Some(Hint::NameDataDirectory));
        cluster_at(&tree.path().join("a"));
        cluster_at(&tree.path().join("b"));
        let error = Cluster::find(tree.path()).unwrap_err();
        assert!(error.message.contains('a') && error.message.contains('b'), "{error}");
    }

    #[test]
    fn the_pid_file_of_a_copied_directory_is_no_live_server() {
        let tree = tempfile::tempdir().unwrap();
        // This process lives, but does not work in that directory.
        let file = format!("{}\n/elsewhere\n", std::process::id());
        fs::write(tree.path().join("postmaster.pid"), file).unwrap();
        assert_eq!(live_server(tree.path()), None);
    }
}
