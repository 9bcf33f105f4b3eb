//! Durations as Go's users write them, in whole seconds: `90`, `90s`, `1h30m`, `1.5h`, `-1s`, `2d`.

/// The longest duration that Go's nanoseconds hold: some 292 years.
pub(crate) const SECONDS_MAX: u64 = 9_223_372_036;

/// Reads a duration, with a sign or without; parts of a second are left out. `None` if it is not one, or longer than
/// [`SECONDS_MAX`].
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let seconds = match unsigned {
        "" => return None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<u64>().ok()?,
        parts => sum(parts)?,
    };
    let seconds = i64::try_from(Some(seconds).filter(|seconds| *seconds <= SECONDS_MAX)?).ok()?;
    Some(if negative { -seconds } else { seconds })
}

/// Adds up numbers with units.
fn sum(mut left: &str) -> Option<u64> {
    let mut total = 0.0_f64;
    while !left.is_empty() {
        let (number, behind) = left.split_at(left.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let unit = &behind[..behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len())];
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        left = &behind[unit.len()..];
    }
    // The cast of a float saturates, and what is too long is refused by the caller.
    Some(total as u64)
}

/// Writes so many seconds as Go does: `0s`, `1m30s`, `3h0m0s`, `-1s`.
pub(crate) fn format(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let total = seconds.unsigned_abs();
    match (total / 3_600, total / 60 % 60, total % 60) {
        (0, 0, seconds) => format!("{sign}{seconds}s"),
        (0, minutes, seconds) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_vault_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("90", Some(90)),
            (" 90s ", Some(90)),
            ("1h30m", Some(5_400)),
            ("1.5h", Some(5_400)),
            ("3h25m19s", Some(12_319)),
            ("2d", Some(172_800)),
            ("1500ms", Some(1)),
            ("-1s", Some(-1)),
            ("-30", Some(-30)),
            ("", None),
            ("-", None),
            ("h", None),
            ("1h30", None),
            ("1.2.3h", None),
            ("five", None),
            ("1é", None),
            ("9223372036", Some(9_223_372_036)),
            ("9223372037", None),
            ("99999999999999999999h", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        let rows = [(0, "0s"), (59, "59s"), (60, "1m0s"), (3_600, "1h0m0s"), (12_319, "3h25m19s"), (-1, "-1s")];
        for (seconds, expected) in rows {
            assert_eq!(format(seconds), expected);
        }
        assert!(format(i64::MIN).starts_with('-'));
    }
}
