//! Durations as Vault's flags send them and its tables show them: in tables short, `768h` and not `768h0m0s`.

use cofferdam_contract::GoDuration;

/// Returns a duration as a TTL to tune with: empty to leave it, `system` to go back to the server's own, which is what
/// flags say with a negative one.
pub(super) fn tuned_ttl(ttl: GoDuration) -> String {
    match ttl.nanos() {
        0 => String::new(),
        ..0 => "system".to_owned(),
        _ => ttl.to_string(),
    }
}

/// Returns a duration without trailing zero parts, as tables show it.
pub(super) fn for_people(duration: GoDuration) -> String {
    let text = duration.to_string();
    let text = if text.ends_with("m0s") { &text[..text.len() - 2] } else { &text };
    let text = if text.ends_with("h0m") { &text[..text.len() - 2] } else { text };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_leave_out_trailing_zeros() {
        for (typed, shown) in [
            ("0", "0s"),
            ("30", "30s"),
            ("60s", "1m"),
            ("1h30m", "1h30m"),
            ("768h", "768h"),
            ("10h10m", "10h10m"),
            ("1h0m5s", "1h0m5s"),
            ("1.5s", "1.5s"),
            ("500ms", "500ms"),
            ("-1", "-1s"),
            ("-1h30m", "-1h30m"),
            ("2d", "48h"),
        ] {
            assert_eq!(for_people(typed.parse().unwrap()), shown, "{typed}");
        }
    }

    #[test]
    fn tuning_tells_leave_from_reset() {
        for (typed, sent) in [("0", ""), ("-1", "system"), ("1h", "1h0m0s")] {
            assert_eq!(tuned_ttl(typed.parse().unwrap()), sent);
        }
    }
}
