//! What becomes of an answer: of a login, where it may come from, the policies that its token would carry, and for how
//! long; of a secret, for how long it is good.
//!
//! The host issues no tokens and keeps no leases. It brings both to what Vault would make them of; a server that embeds
//! the host may go on from there.

use std::time::Duration;

use cofferdam_contract::GoDuration;

use super::answer::{answered_by, checked};
use super::types::Answer;
use super::{Error, ErrorKind, Inner, TokenType};
use crate::mount::MountRecord;
use crate::request::{Login, Operation, Response};

/// The policy of tokens that may do anything.
const ROOT: &str = "root";

/// The policy that every token carries, unless its login leaves it out.
const DEFAULT: &str = "default";

impl Inner {
    /// Makes an answer of what a plugin answered: refuses what it may not answer, and fills in what Vault would before
    /// it makes a token of a login and a lease of a secret.
    pub(super) fn settle(
        &self,
        response: Response,
        operation: Operation,
        is_open: bool,
        record: &MountRecord,
    ) -> Result<Answer, Error> {
        let Response { body, mut secret, mut login, mut warnings, headers } =
            checked(response, operation, is_open, record)?;
        let ttls = self.effective_ttls(&record.settings.config);
        let (default, max) = (ttls.default.as_secs(), ttls.max.as_secs());
        if let Some(login) = &mut login {
            login.policies = sanitised(login);
            if login.policies.iter().any(|policy| policy == ROOT) {
                return Err(Error::new(ErrorKind::InvalidRequest, "auth methods cannot create root tokens"));
            }
            warnings.extend(limit(login, default, max));
            if matches!(record.settings.config.token_type, Some(TokenType::Batch | TokenType::DefaultBatch)) {
                login.lease.renewable = false;
            }
        }
        if let Some(lease) = &mut secret {
            let max = max.min(filled(lease.max_ttl_seconds, u64::MAX));
            lease.ttl_seconds = filled(lease.ttl_seconds, default).min(max);
        }
        let by = answered_by(record);
        Ok(Answer { body, secret, login, warnings, headers, by, is_open, status: None, repeats_data: false })
    }
}

/// Returns a number of seconds, or another where it is zero: what a plugin leaves to the host.
fn filled(seconds: u64, otherwise: u64) -> u64 {
    if seconds == 0 { otherwise } else { seconds }
}

/// Returns a login's policies in lower case, sorted, each once, with the default one among them unless it is left out.
fn sanitised(login: &Login) -> Vec<String> {
    let mut policies: Vec<_> = login.policies.iter().map(|policy| policy.trim().to_lowercase()).collect();
    policies.extend((!login.no_default_policy).then(|| DEFAULT.to_owned()));
    policies.retain(|policy| !policy.is_empty());
    policies.sort();
    policies.dedup();
    policies
}

/// Sets how many seconds a login's token would live, and returns a warning where that is less than the plugin asked
/// for. A token with a period lives that long; it may be renewed for ever, but for no longer at a time than others live
/// at most.
fn limit(login: &mut Login, default: u64, max: u64) -> Option<String> {
    let lease = &mut login.lease;
    let max = max.min(filled(lease.max_ttl_seconds, u64::MAX));
    let (asked, name) = match login.period_seconds {
        0 => (filled(lease.ttl_seconds, default), "TTL"),
        period => (period, "period"),
    };
    lease.ttl_seconds = asked.min(max);
    if login.period_seconds > 0 {
        login.period_seconds = lease.ttl_seconds;
    }
    (asked > max).then(|| {
        let [asked, max] = [asked, max].map(|seconds| GoDuration::from_std(Duration::from_secs(seconds)).to_string());
        format!("{name} of {asked:?} exceeded the effective max_ttl of {max:?}; {name} value is capped accordingly")
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::request::Lease;

    fn login(policies: &[&str]) -> Login {
        Login {
            policies: policies.iter().map(ToString::to_string).collect(),
            display_name: String::new(),
            metadata: Vec::new(),
            lease: Lease { ttl_seconds: 0, max_ttl_seconds: 0, renewable: true, internal: Bytes::new() },
            alias: None,
            entity: None,
            num_uses: 0,
            period_seconds: 0,
            no_default_policy: false,
        }
    }

    #[test]
    fn policies_are_written_as_vault_writes_them() {
        for (given, default, sanitised_as) in [
            (&[][..], true, &["default"][..]),
            (&[], false, &[]),
            (&["b", "A", " b ", "", "B"], true, &["a", "b", "default"]),
            (&["b", "a"], false, &["a", "b"]),
            (&["Default"], true, &["default"]),
            (&["default"], false, &["default"]),
            (&["ROOT"], false, &["root"]),
        ] {
            let login = Login { no_default_policy: !default, ..login(given) };
            assert_eq!(sanitised(&login), sanitised_as, "{given:?}");
        }
    }

    #[test]
    fn no_token_lives_longer_than_its_mount_allows() {
        let capped = |what: &str, asked: &str, max: &str| {
            let first = what.split(' ').next().unwrap();
            Some(format!(
                "{first} of \"{asked}\" exceeded the effective max_ttl of \"{max}\"; {what} is capped accordingly"
            ))
        };
        for (ttl, max, period, lives, warning) in [
            (0, 0, 0, 60, None),
            (90, 0, 0, 90, None),
            (7200, 0, 0, 3600, capped("TTL value", "2h0m0s", "1h0m0s")),
            (90, 30, 0, 30, capped("TTL value", "1m30s", "30s")),
            (0, 30, 0, 30, capped("TTL value", "1m0s", "30s")),
            (90, 7200, 0, 90, None),
            (u64::MAX, u64::MAX, 0, 3600, capped("TTL value", "2562047h47m16.854775807s", "1h0m0s")),
            (90, 0, 120, 120, None),
            (90, 0, 7200, 3600, capped("period value", "2h0m0s", "1h0m0s")),
        ] {
            let mut login = login(&[]);
            (login.lease.ttl_seconds, login.lease.max_ttl_seconds, login.period_seconds) = (ttl, max, period);
            assert_eq!(limit(&mut login, 60, 3600), warning, "{ttl} {max} {period}");
            assert_eq!(login.lease.ttl_seconds, lives, "{ttl} {max} {period}");
        }
    }
}
