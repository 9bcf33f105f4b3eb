//! Log lines as go-plugin's hosts read them: one JSON object for each, on standard error.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::Level;

/// Writes a line. Where nobody reads it any more there is nobody to tell.
pub(super) fn write(level: Level, module: &str, message: &str, fields: &[(&str, &str)]) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = line(level, module, message, fields, since_epoch);
    drop(io::stderr().lock().write_all(line.as_bytes()));
}

fn line(level: Level, module: &str, message: &str, fields: &[(&str, &str)], since_epoch: Duration) -> String {
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line: Map<String, Value> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    // Last, so that no field can pass itself off as one of these.
    line.insert("@level".to_owned(), level.into());
    line.insert("@message".to_owned(), message.into());
    line.insert("@module".to_owned(), module.into());
    line.insert("@timestamp".to_owned(), timestamp(since_epoch).into());
    format!("{}\n", Value::Object(line))
}

/// Writes a time in UTC as RFC 3339 with exactly six digits behind the point: what hosts parse.
fn timestamp(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = since_epoch.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Returns year, month and day of a day that is counted from 1970. Years begin in March here, so that a leap day ends
/// one; 400 of them always have 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_hosts_read_them() {
        let rows = [
            (Duration::ZERO, "1970-01-01T00:00:00.000000Z"),
            (Duration::new(951_782_400, 0), "2000-02-29T00:00:00.000000Z"),
            (Duration::new(951_868_800, 0), "2000-03-01T00:00:00.000000Z"),
            (Duration::new(1_709_251_199, 999_999_999), "2024-02-29T23:59:59.999999Z"),
            (Duration::new(4_107_542_400, 120_000), "2100-03-01T00:00:00.000120Z"),
        ];
        for (since_epoch, expected) in rows {
            assert_eq!(timestamp(since_epoch), expected);
        }
    }

    #[test]
    fn a_line_is_one_object_whatever_it_says() {
        let fields = [("role", "ada \"q\""), ("@level", "loud"), ("n", "1\n2")];
        let line = line(Level::Warn, "notes", "two\nlines", &fields, Duration::ZERO);
        assert_eq!(line.matches('\n').count(), 1);
        let expected = serde_json::json!({
            "@level": "warn", "@message": "two\nlines", "@module": "notes", "@timestamp": "1970-01-01T00:00:00.000000Z",
            "role": "ada \"q\"", "n": "1\n2",
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }
}
