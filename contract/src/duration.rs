//! Durations as Go writes them, with Vault's two additions: what TTLs and deadlines look like in requests, settings and
//! answers.
//!
//! Go's syntax is a sum of decimal numbers with units, "1h30m" or "1.5h", with one sign before it; Vault adds bare
//! whole numbers, which are seconds, and whole days, "30d": `ParseDurationSecond` of Vault's
//! `go-secure-stdlib/parseutil`. The crates for durations differ in what they take ("1 hour", "1M" for months) or in
//! what they print, so this is our own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

const DAY: u64 = 24 * 3_600 * SECOND;

/// Go's units, in nanoseconds. The micro sign comes in two encodings, and Go reads both.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

/// A span of time as Go keeps it: whole nanoseconds, perhaps negative, and at most some 292 years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// Neither a sum of numbers with units nor a whole number.
    Syntax,
    /// Beyond what Go can hold.
    TooLong,
}

impl DurationError {
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::Syntax => "expected a duration in seconds or like \"1h30m\"",
            Self::TooLong => "expected a duration of at most 292 years",
        }
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }
}

impl std::error::Error for DurationError {}

impl GoDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest, in whole seconds.
    pub const SECONDS_MAX: u64 = i64::MAX as u64 / SECOND;

    /// Returns the duration of this many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Returns the duration of this many seconds, or as many as fit.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND as i64))
    }

    /// Returns the standard library's duration, or as much of it as fits.
    pub fn from_std(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Returns the duration in nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Returns the duration in whole seconds, towards zero. Beyond some 270 years the last of them is Go's, which
    /// counts in floats.
    pub fn whole_seconds(self) -> i64 {
        let (whole, part) = (self.0 / SECOND as i64, self.0 % SECOND as i64);
        (whole as f64 + part as f64 / SECOND as f64) as i64
    }

    /// Returns the duration for the standard library, unless it is negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }

    /// Returns so many units, if Go can hold them.
    fn times(count: i64, unit: u64) -> Result<Self, DurationError> {
        count.checked_mul(unit as i64).map(Self).ok_or(DurationError::TooLong)
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    /// Reads "1h30m", "-500ms", "1.5h", "30d", or "90" for 90 seconds. The empty text is none: what it stands for is
    /// for others to say.
    ///
    /// # Errors
    ///
    /// [`DurationError::Syntax`] for a text that is no duration, white space around one included;
    /// [`DurationError::TooLong`] for one that 64 bits of nanoseconds do not hold.
    fn from_str(text: &str) -> Result<Self, DurationError> {
        if let Some(seconds) = whole_number(text)? {
            return Self::times(seconds, SECOND);
        }
        if let Some(days) = text.strip_suffix('d') {
            return Self::times(whole_number(days)?.ok_or(DurationError::Syntax)?, DAY);
        }
        let (is_negative, mut rest) = without_sign(text);
        // At least one term: the empty text is no duration.
        let mut sum = 0_u64;
        loop {
            let (nanos, behind) = first_term(rest)?;
            sum = sum.checked_add(nanos).ok_or(DurationError::TooLong)?;
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        let signed = if is_negative { 0_i64.checked_sub_unsigned(sum) } else { 0_i64.checked_add_unsigned(sum) };
        signed.map(Self).ok_or(DurationError::TooLong)
    }
}

/// As Go prints it: "1h30m0s", "1.5s", "-500ms", "0s".
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        if nanos < SECOND {
            return match nanos {
                0 => f.write_str("0s"),
                1..1_000 => write!(f, "{sign}{nanos}ns"),
                1_000..1_000_000 => write!(f, "{sign}{}µs", decimal(nanos, 1_000)),
                _ => write!(f, "{sign}{}ms", decimal(nanos, 1_000_000)),
            };
        }
        let (hours, minutes) = (nanos / (3_600 * SECOND), nanos / (60 * SECOND) % 60);
        let seconds = decimal(nanos % (60 * SECOND), SECOND);
        match (hours, minutes) {
            (0, 0) => write!(f, "{sign}{seconds}s"),
            (0, _) => write!(f, "{sign}{minutes}m{seconds}s"),
            _ => write!(f, "{sign}{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// Reads a number with a sign or without, and with nothing else. `None` is a text that is none.
fn whole_number(text: &str) -> Result<Option<i64>, DurationError> {
    let (_, digits) = without_sign(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| DurationError::TooLong)
}

fn without_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Splits off the first number with its unit, in nanoseconds.
fn first_term(text: &str) -> Result<(u64, &str), DurationError> {
    let (whole, rest) = leading_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), leading_digits);
    let unit_length = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_length);
    let unit = UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, nanos)| nanos);
    let Some(unit) = unit.filter(|_| !whole.is_empty() || !fraction.is_empty()) else {
        return Err(DurationError::Syntax);
    };
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
    let nanos = whole.and_then(|whole| whole.checked_mul(unit)?.checked_add(part_of(fraction, unit)));
    nanos.map(|nanos| (nanos, rest)).ok_or(DurationError::TooLong)
}

/// Returns this fraction of a unit in whole nanoseconds. Go calculates it in floats, and so does this, to the same
/// nanosecond.
fn part_of(digits: &str, unit: u64) -> u64 {
    let (mut count, mut scale) = (0_i64, 1.0_f64);
    for digit in digits.bytes() {
        let next = count.checked_mul(10).and_then(|count| count.checked_add(i64::from(digit - b'0')));
        // What is worth less than that is left out.
        let Some(next) = next else { break };
        count = next;
        scale *= 10.0;
    }
    (count as f64 * (unit as f64 / scale)) as u64
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

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = SECOND as i64;

    #[test]
    fn reads_what_go_and_vault_read() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("90", 90 * S),
            ("+90", 90 * S),
            ("-30", -30 * S),
            ("+90s", 90 * S),
            ("-1s", -S),
            ("500ms", S / 2),
            ("1h30m", 5_400 * S),
            ("30m1h", 5_400 * S),
            ("-1h30m", -5_400 * S),
            ("1.5h", 5_400 * S),
            (".5s", S / 2),
            ("5.s", 5 * S),
            ("1us", 1_000),
            ("1µs2ns", 1_002),
            ("1μs", 1_000),
            ("0.3333333333333333333h", 1_200 * S),
            ("0.100000000000000000000h", 360 * S),
            ("0.830103483285477580700h", 2_988_372_539_827),
            ("0.9223372036854775807s", 922_337_203),
            ("768h", 768 * 3_600 * S),
            ("30d", 30 * 86_400 * S),
            ("-1d", -86_400 * S),
            ("+1d", 86_400 * S),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("9223372036.854775807s", i64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(GoDuration(nanos)), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_they_refuse() {
        for text in [
            "", "+", "-", "s", ".s", ".", "1.5", "1h30", "1 h", "1H", "1M", "1d12h", "1.5d", "d", "-d", "1w", "1y",
            " 1s", "1s ", " 90", "++1s", "--1", "-+1", "1e3s", "1e9", "٣s", "1..s", "1.2.3h", "five", "1é", "é",
            "system", "1_000",
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(DurationError::Syntax), "{text:?}");
        }
        let digits = "9".repeat(100);
        for text in [
            "9223372036854775808ns",
            "-9223372036854775809ns",
            "2562048h",
            "9223372037",
            "-9223372037",
            "99999999999999999999",
            "106752d",
            "99999999999999999999d",
            &format!("{digits}h"),
            &format!("1s{digits}h"),
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(DurationError::TooLong), "{text:?}");
        }
    }

    #[test]
    fn prints_what_go_prints() {
        for (text, printed) in [
            ("0", "0s"),
            ("1ns", "1ns"),
            ("-1ns", "-1ns"),
            ("1100ns", "1.1µs"),
            ("2200us", "2.2ms"),
            ("3300ms", "3.3s"),
            ("60", "1m0s"),
            ("-1", "-1s"),
            ("5m5s1ms", "5m5.001s"),
            ("1h30m", "1h30m0s"),
            ("-1h30m", "-1h30m0s"),
            ("768h", "768h0m0s"),
            ("9223372036854775807ns", "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), printed, "{text:?}");
        }
    }

    #[test]
    fn whole_seconds_are_cut_towards_zero() {
        for (text, seconds) in [("1500ms", 1), ("-1500ms", -1), ("999ms", 0), ("2562047h47m16.5s", 9_223_372_036)] {
            assert_eq!(text.parse::<GoDuration>().unwrap().whole_seconds(), seconds, "{text:?}");
        }
    }

    /// What was printed is read again, and texts of the right letters in any order are read or refused, and end no
    /// program.
    #[test]
    fn any_text_is_read_or_refused() {
        const LETTERS: [&str; 24] = [
            "0",
            "1",
            "9",
            "5",
            "00",
            "999999999",
            "9223372036854775807",
            ".",
            "-",
            "+",
            "h",
            "m",
            "s",
            "ms",
            "us",
            "µs",
            "ns",
            "d",
            "w",
            "e",
            "_",
            " ",
            "٣",
            "é",
        ];
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut read = 0;
        for _ in 0..200_000 {
            let text: String = (0..random(8)).map(|_| LETTERS[random(LETTERS.len())]).collect();
            if let Ok(duration) = text.parse::<GoDuration>() {
                read += 1;
                assert_eq!(duration.to_string().parse(), Ok(duration), "{text:?}");
            }
        }
        assert!(read > 1_000, "{read} of these texts were durations");
    }
}
