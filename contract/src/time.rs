//! Moments as RFC 3339 writes them.

const SECONDS_PER_DAY: i64 = 86_400;

/// A moment, in the time that all places share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    seconds: i64,
    nanos: u32,
}

impl Time {
    /// Returns the moment so many seconds after 1970 began.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Returns the whole seconds since 1970 began.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Returns the nanoseconds that came after the last whole second.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// Reads RFC 3339: `2006-01-02T15:04:05Z`, with a fraction of the second or without, and with any offset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (year, month, day) = (number(date, 0, 4)?, number(date, 5, 7)?, number(date, 8, 10)?);
        let (clock, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
        let (hour, minute, second) = (number(clock, 0, 2)?, number(clock, 3, 5)?, number(clock, 6, 8)?);
        let separated = [(date, 4, b'-'), (date, 7, b'-'), (clock, 2, b':'), (clock, 5, b':')];
        let is_written_so = separated.iter().all(|(text, at, sign)| text.as_bytes().get(*at) == Some(sign));
        let is_a_moment = (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !is_written_so || !is_a_moment {
            return None;
        }
        let (nanos, zone) = match rest.strip_prefix('.') {
            Some(rest) => fraction(rest)?,
            None => (0, rest),
        };
        let days = days_before(year) + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1;
        let seconds = days * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset(zone)?;
        Some(Self { seconds, nanos })
    }
}

fn number(text: &str, from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Splits off the digits of a fraction, in nanoseconds. What is less than that is left out.
fn fraction(text: &str) -> Option<(u32, &str)> {
    const DIGITS: usize = 9;
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let kept = &digits[..digits.len().min(DIGITS)];
    let nanos: u32 = format!("{kept:0<DIGITS$}").parse().ok()?;
    (!digits.is_empty()).then_some((nanos, rest))
}

/// Reads `Z`, `+02:00` or `-07:00`, in seconds.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'Z' if text.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(text, 1, 3)?, number(text, 4, 6)?);
    let is_written_so = text.len() == 6 && text.as_bytes().get(3) == Some(&b':') && hours < 24 && minutes < 60;
    is_written_so.then_some(sign * (hours * 3_600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from 1970 to the beginning of a year, which has four digits and is not negative.
fn days_before(year: i64) -> i64 {
    /// The same count at the beginning of 1970.
    const BEFORE_1970: i64 = 719_528;
    let leaps = |below: i64| (below + 3) / 4 - (below + 99) / 100 + (below + 399) / 400;
    year * 365 + leaps(year) - BEFORE_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_rfc_3339_has_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("2006-01-02T15:04:05Z", Some((1_136_214_245, 0))),
            ("2006-01-02T15:04:05-07:00", Some((1_136_239_445, 0))),
            ("2006-01-02T15:04:05.5+00:30", Some((1_136_212_445, 500_000_000))),
            ("2000-02-29T00:00:00.1234567899Z", Some((951_782_400, 123_456_789))),
            ("1969-12-31T23:59:59.25Z", Some((-1, 250_000_000))),
            ("0000-01-01T00:00:00Z", Some((-62_167_219_200, 0))),
            ("9999-12-31T23:59:59Z", Some((253_402_300_799, 0))),
            ("2001-02-29T00:00:00Z", None),
            ("2006-13-01T00:00:00Z", None),
            ("2006-01-02T24:00:00Z", None),
            ("2006-01-02T15:04:60Z", None),
            ("2006-01-02T15:04:05", None),
            ("2006-01-02T15:04:05.Z", None),
            ("2006-01-02 15:04:05Z", None),
            ("2006-01-02t15:04:05z", None),
            ("2006-01-02T15:04:05+2:00", None),
            ("2006-01-0éT15:04:05Z", None),
            ("+006-01-02T15:04:05Z", None),
            ("2006-01-02", None),
            ("", None),
        ] {
            let expected = expected.map(|(seconds, nanos)| Time { seconds, nanos });
            assert_eq!(Time::parse(text), expected, "{text:?}");
        }
    }
}
