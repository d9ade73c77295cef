//! A file is about one thing: more than 800 lines are two things, unless a reason is listed here.

use super::source::Source;

const LINES_MAX: usize = 800;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// One finding a source file that is too long.
pub fn check(sources: &[Source]) -> Vec<String> {
    let is_code = |source: &&Source| {
        source.path.extension().is_some_and(|extension| extension == "rs" || extension == "py")
    };
    let is_listed =
        |source: &&Source| LONGER.iter().any(|(path, _)| source.path.as_os_str() == *path);
    sources
        .iter()
        .filter(is_code)
        .filter(|source| !is_listed(source))
        .filter_map(|source| {
            let lines = source.text.lines().count();
            let finding = format!(
                "{}: {lines} lines, more than {LINES_MAX}; split it by subject",
                source.path.display()
            );
            (lines > LINES_MAX).then_some(finding)
        })
        .collect()
}
