//! A page of figures: what one whole run printed, as Markdown, with the commit, the date and the
//! machine.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::machine::Machine;

/// What is known of a run before it begins.
#[derive(Clone, Debug)]
pub struct Heading {
    pub(crate) area: String,
    /// The commit that was measured.
    pub commit: String,
    /// When it was measured.
    pub when: SystemTime,
    /// Where it was measured.
    pub machine: Machine,
}

/// A line that a run printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// What, ours, peer, ratio, bar and verdict.
    Row([String; 6]),
    /// An explanation of the row above.
    Note(String),
}

impl Heading {
    /// The heading of a run of `area` on this machine, which begins now.
    pub fn new(area: &str, commit: &str) -> Self {
        let (when, machine) = (SystemTime::now(), Machine::this());
        Self { area: area.to_owned(), commit: commit.to_owned(), when, machine }
    }

    /// Writes the page of a run, in place of the page of an earlier one.
    ///
    /// # Errors
    /// If the file or its directory cannot be written.
    pub fn write(&self, lines: &[Line], path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("make the directory {}", directory.display()))?;
        }
        fs::write(path, self.markdown(lines)).with_context(|| format!("write {}", path.display()))
    }

    fn markdown(&self, lines: &[Line]) -> String {
        let Self { area, commit, when, machine } = self;
        let date = date(*when);
        let gigabytes = machine.memory_bytes as f64 / 1e9;
        let mut page = format!(
            "# Figures of `{area}`\n\n\
             Written by `cargo xtask bench {area} --record`. Do not edit.\n\n\
             | commit | {commit} |\n|---|---|\n\
             | date | {date} |\n\
             | processor | {}, {} cores |\n\
             | memory | {gigabytes:.1} GB |\n\
             | kernel | {} |\n\
             | file system | {} |\n\n\
             A figure is the median, with half the distance between the quartiles. What these columns mean is \
             in\n[testing.md](../testing.md).\n\n\
             | what | ours | peer | ratio | bar | |\n|---|---|---|---|---|---|\n",
            cell(&machine.processor),
            machine.cores,
            cell(&machine.kernel),
            cell(&machine.file_system),
        );
        for line in lines {
            let cells = match line {
                Line::Row(cells) => cells.each_ref().map(|text| cell(text)),
                Line::Note(text) => {
                    let note = format!("*{}*", cell(text.trim()));
                    [
                        note,
                        String::new(),
                        String::new(),
                        String::new(),
                        String::new(),
                        String::new(),
                    ]
                }
            };
            page.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        page
    }
}

/// Text in one cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The date in UTC, as year, month and day (Hinnant, *chrono-Compatible Low-Level Date
/// Algorithms*).
fn date(when: SystemTime) -> String {
    const DAYS_OF_ERA: u64 = 146_097;
    let seconds = when.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    // Days since the first of March of the year 0, since the leap day then ends each year.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading() -> Heading {
        let machine = Machine {
            processor: "EPYC".into(),
            cores: 2,
            memory_bytes: 24_576_000_000,
            kernel: "Linux 6.18".into(),
            file_system: "ext4".into(),
        };
        let when = UNIX_EPOCH + Duration::from_secs(1_764_540_000);
        Heading { area: "kv".into(), commit: "1a2b3c4".into(), when, machine }
    }

    #[test]
    fn a_page_has_the_commit_the_date_the_machine_and_every_line_of_the_run() {
        let row = ["get", "2 µs ±1%", "redb 3 µs ±1%", "1.5×", "≥ 1×", "ok"].map(str::to_owned);
        let not_run = ["wear", "not run", "", "", "", "needs root | mkfs"].map(str::to_owned);
        let lines = [Line::Row(row), Line::Note("others: LMDB 2 µs".into()), Line::Row(not_run)];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("figures/kv.md");
        heading().write(&lines, &path).unwrap();
        let page = fs::read_to_string(path).unwrap();
        for expected in [
            "# Figures of `kv`\n",
            "| commit | 1a2b3c4 |",
            "| date | 2025-11-30 |",
            "| processor | EPYC, 2 cores |",
            "| memory | 24.6 GB |",
            "| kernel | Linux 6.18 |",
            "| file system | ext4 |",
            "| get | 2 µs ±1% | redb 3 µs ±1% | 1.5× | ≥ 1× | ok |\n\
             | *others: LMDB 2 µs* |  |  |  |  |  |\n\
             | wear | not run |  |  |  | needs root \\| mkfs |\n",
        ] {
            assert!(page.contains(expected), "{expected}\nis not in\n{page}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let on = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400 + 86_399));
        assert_eq!(on(0), "1970-01-01");
        assert_eq!((on(11_015), on(11_016)), ("2000-02-28".into(), "2000-02-29".into()));
        assert_eq!((on(11_017), on(20_819)), ("2000-03-01".into(), "2027-01-01".into()));
    }
}
