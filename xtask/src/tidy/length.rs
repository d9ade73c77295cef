//! A file is about one thing: more than 500 lines are two things. Tests may have 800.

use super::source::Source;

/// Lines before the file's own tests.
const LINES_MAX: usize = 500;

/// Lines of a file of tests, and of any file with its own.
const LINES_WITH_TESTS_MAX: usize = 800;

/// One finding a source file that is too long.
pub fn check(sources: &[Source]) -> Vec<String> {
    let is_code = |source: &&Source| {
        source.path.extension().is_some_and(|extension| extension == "rs" || extension == "py")
    };
    sources.iter().filter(is_code).filter_map(finding).collect()
}

fn finding(source: &Source) -> Option<String> {
    let is_test = source.path.iter().any(|part| part == "tests" || part == "tests.rs");
    let all = source.text.lines().count();
    let before_tests =
        source.text.lines().take_while(|line| !line.starts_with("mod tests {")).count();
    let (lines, max) = match all > LINES_WITH_TESTS_MAX || is_test {
        true => (all, LINES_WITH_TESTS_MAX),
        false => (before_tests, LINES_MAX),
    };
    let path = source.path.display();
    (lines > max).then(|| format!("{path}: {lines} lines, more than {max}; split it by subject"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, before: usize, tests: usize) -> bool {
        let text = format!("{}mod tests {{\n{}}}\n", "code\n".repeat(before), "t\n".repeat(tests));
        finding(&Source { path: path.into(), text }).is_some()
    }

    #[test]
    fn long_files_are_found_and_their_tests_count_less() {
        assert!(!found("src/a.rs", LINES_MAX, 200));
        assert!(found("src/a.rs", LINES_MAX + 1, 0));
        assert!(found("src/a.rs", 100, LINES_WITH_TESTS_MAX));
        assert!(!found("tests/a.rs", LINES_MAX + 1, 0));
    }
}
