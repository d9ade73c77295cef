//! What a check found.

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Space or order is lost, data is not.
    Warning,
    /// Something can't be read, or may be lost later.
    Error,
    /// The store can't be used as it is.
    Fatal,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// Where: a branch, a block address.
    pub place: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Empty for a sound store.
    pub findings: Vec<Finding>,
    /// Blocks of nodes and data that were read and verified.
    pub blocks_checked: u64,
}
