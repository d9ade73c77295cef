//! The table at the end: time and disk of branches compared with copies of the same.

use std::time::Duration;

use anyhow::Result;

use super::stage::{Stage, allocated};
use super::step;

/// What was measured for one source.
pub struct Line {
    /// The source's name.
    pub what: String,
    /// How it was copied, in words and in time.
    pub copy: Duration,
    /// Disk of one copy.
    pub copy_bytes: u64,
    /// Time of each branch, as `tine branch` tells it.
    pub branches: Vec<Duration>,
    /// Bytes that one branch alone holds, by its name, after the work.
    pub exclusive_bytes: Vec<(String, u64)>,
}

/// The lines, in the order of the story.
#[derive(Default)]
pub struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    /// Prints the table and the tree of branches.
    pub fn print(&self, stage: &Stage) -> Result<()> {
        step("what it cost");
        println!(
            "{:<38} {:>14} {:>14} {:>14} {:>14}",
            "", "time of one", "disk of one", "time of all", "disk of all"
        );
        for line in &self.lines {
            line.print();
        }
        println!(
            "the store's file now takes {} for all of it",
            megabytes(allocated(&stage.store())?)
        );
        step("the tree of branches");
        print!("{}", stage.capture(&mut stage.command(&["list"]))?);
        Ok(())
    }
}

impl Line {
    fn print(&self) {
        let count = self.branches.len();
        let total: Duration = self.branches.iter().sum();
        let all: u64 = self.exclusive_bytes.iter().map(|(_, bytes)| bytes).sum();
        let row = |name: &str, one: String, disk: String, time: String, total: String| {
            println!("{name:<38} {one:>14} {disk:>14} {time:>14} {total:>14}");
        };
        row(
            &format!("{}: {count} branches", self.what),
            time(total / count.max(1) as u32),
            megabytes(all / count.max(1) as u64),
            time(total),
            megabytes(all),
        );
        let copies = count as u32;
        row(
            &format!("{}: cp -a (one made, × {count} reckoned)", self.what),
            time(self.copy),
            megabytes(self.copy_bytes),
            time(self.copy * copies),
            megabytes(self.copy_bytes * u64::from(copies)),
        );
        for (name, bytes) in self.exclusive_bytes.iter().filter(|(_, bytes)| *bytes > 1_000_000) {
            println!("    {name} alone holds {}", megabytes(*bytes));
        }
    }
}

/// A duration in the unit that fits.
pub fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

/// Bytes in megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
