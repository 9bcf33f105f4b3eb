//! Moments, as Vault writes them: RFC 3339 in UTC, with as many digits of the second as it takes.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const SECONDS_OF_DAY: u64 = 86_400;

/// A moment since 1970: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Time(u64, u32);

impl Time {
    /// Returns this moment. A clock that stands before 1970 says 1970.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(since.as_secs(), since.subsec_nanos())
    }

    pub(crate) fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds), self.1)
    }

    /// Tells whether this moment has come. It has at once: what was deleted is gone for a read in the same tick of the
    /// clock.
    pub(crate) fn is_past(self) -> bool {
        self <= Self::now()
    }
}

/// Go's `RFC3339Nano`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self(seconds, nanos) = *self;
        let (year, month, day) = date(seconds / SECONDS_OF_DAY);
        let of_day = seconds % SECONDS_OF_DAY;
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if nanos > 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Returns year, month and day of the Gregorian calendar, so many days after 1970-01-01.
///
/// It counts in eras of 400 years that begin on a 1st of March, so that a leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: u64 = 719_468;
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Returns a moment's text, or an empty one: Vault's way to say "never".
pub(crate) fn text(time: Option<Time>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_go_does() {
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_709_251_199, 999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (1_709_251_200, 100_000_000, "2024-03-01T00:00:00.1Z"),
            (1_521_685_446, 945_319_210, "2018-03-22T02:24:06.94531921Z"),
            (4_102_444_799, 1, "2099-12-31T23:59:59.000000001Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Time(seconds, nanos).to_string(), expected);
        }
        // Whatever is stored, it can be written.
        assert!(!Time(u64::MAX, u32::MAX).to_string().is_empty());
    }

    #[test]
    fn what_was_before_now_is_past() {
        let now = Time::now();
        assert!(now.is_past());
        assert!(Time(now.0 - 1, now.1).is_past());
        assert!(!now.plus_seconds(3_600).is_past());
        assert!(!now.plus_seconds(u64::MAX).is_past());
    }
}
