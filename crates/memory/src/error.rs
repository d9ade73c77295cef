//! What can go wrong, and what you can do about it.

use std::io;
use std::path::PathBuf;

/// The result of every call of this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A feature of the system that a part of this crate needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Linux 6.8 or later: it has `PAGEMAP_SCAN` (6.7) and `UFFDIO_MOVE` (6.8), and none of the
    /// known holes in the kernel's copy-on-write (CVE-2016-5195, CVE-2020-29374, CVE-2022-2590).
    Kernel,
    /// Pages of 4 KiB.
    PageSize,
    /// `memfd_create` with sealing.
    SealedMemory,
    /// The `PAGEMAP_SCAN` request on `/proc/self/pagemap`.
    PagemapScan,
    /// `userfaultfd` for faults from user mode. Containers often forbid the system call.
    Userfaultfd,
    /// `UFFD_FEATURE_SIGBUS`: the faulting thread resolves its own fault.
    FaultSignal,
    /// Missing and minor faults on private mappings of shared memory.
    SharedMemoryFaults,
    /// `UFFDIO_MOVE`: moving a page instead of copying it.
    MovePages,
    /// `UFFD_FEATURE_WP_ASYNC`: finding written pages with no fault in user space.
    WriteTracking,
    /// `MADV_COLLAPSE`: making huge pages on request.
    Collapse,
    /// `PR_SET_MDWE`: no memory of the process can become executable.
    DenyExecutable,
    /// The kernel's own same-page merging (KSM).
    KernelMerging,
}

impl Feature {
    /// The feature's name in the kernel's words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "Linux 6.8 or later",
            Self::PageSize => "pages of 4 KiB",
            Self::SealedMemory => "memfd_create with seals",
            Self::PagemapScan => "PAGEMAP_SCAN",
            Self::Userfaultfd => "userfaultfd",
            Self::FaultSignal => "UFFD_FEATURE_SIGBUS",
            Self::SharedMemoryFaults => "UFFD_FEATURE_MINOR_SHMEM",
            Self::MovePages => "UFFD_FEATURE_MOVE",
            Self::WriteTracking => "UFFD_FEATURE_WP_ASYNC",
            Self::Collapse => "MADV_COLLAPSE",
            Self::DenyExecutable => "PR_SET_MDWE",
            Self::KernelMerging => "kernel same-page merging",
        }
    }
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the system gave no address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// More than a process can address, or than its limit allows (`ulimit -v` and `-d`).
    AddressSpace,
    /// Strict overcommit (`vm.overcommit_memory` = 2) counts the reservation against the commit
    /// limit.
    Overcommit,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AddressSpace => {
                "the address space or its limit is too small; reserve less or raise `ulimit -v` and `ulimit -d`"
            }
            Self::Overcommit => {
                "strict overcommit is on; reserve less or set vm.overcommit_memory to 0 or 1"
            }
        })
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system lacks what the operation needs.
    #[error("{feature} is not available here: {reason}")]
    Unsupported {
        /// What is missing.
        feature: Feature,
        /// How that was found, and what may help.
        reason: String,
    },
    /// The system refused to reserve address space.
    #[error("cannot reserve {bytes} bytes: {refusal}")]
    Reserve {
        /// Bytes asked for.
        bytes: u64,
        /// Why they were refused.
        refusal: Refusal,
    },
    /// Too many separate mappings; the kernel's limit would be reached.
    #[error(
        "{needed} more mappings would exceed the budget ({used} of {limit} used): flatten images, \
         drop forks, or raise vm.max_map_count"
    )]
    VmaBudget {
        /// Mappings that the operation needs.
        needed: usize,
        /// Mappings in use by regions, images and snapshots.
        used: usize,
        /// Mappings that this crate allows itself.
        limit: usize,
    },
    /// Too many lazy forks and snapshots have not settled.
    #[error(
        "{limit} windows of lazy forks and snapshots are open, which is the most there can be: settle or \
         drop some, or fork eagerly"
    )]
    Windows {
        /// Windows that can be open at a time.
        limit: usize,
    },
    /// I/O may reach the memory's pages wherever page tables move them.
    #[error(
        "pages of the memory are pinned, as a buffer registered with io_uring or for RDMA is: I/O would go on \
         where they were, and its data would be lost; unregister the buffer first, or fork eagerly"
    )]
    Pinned,
    /// A child of `fork(2)` did not inherit the memory.
    #[error(
        "this process did not inherit the memory: its window was open when fork(2) made the process; settle \
         it before, or send an image"
    )]
    NotInherited,
    /// A region cannot be split into this many shards.
    #[error(
        "{pages} pages cannot be split into {shards} shards: ask for 1 to {pages}, since each takes a page"
    )]
    Shards {
        /// Shards asked for.
        shards: usize,
        /// Pages of the region.
        pages: usize,
    },
    /// A descriptor whose memory could still be changed.
    #[error("the descriptor is not a sealed image: {reason}")]
    Unsealed {
        /// Which seal or property is missing.
        reason: String,
    },
    /// An offset or length that does not fit.
    #[error("{what}: {offset} + {bytes} bytes lie outside the {len} bytes there are")]
    Bounds {
        /// The operation.
        what: &'static str,
        /// Where it was to start.
        offset: u64,
        /// How much it was to cover.
        bytes: u64,
        /// How much there is.
        len: u64,
    },
    /// A length that cannot be had.
    #[error("a length of {bytes} bytes is not possible: {reason}")]
    Length {
        /// The length.
        bytes: u64,
        /// Why not.
        reason: &'static str,
    },
    /// `rebase` onto an image that holds something else.
    #[error("the image does not hold what the region was made from; rebase needs equal content")]
    NotSameContent,
    /// A file cannot become an image.
    #[error("cannot read {} into an image: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No memory is left for what an image is to hold.
    #[error(
        "no memory is left for an image: the system may promise no more (vm.overcommit_memory is 2, and the \
         commit limit of /proc/meminfo is reached); drop images, add swap, or raise vm.overcommit_ratio"
    )]
    NoMemory,
    /// The system refused an operation.
    #[error("cannot {what}: {source}")]
    Os {
        /// The operation.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn os(what: &'static str, source: io::Error) -> Self {
        Self::Os { what, source }
    }

    /// The error of the system call that has just failed.
    pub(crate) fn last(what: &'static str) -> Self {
        Self::os(what, io::Error::last_os_error())
    }
}
