//! The table of a run: each row holds one figure against a peer and a bar.
//!
//! `what  ours  peer  ratio  bar  ok|SHORT`, printed as soon as it is known. The last line counts
//! the rows that fall short. The process fails if any does, if a row could not be made, or if there
//! was nothing to measure.

use std::process::ExitCode;

use crate::page::Line;
use crate::probe::Probe;
use crate::samples::Samples;

/// What a figure counts. It decides how the figure is printed and which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time in seconds. Less is better.
    Seconds,
    /// Space in bytes. Less is better.
    Bytes,
    /// Events per second. More is better.
    PerSecond,
    /// Bytes per second. More is better.
    BytesPerSecond,
    /// A plain number, such as a count or a quotient. Less is better.
    Number,
    /// A share of 1, printed in percent. More is better.
    Share,
}

/// What a figure must reach.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// At least this many times the peer's speed. The ratio that is printed is speed over speed.
    SpeedAtLeast(f64),
    /// At most this many times the peer's cost. The ratio that is printed is cost over cost.
    CostAtMost(f64),
    /// At most this value, in the row's unit.
    AtMost(f64),
    /// At least this value, in the row's unit.
    AtLeast(f64),
    /// No bar: the figure is only shown.
    Printed,
}

/// Which value of the samples must reach the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The median.
    Median,
    /// The unfavourable end of the 95 % interval of the median.
    Interval,
}

/// The rows of a run, and how many fell short.
pub struct Table {
    area: String,
    filter: Option<String>,
    probe: Option<Probe>,
    rows: usize,
    short: usize,
    not_run: usize,
    lines: Vec<Line>,
}

/// What is left of a table when its run has ended.
pub struct Finished {
    /// Failure if a row fell short or nothing was measured.
    pub code: ExitCode,
    /// Every line that was printed.
    pub lines: Vec<Line>,
}

impl Table {
    /// Starts the table of `area`. `filter` keeps the rows whose name contains it, in any case.
    pub fn new(area: &str, filter: Option<String>) -> Self {
        let system = rustix::system::uname();
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        println!("# {area}: {cpus} CPUs, Linux {}", system.release().to_string_lossy());
        let mut table = Self {
            area: area.to_owned(),
            filter: filter.map(|text| text.to_lowercase()),
            probe: Probe::new().ok(),
            rows: 0,
            short: 0,
            not_run: 0,
            lines: Vec::new(),
        };
        table.print_probe();
        println!("{}", line(&["what", "ours", "peer", "ratio", "bar", ""]));
        table
    }

    /// Returns `true` if the filter keeps the row. Call it before any set-up.
    pub fn wants(&self, what: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| what.to_lowercase().contains(filter))
    }

    /// Begins a row. [`Row::bar`] judges and prints it.
    pub fn row(&mut self, what: &str, unit: Unit, ours: &Samples) -> Row<'_> {
        Row {
            table: self,
            what: what.to_owned(),
            unit,
            ours: ours.clone(),
            peer: None,
            judge: Judge::Median,
        }
    }

    /// Prints an explanation under a row.
    pub fn note(&mut self, text: &str) {
        println!("    {text}");
        self.lines.push(Line::Note(text.to_owned()));
    }

    /// Names a row that this machine cannot run, and why.
    pub fn not_run(&mut self, what: &str, why: &str) {
        if self.wants(what) {
            self.not_run += 1;
            self.print([what, "not run", "", "", "", why].map(str::to_owned));
        }
    }

    fn print(&mut self, cells: [String; 6]) {
        println!("{}", line(&cells.each_ref().map(String::as_str)));
        self.lines.push(Line::Row(cells));
    }

    /// Measures and prints the fdatasync probe. Durable rows call it next to their figures.
    pub fn print_probe(&mut self) {
        let probe = match self.probe.as_mut().map(Probe::measure) {
            Some(Ok(samples)) => show(&samples, Unit::Seconds),
            Some(Err(error)) => format!("not taken: {error:#}"),
            None => "not taken: no temporary file".to_owned(),
        };
        self.note(&format!("fdatasync probe: {probe}"));
    }

    /// Prints the last line.
    pub fn finish(mut self) -> Finished {
        self.print_probe();
        let Self { area, rows, short, not_run, lines, .. } = self;
        println!("{area}: {short} of {rows} rows fall short, {not_run} not run");
        let failed = short > 0 || rows == 0;
        Finished { code: if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }, lines }
    }
}

/// A row without its bar.
#[must_use = "a row is printed by `bar`"]
pub struct Row<'a> {
    table: &'a mut Table,
    what: String,
    unit: Unit,
    ours: Samples,
    peer: Option<(String, Samples)>,
    judge: Judge,
}

impl Row<'_> {
    /// Sets the peer, measured in the same rounds.
    pub fn peer(mut self, name: &str, samples: &Samples) -> Self {
        self.peer = Some((name.to_owned(), samples.clone()));
        self
    }

    /// Sets which value must reach the bar. The default is the median.
    pub fn judged_by(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    /// Judges the row and prints it. Returns `true` if it reached its bar.
    pub fn bar(self, bar: Bar) -> bool {
        let ratio = self.ratio(bar);
        let reached = self.reaches(bar, ratio.as_ref());
        let verdict = match (bar, reached) {
            (Bar::Printed, _) => "",
            (_, true) => "ok",
            (_, false) => "SHORT",
        };
        self.table.rows += 1;
        self.table.short += usize::from(!reached);
        let peer = self.peer.as_ref().map_or_else(String::new, |(name, samples)| {
            format!("{name} {}", show(samples, self.unit))
        });
        let ratio = ratio.as_ref().map_or_else(String::new, |ratio| self.show_ratio(ratio));
        let (ours, bar) = (show(&self.ours, self.unit), show_bar(bar, self.unit));
        self.table.print([self.what, ours, peer, ratio, bar, verdict.to_owned()]);
        reached
    }

    /// The ratio of ours to the peer's that the bar is about: of speeds, unless the bar is about
    /// cost.
    fn ratio(&self, bar: Bar) -> Option<Samples> {
        let (_, peer) = self.peer.as_ref()?;
        let cost = matches!(bar, Bar::CostAtMost(_));
        // Speed grows with a rate and falls with a time. Cost does the opposite.
        Some(self.ours.pairwise(peer, |ours, peer| {
            if cost == self.unit.more_is_better() { peer / ours } else { ours / peer }
        }))
    }

    fn reaches(&self, bar: Bar, ratio: Option<&Samples>) -> bool {
        let low = |samples: &Samples| match self.judge {
            Judge::Median => samples.median(),
            Judge::Interval => samples.interval().0,
        };
        let high = |samples: &Samples| match self.judge {
            Judge::Median => samples.median(),
            Judge::Interval => samples.interval().1,
        };
        match bar {
            Bar::SpeedAtLeast(bar) => ratio.is_some_and(|ratio| low(ratio) >= bar),
            Bar::CostAtMost(bar) => ratio.is_some_and(|ratio| high(ratio) <= bar),
            Bar::AtMost(bar) => high(&self.ours) <= bar,
            Bar::AtLeast(bar) => low(&self.ours) >= bar,
            Bar::Printed => true,
        }
    }

    fn show_ratio(&self, ratio: &Samples) -> String {
        match self.judge {
            Judge::Median => format!("{}×", number(ratio.median())),
            Judge::Interval => {
                let (low, high) = ratio.interval();
                format!("{}× [{}, {}]", number(ratio.median()), number(low), number(high))
            }
        }
    }
}

impl Unit {
    fn more_is_better(self) -> bool {
        matches!(self, Unit::PerSecond | Unit::BytesPerSecond | Unit::Share)
    }
}

fn line([what, ours, peer, ratio, bar, verdict]: &[&str; 6]) -> String {
    format!("{what:<56} {ours:<18} {peer:<30} {ratio:<20} {bar:<12} {verdict}")
        .trim_end()
        .to_owned()
}

fn show(samples: &Samples, unit: Unit) -> String {
    format!("{} ±{:.0}%", value(samples.median(), unit), samples.spread() * 100.0)
}

fn show_bar(bar: Bar, unit: Unit) -> String {
    match bar {
        Bar::SpeedAtLeast(bar) => format!("≥ {}×", number(bar)),
        Bar::CostAtMost(bar) => format!("≤ {}×", number(bar)),
        Bar::AtMost(bar) => format!("≤ {}", value(bar, unit)),
        Bar::AtLeast(bar) => format!("≥ {}", value(bar, unit)),
        Bar::Printed => "printed".to_owned(),
    }
}

/// A value in a unit that keeps it between 1 and 1,000 if there is one.
fn value(value: f64, unit: Unit) -> String {
    const SECONDS: [(f64, &str); 4] = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    const BYTES: [(f64, &str); 4] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")];
    const RATES: [(f64, &str); 4] = [(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")];
    const BYTE_RATES: [(f64, &str); 4] =
        [(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")];
    let scales = match unit {
        Unit::Seconds => SECONDS,
        Unit::Bytes => BYTES,
        Unit::PerSecond => RATES,
        Unit::BytesPerSecond => BYTE_RATES,
        Unit::Number => return number(value),
        Unit::Share => return format!("{} %", number(value * 100.0)),
    };
    let fits = |(scale, _): &&(f64, &str)| value.abs() >= *scale;
    let (scale, name) = scales.iter().find(fits).unwrap_or(&scales[3]);
    format!("{} {name}", number(value / scale))
}

/// Three significant digits, without trailing zeros.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_reaches(unit: Unit, ours: f64, peer: f64, bar: Bar) -> bool {
        let (ours, peer) = (Samples::new(vec![ours; 5]), Samples::new(vec![peer; 5]));
        Table::new("test", None).row("row", unit, &ours).peer("peer", &peer).bar(bar)
    }

    #[test]
    fn speed_is_peer_time_over_ours_and_our_rate_over_the_peers() {
        assert!(row_reaches(Unit::Seconds, 1.0, 3.0, Bar::SpeedAtLeast(3.0)));
        assert!(!row_reaches(Unit::Seconds, 1.0, 2.9, Bar::SpeedAtLeast(3.0)));
        assert!(row_reaches(Unit::PerSecond, 9.0, 10.0, Bar::SpeedAtLeast(0.9)));
        assert!(!row_reaches(Unit::PerSecond, 8.9, 10.0, Bar::SpeedAtLeast(0.9)));
    }

    #[test]
    fn cost_is_our_time_or_space_over_the_peers() {
        assert!(row_reaches(Unit::Bytes, 6.0, 10.0, Bar::CostAtMost(0.6)));
        assert!(!row_reaches(Unit::Seconds, 1.2, 1.0, Bar::CostAtMost(1.1)));
        assert!(!row_reaches(Unit::PerSecond, 1.0, 2.0, Bar::CostAtMost(1.1)));
    }

    #[test]
    fn the_interval_judges_by_its_unfavourable_end() {
        let ours = Samples::new((1..=9).map(|n| f64::from(n) * 1e-3).collect());
        let mut table = Table::new("test", None);
        assert!(table.row("median", Unit::Seconds, &ours).bar(Bar::AtMost(5e-3)));
        assert!(
            !table
                .row("interval", Unit::Seconds, &ours)
                .judged_by(Judge::Interval)
                .bar(Bar::AtMost(5e-3))
        );
        assert_eq!((table.rows, table.short), (2, 1));
    }

    #[test]
    fn a_bar_on_a_ratio_is_not_reached_without_a_peer() {
        let ours = Samples::new(vec![1.0; 5]);
        let mut table = Table::new("test", None);
        assert!(!table.row("alone", Unit::Seconds, &ours).bar(Bar::SpeedAtLeast(0.1)));
    }

    #[test]
    fn the_filter_keeps_rows_by_name_in_any_case() {
        let table = Table::new("test", Some("SEQ".to_owned()));
        assert!(table.wants("Seq get") && !table.wants("OrdMap get"));
    }

    #[test]
    fn values_are_shown_in_the_unit_that_fits() {
        assert_eq!(value(0.000_012_34, Unit::Seconds), "12.3 µs");
        assert_eq!(value(1_500_000.0, Unit::Bytes), "1.5 MB");
        assert_eq!(value(2.0, Unit::Seconds), "2 s");
        assert_eq!(value(0.953, Unit::Share), "95.3 %");
        assert_eq!(value(3e-10, Unit::Seconds), "0.3 ns");
        assert_eq!(number(120.0), "120");
    }
}
