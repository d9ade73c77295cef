//! The request to verify everything.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;

/// Verifies the store and the file tree of every branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check;

impl Ask for Check {
    type Answer = Checked;
    const ONLY_READS: bool = true;
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Empty for a sound store.
    pub findings: Vec<Finding>,
    /// Blocks whose checksums were verified.
    pub blocks_checked: u64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is lost.
    Warning,
    /// Something is wrong.
    Error,
    /// The rest could not be checked.
    Fatal,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    pub what: String,
    #[serde(rename = "where")]
    pub place: String,
}

impl From<tine_store::Finding> for Finding {
    fn from(finding: tine_store::Finding) -> Finding {
        let severity = match finding.severity {
            tine_store::Severity::Warning => Severity::Warning,
            tine_store::Severity::Error => Severity::Error,
            tine_store::Severity::Fatal => Severity::Fatal,
        };
        Finding { severity, what: finding.what, place: finding.place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_its_place_as_the_contract_does() {
        let finding =
            Finding { severity: Severity::Fatal, what: "x".into(), place: "block 3".into() };
        let text = serde_json::to_string(&finding).unwrap();
        assert_eq!(text, r#"{"severity":"fatal","what":"x","where":"block 3"}"#);
    }
}
