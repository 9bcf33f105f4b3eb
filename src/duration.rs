//! Durations as Go writes them, with Vault's two additions: what TTLs and deadlines look like in settings and in requests.
//!
//! Go's syntax is a sum of decimal numbers with units, "1h30m" or "1.5h"; Vault adds bare whole numbers, which are seconds, and
//! whole days, "30d". The crates for durations differ in what they take ("1 hour", "1M" for months) or in what they print, so
//! this is our own. Nothing here is negative, and nothing exceeds what a Go client can read back.

use std::time::Duration;

/// The longest duration that Go can hold: 2⁶³ - 1 nanoseconds, some 292 years.
const GO_DURATION_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// Go's units, in nanoseconds. The micro sign comes in two encodings, and Go reads both.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// Why a text is not a duration. The message names the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// Neither a sum of numbers with units nor a whole number.
    #[error("{0:?} is not a duration: expected one such as \"1h30m\" or \"90s\", or a number of seconds")]
    Syntax(String),
    /// A sign other than `+`.
    #[error("duration {0:?} is negative")]
    Negative(String),
    /// Beyond what Go can hold.
    #[error("duration {0:?} is longer than 292 years")]
    TooLong(String),
}

/// Returns the duration that a text names: "1h30m", "500ms", "1.5h", "30d", or "90" for 90 seconds.
pub(crate) fn parse_go_duration(typed: &str) -> Result<Duration, DurationError> {
    let syntax = || DurationError::Syntax(typed.to_owned());
    if typed.starts_with('-') {
        return Err(DurationError::Negative(typed.to_owned()));
    }
    let unsigned = typed.strip_prefix('+').unwrap_or(typed);
    let nanos = if let Some(seconds) = whole_number(unsigned) {
        seconds.checked_mul(1_000_000_000)
    } else if let Some(days) = unsigned.strip_suffix('d').and_then(whole_number) {
        days.checked_mul(24 * 3_600 * 1_000_000_000)
    } else {
        let mut rest = unsigned;
        let mut sum = Some(0_u128);
        // At least one term: the empty text is no duration.
        loop {
            let (nanos, behind) = first_term(rest).ok_or_else(syntax)?;
            sum = sum.zip(nanos).and_then(|(sum, nanos)| sum.checked_add(nanos));
            rest = behind;
            if rest.is_empty() {
                break sum;
            }
        }
    };
    nanos
        .and_then(|nanos| u64::try_from(nanos).ok())
        .map(Duration::from_nanos)
        .filter(|duration| *duration <= GO_DURATION_MAX)
        .ok_or_else(|| DurationError::TooLong(typed.to_owned()))
}

/// Returns a duration as Go prints it: "1h30m0s", "1.5s", "500ms", "0s".
pub(crate) fn format_go_duration(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    if duration.as_secs() == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", decimal(u64::from(nanos), 1_000)),
            _ => format!("{}ms", decimal(u64::from(nanos), 1_000_000)),
        };
    }
    let (hours, minutes) = (duration.as_secs() / 3_600, duration.as_secs() / 60 % 60);
    let seconds = decimal(duration.as_secs() % 60 * 1_000_000_000 + u64::from(nanos), 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Splits off the first number with its unit. The outer `None` is a syntax error, the inner one an overflow.
fn first_term(text: &str) -> Option<(Option<u128>, &str)> {
    let (whole, rest) = leading_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), leading_digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_length = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_length);
    let (_, unit_nanos) = UNITS.into_iter().find(|(name, _)| *name == unit)?;

    let whole = if whole.is_empty() { Some(0) } else { whole_number(whole) };
    let nanos = whole
        .and_then(|whole| whole.checked_mul(u128::from(unit_nanos)))
        .and_then(|nanos| nanos.checked_add(fraction_of(fraction, unit_nanos)));
    Some((nanos, rest))
}

/// Returns this fraction of a unit, in whole nanoseconds. Digits that are worth less than a nanosecond of an hour are dropped.
fn fraction_of(digits: &str, unit_nanos: u64) -> u128 {
    const DIGITS_MAX: usize = 18;
    let digits = &digits[..digits.len().min(DIGITS_MAX)];
    let scale = digits.bytes().fold(1_u128, |scale, _| scale * 10);
    whole_number(digits).unwrap_or(0) * u128::from(unit_nanos) / scale
}

/// Returns `count / unit` in decimals without trailing zeros. `unit` is a power of ten.
fn decimal(count: u64, unit: u64) -> String {
    let (whole, fraction) = (count / unit, count % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Parses ASCII digits only: `str::parse` takes a sign as well.
fn whole_number(digits: &str) -> Option<u128> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn reads_what_go_and_vault_read() {
        for (typed, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("90", 90 * SECOND),
            ("+90s", 90 * SECOND),
            ("500ms", SECOND / 2),
            ("1h30m", 5_400 * SECOND),
            ("30m1h", 5_400 * SECOND),
            ("1.5h", 5_400 * SECOND),
            (".5s", SECOND / 2),
            ("5.s", 5 * SECOND),
            ("1us", 1_000),
            ("1µs2ns", 1_002),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("768h", 768 * 3_600 * SECOND),
            ("30d", 30 * 86_400 * SECOND),
            ("9223372036854775807ns", i64::MAX as u64),
        ] {
            assert_eq!(parse_go_duration(typed), Ok(Duration::from_nanos(nanos)), "{typed:?}");
        }
    }

    #[test]
    fn refuses_what_they_refuse() {
        for typed in [
            "", "+", "s", ".s", "1.5", "1h30", "1 h", "1H", "1M", "1d12h", "1w", " 1s", "1s ", "++1s", "1e3s", "٣s",
            "1..s",
        ] {
            assert_eq!(parse_go_duration(typed), Err(DurationError::Syntax(typed.into())), "{typed:?}");
        }
        for typed in ["-1s", "-5", "-"] {
            assert_eq!(parse_go_duration(typed), Err(DurationError::Negative(typed.into())), "{typed:?}");
        }
        let digits = "9".repeat(100);
        for typed in [
            "9223372036854775808ns",
            "2562048h",
            "9300000000",
            "106752d",
            &format!("{digits}h"),
            &format!("1s{digits}h"),
        ] {
            assert_eq!(parse_go_duration(typed), Err(DurationError::TooLong(typed.into())), "{typed:?}");
        }
    }

    #[test]
    fn prints_what_go_prints() {
        for (typed, printed) in [
            ("0", "0s"),
            ("1ns", "1ns"),
            ("1100ns", "1.1µs"),
            ("2200us", "2.2ms"),
            ("3300ms", "3.3s"),
            ("60", "1m0s"),
            ("5m5s1ms", "5m5.001s"),
            ("1h30m", "1h30m0s"),
            ("768h", "768h0m0s"),
            ("9223372036854775807ns", "2562047h47m16.854775807s"),
        ] {
            assert_eq!(format_go_duration(parse_go_duration(typed).unwrap()), printed, "{typed:?}");
        }
    }
}
