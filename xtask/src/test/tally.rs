//! What passed, failed and was skipped, and the lines that say so.

use std::process::ExitCode;

/// Counts over the whole run, with the names of what failed and what was skipped.
#[derive(Default)]
pub struct Tally {
    passed: u64,
    failed: Vec<String>,
    skipped: Vec<String>,
}

/// What one test program reported.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    /// Tests that passed, those that named themselves skipped left out.
    pub passed: u64,
    /// Names of tests that failed; one line of explanation when the program itself did.
    pub failed: Vec<String>,
    /// `WHAT: WHY` of what was skipped or ignored.
    pub skipped: Vec<String>,
    /// Wall time.
    pub seconds: f64,
}

impl Report {
    /// Reads the output of libtest, run with `--show-output`.
    pub fn parse(output: &str, seconds: f64) -> Self {
        let mut report = Self { seconds, ..Self::default() };
        for line in output.lines() {
            if let Some(skipped) = line.strip_prefix("skipped: ") {
                report.skipped.push(skipped.to_owned());
            } else if let Some(name) =
                line.strip_prefix("test ").and_then(|test| test.strip_suffix(" ... FAILED"))
            {
                report.failed.push(name.to_owned());
            } else if let Some((name, reason)) = ignored(line) {
                report.skipped.push(format!("{name}: {reason}"));
            } else if let Some(passed) = passed(line) {
                report.passed += passed;
            }
        }
        let named = output.lines().filter(|line| line.starts_with("skipped: ")).count() as u64;
        report.passed = report.passed.saturating_sub(named);
        report.skipped.sort();
        report.skipped.dedup();
        report
    }
}

impl Tally {
    /// Counts a check that passed.
    pub fn pass(&mut self, name: &str, seconds: f64) {
        self.passed += 1;
        println!("{name:<44} ok {seconds:>38.1} s");
    }

    /// Counts a check that failed.
    pub fn fail(&mut self, name: &str, seconds: f64, why: &str) {
        println!("{name:<44} FAILED {seconds:>34.1} s\n{why}");
        self.failed.push(name.to_owned());
    }

    /// Counts something that could not be run.
    pub fn skip(&mut self, what: &str) {
        self.skipped.push(what.to_owned());
    }

    /// Adds the report of a test program and prints its line.
    pub fn add(&mut self, name: &str, report: Report) {
        let (passed, failed, skipped) = (report.passed, report.failed.len(), report.skipped.len());
        let seconds = report.seconds;
        println!(
            "{name:<44} {passed:>5} passed {failed:>4} failed {skipped:>4} skipped {seconds:>7.1} s"
        );
        self.passed += passed;
        self.failed.extend(report.failed.into_iter().map(|test| format!("{name}: {test}")));
        self.skipped.extend(report.skipped.into_iter().map(|test| format!("{name}: {test}")));
    }

    /// Names what was not run and what failed; the last line counts.
    pub fn finish(self) -> ExitCode {
        let Self { passed, failed, skipped } = self;
        if !skipped.is_empty() {
            println!("\nnot run:\n  {}", skipped.join("\n  "));
        }
        if !failed.is_empty() {
            println!("\nfailed:\n  {}", failed.join("\n  "));
        }
        println!("\n{passed} passed, {} failed, {} skipped", failed.len(), skipped.len());
        if failed.is_empty() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn ignored(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((name, rest.strip_prefix(", ").unwrap_or("ignored")))
}

fn passed(line: &str) -> Option<u64> {
    let counts = line.strip_prefix("test result: ")?;
    let (_, counts) = counts.split_once(". ")?;
    counts.split(" passed").next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_not_counted_as_passed() {
        let output = "\
running 4 tests
test a ... ok
test b ... ok
test c ... ignored, soak: an hour
test d ... FAILED

successes:

---- b stdout ----
skipped: b: no /dev/fuse here

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
";
        let report = Report::parse(output, 0.5);
        assert_eq!(report.passed, 1);
        assert_eq!(report.failed, ["d"]);
        assert_eq!(report.skipped, ["b: no /dev/fuse here", "c: soak: an hour"]);
    }
}
