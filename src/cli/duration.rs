//! Durations as Vault's flags take them and its tables show them: those of the server, perhaps negative, and in tables short:
//! `768h`, not `768h0m0s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::duration::{DurationError, format_go_duration, parse_go_duration};

const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;

/// A span of time in nanoseconds, perhaps negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GoDuration(i64);

impl GoDuration {
    /// Returns the duration of this many seconds, or as many as fit.
    pub(super) fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOSECONDS_PER_SECOND))
    }

    /// Returns the standard library's duration, or as much of it as fits.
    pub(super) fn from_std(duration: Duration) -> Self {
        Self(nanoseconds(duration))
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
    pub(super) fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    /// Parses what the server parses too, and negative durations, which are the flags' way to say "the server's own".
    fn from_str(typed: &str) -> Result<Self, DurationError> {
        let Some(unsigned) = typed.strip_prefix('-') else {
            return Ok(Self(nanoseconds(parse_go_duration(typed)?)));
        };
        if unsigned.starts_with(['-', '+']) {
            return Err(DurationError::Syntax(typed.to_owned()));
        }
        Ok(Self(-nanoseconds(parse_go_duration(unsigned)?)))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", format_go_duration(Duration::from_nanos(self.0.unsigned_abs())))
    }
}

/// What was parsed is never longer than Go's nanoseconds can count.
fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
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
            ("-1h30m", "-1h30m0s", "-1h30m"),
            ("2d", "48h0m0s", "48h"),
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
        for typed in ["", "-", "--1", "-+1", "h", "1x", "1..2s", "1h 2m", "system", "1e9", "99999999999h"] {
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
