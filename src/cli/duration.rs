//! Durations as Go writes them, which is how Vault's flags, bodies and tables show them: `768h0m0s`, in tables `768h`.

use std::fmt;
use std::str::FromStr;

const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;

/// A span of time in nanoseconds, perhaps negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GoDuration(i64);

impl GoDuration {
    /// Returns the duration of this many seconds, or as many as fit.
    pub(super) fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOSECONDS_PER_SECOND))
    }

    /// Returns the duration as a TTL to tune with: empty to leave it, `system` to go back to the server's own.
    pub(super) fn as_tuned_ttl(self) -> String {
        match self.0 {
            0 => String::new(),
            ..0 => "system".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Returns the duration without trailing zero parts, as tables show it.
    pub(super) fn for_people(self) -> String {
        let text = self.to_string();
        let text = if text.ends_with("m0s") { &text[..text.len() - 2] } else { &text };
        let text = if text.ends_with("h0m") { &text[..text.len() - 2] } else { text };
        text.to_owned()
    }

    /// Returns the duration for the standard library, unless it is negative.
    pub(super) fn to_std(self) -> Option<std::time::Duration> {
        u64::try_from(self.0).ok().map(std::time::Duration::from_nanos)
    }
}

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration {0:?} (such as 30s, 90m or 1h30m)")]
pub(super) struct DurationError(String);

impl FromStr for GoDuration {
    type Err = DurationError;

    /// Parses Go's syntax. A number without a unit counts seconds, as in Vault's flags.
    fn from_str(typed: &str) -> Result<Self, DurationError> {
        let refused = || DurationError(typed.to_owned());
        let (sign, mut rest) = match typed.strip_prefix('-') {
            Some(rest) => (-1.0, rest),
            None => (1.0, typed.strip_prefix('+').unwrap_or(typed)),
        };
        if rest.is_empty() {
            return Err(refused());
        }
        let mut nanoseconds = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().map_err(|_| refused())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
            nanoseconds += number * unit_nanoseconds(&rest[..letters]).ok_or_else(refused)?;
            rest = &rest[letters..];
        }
        // From 2^63 on, a conversion would silently give the largest value instead.
        if nanoseconds >= i64::MAX as f64 {
            return Err(refused());
        }
        Ok(Self((sign * nanoseconds).round() as i64))
    }
}

fn unit_nanoseconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" | "" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match nanoseconds {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanoseconds}ns"),
            1_000..1_000_000 => write!(f, "{}µs", nanoseconds as f64 / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{}ms", nanoseconds as f64 / 1e6),
            _ => {
                let minutes = nanoseconds / 60_000_000_000;
                let seconds = (nanoseconds % 60_000_000_000) as f64 / 1e9;
                match minutes {
                    0 => write!(f, "{seconds}s"),
                    1..60 => write!(f, "{minutes}m{seconds}s"),
                    _ => write!(f, "{}h{}m{seconds}s", minutes / 60, minutes % 60),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_gos() {
        for (typed, printed, for_people) in [
            ("0", "0s", "0s"),
            ("30", "30s", "30s"),
            ("60s", "1m0s", "1m"),
            ("1h30m", "1h30m0s", "1h30m"),
            ("768h", "768h0m0s", "768h"),
            ("10h10m", "10h10m0s", "10h10m"),
            ("1h0m5s", "1h0m5s", "1h0m5s"),
            ("1.5s", "1.5s", "1.5s"),
            ("500ms", "500ms", "500ms"),
            ("-1", "-1s", "-1s"),
        ] {
            let duration: GoDuration = typed.parse().unwrap();
            assert_eq!(
                (duration.to_string().as_str(), duration.for_people().as_str()),
                (printed, for_people),
                "{typed}"
            );
        }
    }

    #[test]
    fn texts_that_are_no_duration_are_refused() {
        for typed in ["", "-", "h", "1x", "1..2s", "1h 2m", "system", "1e9", "99999999999h"] {
            assert!(typed.parse::<GoDuration>().is_err(), "{typed:?}");
        }
    }

    #[test]
    fn tuning_tells_leave_from_reset() {
        for (typed, sent) in [("0", ""), ("-1", "system"), ("1h", "1h0m0s")] {
            assert_eq!(typed.parse::<GoDuration>().unwrap().as_tuned_ttl(), sent);
        }
    }
}
