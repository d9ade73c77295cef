//! Times as the contract writes them: RFC 3339, in UTC, to the microsecond.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time as `2026-01-31T12:00:00.000000Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let micros = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_micros() as i128,
        Err(before) => -(before.duration().as_micros() as i128),
    };
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days as i64);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// A time such as `90s`, `30m`, `2h` or `7d`, in seconds.
///
/// # Errors
/// What is wrong with the text, as a part of a sentence.
pub fn seconds(text: &str) -> Result<u64, String> {
    let unit = text.chars().next_back().unwrap_or_default();
    let scale = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err("it ends with s, m, h or d".into()),
    };
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| "it is a whole number and s, m, h or d".to_owned())?;
    match number.checked_mul(scale).filter(|seconds| (1..=100 * 365 * 86_400).contains(seconds)) {
        Some(seconds) => Ok(seconds),
        None => Err("it is between one second and a hundred years".into()),
    }
}

/// Microseconds since `start`.
pub fn elapsed_us(start: Instant) -> u64 {
    micros(start.elapsed())
}

/// A duration in whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The Gregorian date of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_written_as_rfc_3339() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000000Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59.000000Z");
    }

    #[test]
    fn a_time_before_the_epoch_is_written_too() {
        let before = UNIX_EPOCH - Duration::from_micros(1);
        assert_eq!(rfc3339(before), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in ["", "h", "2", "-1h", "0s", "1.5h", "2 h", "99999999999999999999d", "3é"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
