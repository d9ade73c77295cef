//! What the system offers, and a name for each thing that it lacks.
//!
//! Memory, images and their forks need only what [`require`] asks for. To fork, seal or reset what
//! was written, page tables are scanned, which takes /proc. Lazy forks and snapshots need
//! *windows*: `userfaultfd` with its signal. Containers often forbid it, and everything else works
//! without.

use std::io;
use std::sync::OnceLock;

use crate::error::{Error, Feature, Result};
use crate::page::PAGE;
use crate::sys;

/// What was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// The kernel's release.
    pub kernel: String,
    /// Every feature that is missing, and how that was found.
    pub missing: Vec<(Feature, String)>,
    /// The error number of a shortage of descriptors or memory. A feature may then only seem to be
    /// missing.
    shortage: Option<i32>,
}

impl Probe {
    /// Asks the system, without a cache.
    pub fn new() -> Self {
        let kernel = sys::release();
        let mut missing = Vec::new();
        let mut shortage = None;
        if !sys::memory_is_sound(&kernel) {
            let reason = format!(
                "this is {kernel:?}; older kernels lack needed calls or have known holes in \
                 copy-on-write"
            );
            missing.push((Feature::Kernel, reason));
        }
        if sys::page_size() != PAGE {
            missing.push((Feature::PageSize, format!("pages have {} bytes", sys::page_size())));
        }
        let mut refused = |what: &str, error| {
            shortage = shortage.or(Some(error).filter(|error| sys::is_shortage(*error)));
            refused(what, error)
        };
        if let Err(error) = sys::pagemap_usable() {
            missing.push((Feature::PagemapScan, refused("/proc/self/pagemap", error)));
        }
        missing.extend(missing_of_userfaultfd(|error| refused("userfaultfd", error)));
        Self { kernel, missing, shortage }
    }

    /// Returns `true` if the system has a feature.
    pub fn has(&self, feature: Feature) -> bool {
        self.missing.iter().all(|(missing, _)| *missing != feature)
    }

    /// Returns `true` if lazy forks and snapshots are possible.
    pub fn has_windows(&self) -> bool {
        self.has(Feature::PagemapScan) && WINDOWS.iter().all(|feature| self.has(*feature))
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linux {}", self.kernel)?;
        self.missing.iter().try_for_each(|(feature, reason)| write!(f, "\nno {feature}: {reason}"))
    }
}

/// What windows need in addition to scans of page tables.
const WINDOWS: [Feature; 4] =
    [Feature::Userfaultfd, Feature::FaultSignal, Feature::SharedMemoryFaults, Feature::MovePages];

fn missing_of_userfaultfd(mut refused: impl FnMut(i32) -> String) -> Vec<(Feature, String)> {
    use sys::uffd_bits as bits;
    let offered = match sys::uffd_features() {
        Ok(offered) => offered,
        Err(error) => {
            let all = WINDOWS.into_iter().chain([Feature::WriteTracking]);
            return all.map(|feature| (feature, refused(error))).collect();
        }
    };
    let needed = [
        (Feature::FaultSignal, bits::SIGBUS),
        (Feature::SharedMemoryFaults, bits::MISSING_SHMEM | bits::MINOR_SHMEM),
        (Feature::MovePages, bits::MOVE),
        (Feature::WriteTracking, bits::WP_ASYNC | bits::WP_SHMEM),
    ];
    let mut missing: Vec<_> = needed
        .into_iter()
        .filter(|(_, bits)| offered & bits != *bits)
        .map(|(feature, _)| (feature, format!("the kernel offers {offered:#x} only")))
        .collect();
    if missing.is_empty()
        && let Err(error) = sys::userfaultfd_usable()
    {
        missing.push((Feature::Userfaultfd, refused(error)));
    }
    missing
}

fn refused(what: &str, error: i32) -> String {
    let hint = match error {
        libc::EPERM => "; a container's system-call filter or vm policy forbids it",
        libc::EACCES => {
            "; a process that changed its user may not look at itself: it can ask before, or set PR_SET_DUMPABLE"
        }
        libc::ENOENT => "; /proc is not mounted here",
        libc::ENOSYS => "; the kernel was built without it",
        _ => "",
    };
    format!("{what} answered: {}{hint}", io::Error::from_raw_os_error(error))
}

/// What the process found the first time that it had the descriptors and the memory to ask.
fn found() -> Result<&'static Probe> {
    static FOUND: OnceLock<Probe> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let probe = Probe::new();
    if let Some(error) = probe.shortage {
        let what = "ask what the kernel offers, which takes three descriptors (`ulimit -n`) and little memory";
        return Err(Error::os(what, io::Error::from_raw_os_error(error)));
    }
    Ok(FOUND.get_or_init(|| probe))
}

/// Fails unless regions are safe and possible here.
pub(crate) fn require() -> Result<()> {
    require_all(&[Feature::Kernel, Feature::PageSize])
}

/// Fails unless written pages can be found here.
pub(crate) fn require_scans() -> Result<()> {
    require_all(&[Feature::PagemapScan])
}

/// Fails unless windows are possible here.
pub(crate) fn require_windows() -> Result<()> {
    require_scans()?;
    require_all(&WINDOWS)
}

/// Fails unless written pages can be tracked here.
pub(crate) fn require_tracking() -> Result<()> {
    require_all(&[Feature::PagemapScan, Feature::Userfaultfd, Feature::WriteTracking])
}

fn require_all(features: &[Feature]) -> Result<()> {
    match found()?.missing.iter().find(|(feature, _)| features.contains(feature)) {
        None => Ok(()),
        Some((feature, reason)) => {
            Err(Error::Unsupported { feature: *feature, reason: reason.clone() })
        }
    }
}

/// Names the feature if the kernel does not know the request to collapse.
pub(crate) fn collapse_refused(error: Error) -> Error {
    match error {
        Error::Os { source, .. } if source.raw_os_error() == Some(libc::EINVAL) => {
            Error::Unsupported {
                feature: Feature::Collapse,
                reason: format!("madvise answered: {source}; huge pages may be switched off"),
            }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_named_with_its_reason() {
        let probe = Probe {
            kernel: "6.9.1".into(),
            missing: vec![(Feature::Userfaultfd, refused("userfaultfd", libc::EPERM))],
            shortage: None,
        };
        assert!(!probe.has_windows() && probe.has(Feature::Kernel));
        let text = probe.to_string();
        assert!(text.contains("no userfaultfd: ") && text.contains("container"), "{text}");
    }
}
