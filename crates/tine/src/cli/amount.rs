//! Sizes and durations as a person reads them.

/// Bytes with a decimal unit: `3.2 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // Rounding must not print four digits.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Microseconds with a fitting unit: `45 µs`, `1.2 ms`, `3.4 s`.
pub fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// A count and its noun: `1 file`, `2 files`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let known = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_951, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (3_210_000_000, "3.2 GB"),
            (u64::MAX, "18 EB"),
        ];
        for (bytes, text) in known {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn durations_have_fitting_units() {
        assert_eq!(duration(45), "45 µs");
        assert_eq!(duration(1_234), "1.2 ms");
        assert_eq!(duration(61_000_000), "61.0 s");
    }
}
