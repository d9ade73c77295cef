//! Why something is kept no more, in words.

use crate::protocol::history::Gone;
use crate::protocol::{Code, Error, Hint};

/// Why the content of a point is gone: without a reason it was needed by a change.
pub fn gone_words(gone: Option<Gone>) -> &'static str {
    match gone {
        None | Some(Gone::Space) => "its space was needed",
        Some(Gone::Budget) => "points held more of the store than they may",
        Some(Gone::Age) => "its days were over",
        Some(Gone::Count) => "there were too many points",
        Some(Gone::Ended) => "it was deleted for good",
    }
}

/// The error of a point whose content is gone.
pub fn point_is_gone(shown: &str, why: &str) -> Error {
    let what = format!("the content of {shown} is gone: {why}");
    Error::new(Code::BranchNotFound, what)
        .hint(Hint::ShowLog { branch: shown.split('@').next().unwrap_or(shown).into() })
}
