//! What a plugin may answer, and in which words it is refused.

/// What of an answer the rules look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// Whether it comes from an auth method.
    pub is_auth: bool,
    /// Whether a login may come from where it was asked: from an open path, or to a renewal.
    pub may_log_in: bool,
    /// Whether it holds a login.
    pub is_login: bool,
    /// Whether it holds a lease.
    pub is_secret: bool,
    /// Whether its body sends the client elsewhere.
    pub is_redirect: bool,
    /// The status of a raw body.
    pub raw_status: Option<u16>,
}

/// The statuses that a raw answer may have: those that end an answer in HTTP.
const RAW_STATUSES: std::ops::Range<u16> = 200..600;

impl AnswerFacts {
    /// Returns why no plugin may answer so, as the end of "the plugin answered what it may not: …"; `None` if it may.
    pub fn refusal(&self) -> Option<&'static str> {
        let Self { is_auth, may_log_in, is_login, is_secret, is_redirect, raw_status } = *self;
        if is_login && !is_auth {
            return Some("a login, which only an auth method may");
        }
        if is_login && is_secret {
            return Some("a login and a secret at once");
        }
        if is_redirect && !is_auth {
            // Whoever follows it takes token and body along, to another mount or to another server.
            return Some("a redirect, which only an auth method may");
        }
        if raw_status.is_some_and(|status| !RAW_STATUSES.contains(&status)) {
            return Some("a status that HTTP does not have");
        }
        if raw_status.is_some() && (is_login || is_secret) {
            return Some("raw responses cannot contain secrets or auth");
        }
        if is_login && !may_log_in {
            return Some("a login on a path that it does not declare open");
        }
        None
    }
}

/// What is refused of data that is no JSON object.
pub const NO_OBJECT: &str = "something that is not a JSON object";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_words_and_an_answer_that_keeps_them_passes() {
        let none = AnswerFacts::default();
        let auth = AnswerFacts { is_auth: true, may_log_in: true, ..none };
        let login = AnswerFacts { is_login: true, ..auth };
        for (facts, words) in [
            (none, None),
            (login, None),
            (AnswerFacts { is_redirect: true, ..auth }, None),
            (AnswerFacts { is_secret: true, ..none }, None),
            (AnswerFacts { raw_status: Some(200), ..none }, None),
            (AnswerFacts { raw_status: Some(599), ..none }, None),
            (AnswerFacts { is_login: true, may_log_in: true, ..none }, Some("only an auth method")),
            (AnswerFacts { is_secret: true, ..login }, Some("at once")),
            (AnswerFacts { is_redirect: true, ..none }, Some("a redirect")),
            (AnswerFacts { raw_status: Some(199), ..none }, Some("a status")),
            (AnswerFacts { raw_status: Some(600), ..none }, Some("a status")),
            (AnswerFacts { raw_status: Some(200), ..login }, Some("raw responses")),
            (AnswerFacts { raw_status: Some(200), is_secret: true, ..none }, Some("raw responses")),
            (AnswerFacts { may_log_in: false, ..login }, Some("does not declare open")),
        ] {
            let refusal = facts.refusal();
            assert_eq!(refusal.is_some(), words.is_some(), "{facts:?}: {refusal:?}");
            assert!(refusal.is_none_or(|refusal| refusal.contains(words.unwrap_or_default())), "{facts:?}");
        }
    }
}
