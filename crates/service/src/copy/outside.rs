//! What of an imported directory leads out of it: an import copies links as they are, so that what
//! they lead to is not in the branch, and a program that follows one there works on the host's own
//! files.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::seen::Seen;
use super::{host, live_server};
use crate::machine::links::leads_out;
use crate::postgres::{configuration_elsewhere, is_read_by_a_fork, refused_settings};
use crate::protocol::copies::{OutsideLink, Warning};
use crate::protocol::raw::RawBytes;

/// Links that are listed one by one; the rest is counted.
const TOLD_MAX: usize = 100;

/// Links that a warning names.
const NAMED_MAX: usize = 5;

pub struct Outside {
    root: Arc<OwnedFd>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// The first links by path, with their targets.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    count: u64,
    clusters: BTreeMap<Vec<u8>, Cluster>,
}

impl Found {
    /// Tells `note` of each data directory that has the file at `path`, and the file's name there,
    /// if a server reads it.
    fn in_clusters(&mut self, path: &[u8], mut note: impl FnMut(&mut Cluster, &[u8])) {
        let ends = (0..path.len()).filter(|&at| path[at] == b'/');
        for directory in ends.map(|at| &path[..at]).chain([&b""[..]]) {
            if let Some(cluster) = self.clusters.get_mut(directory) {
                let name = path.strip_prefix(directory).unwrap_or(path);
                let name = name.strip_prefix(b"/").unwrap_or(name);
                if is_read_by_a_fork(as_path(name)) {
                    note(cluster, name);
                }
            }
        }
    }
}

/// A PostgreSQL data directory.
#[derive(Default)]
struct Cluster {
    is_configured: bool,
    /// Where its server had its configuration, if that is known to be elsewhere.
    elsewhere: Option<PathBuf>,
    /// The first links by which a server on the branch would work on the host's files.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first pipe or device, for which a server would wait.
    pipe: Option<Vec<u8>>,
}

/// What an import reports.
pub struct Told {
    pub links: Vec<OutsideLink>,
    pub count: u64,
    pub warnings: Vec<Warning>,
}

impl Outside {
    /// Of the directory `root`, which is open to be read.
    pub fn new(root: Arc<OwnedFd>) -> Outside {
        Outside { root, found: Mutex::default() }
    }

    /// Looks where the link at `path`, relative to the root, leads.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn link(&self, path: &[u8], target: &[u8]) -> io::Result<()> {
        if !leads_out(self.root.as_fd(), as_path(path))? {
            return Ok(());
        }
        let mut found = self.found();
        found.count += 1;
        keep(&mut found.links, TOLD_MAX, path, target);
        found.in_clusters(path, |cluster, name| keep(&mut cluster.links, NAMED_MAX, name, target));
        Ok(())
    }

    /// Takes note of a pipe or a device.
    pub fn pipe_or_device(&self, path: &[u8]) {
        self.found().in_clusters(path, |cluster, name| {
            cluster.pipe.get_or_insert_with(|| name.to_owned());
        });
    }

    /// Looks whether a directory, before what is in it, is one of PostgreSQL.
    pub fn directory(&self, directory: &OwnedFd, path: &[u8]) {
        if !live_server::is_cluster(directory) {
            return;
        }
        let is_configured = Seen::at(directory.as_fd(), b"postgresql.conf").is_ok();
        let elsewhere = match host::through_proc(directory.as_fd(), b"") {
            Ok(opened) if !is_configured => configuration_elsewhere(as_path(opened.to_bytes())),
            _ => None,
        };
        let cluster = Cluster { is_configured, elsewhere, ..Cluster::default() };
        self.found().clusters.insert(path.to_vec(), cluster);
    }

    /// What was found below `source`.
    pub fn told(self, source: &Path) -> Told {
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut warnings = Vec::new();
        if found.count > 0 {
            let verb = if found.count == 1 { "link leads" } else { "links lead" };
            warnings.push(Warning::Text(format!(
                "{} {verb} out of {} and stay as they are: {}",
                found.count,
                source.display(),
                named(&found.links, found.count)
            )));
        }
        for (path, cluster) in &found.clusters {
            let directory = host::shown(source, path);
            if !cluster.links.is_empty() {
                let links = named(&cluster.links, cluster.links.len() as u64);
                let directory = directory.clone();
                warnings.push(Warning::ClusterLinksOut { directory, links });
            }
            let pipe = cluster.pipe.as_ref().map(|pipe| {
                format!(
                    "{} is a pipe or a device, for which a server may wait for ever. Remove it \
                     inside the branch",
                    String::from_utf8_lossy(pipe)
                )
            });
            let refused = pipe.into_iter().chain(Self::refused_settings(&self.root, path));
            for why in refused {
                warnings.push(Warning::ClusterRefused { directory: directory.clone(), why });
            }
            if !cluster.is_configured {
                let elsewhere = cluster.elsewhere.clone();
                warnings.push(Warning::ClusterWithoutConfiguration { directory, elsewhere });
            }
        }
        let link = |(path, target): (Vec<u8>, Vec<u8>)| OutsideLink {
            path: String::from_utf8_lossy(&path).into_owned(),
            target: String::from_utf8_lossy(&target).into_owned(),
            path_bytes: RawBytes::unless_text(&path),
            target_bytes: RawBytes::unless_text(&target),
        };
        Told { links: found.links.into_iter().map(link).collect(), count: found.count, warnings }
    }

    /// What a start will refuse of the settings of the data directory at `path`.
    fn refused_settings(root: &OwnedFd, path: &[u8]) -> Vec<String> {
        let root = host::through_proc(root.as_fd(), b"").ok();
        let root = root.and_then(|root| as_path(root.to_bytes()).canonicalize().ok());
        root.map(|root| refused_settings(&root, &root.join(as_path(path)))).unwrap_or_default()
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the first `count_max` by path.
fn keep(links: &mut BTreeMap<Vec<u8>, Vec<u8>>, count_max: usize, path: &[u8], target: &[u8]) {
    links.insert(path.to_vec(), target.to_vec());
    if links.len() > count_max {
        links.pop_last();
    }
}

fn named(links: &BTreeMap<Vec<u8>, Vec<u8>>, count: u64) -> String {
    let shown = |(path, target): (&Vec<u8>, &Vec<u8>)| {
        format!("{} -> {}", String::from_utf8_lossy(path), String::from_utf8_lossy(target))
    };
    let mut text = links.iter().take(NAMED_MAX).map(shown).collect::<Vec<_>>().join(", ");
    let more = count.saturating_sub(links.len().min(NAMED_MAX) as u64);
    if more > 0 {
        text.push_str(&format!(", and {more} more"));
    }
    text
}

fn as_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}
