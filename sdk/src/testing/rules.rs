//! What the host checks before and after a plugin's own code.

use crate::response::Body;
use crate::{Caller, Description, Error, Existence, Kind, Operation, Request, Response};

/// Paths that need no token, as many as a host takes.
const PATTERNS_MAX: usize = 64;

/// The longest of them that a host takes, in bytes.
const PATTERN_BYTES_MAX: usize = 256;

/// Refuses descriptions that no host takes.
pub(super) fn check_description(description: &Description) -> Result<(), Error> {
    let wrong = |why: String| Err(Error::Internal(format!("the plugin's description of itself is wrong: {why}")));
    let patterns = &description.unauthenticated_paths;
    if patterns.len() > PATTERNS_MAX {
        return wrong(format!("it has {} paths that need no token, and may have {PATTERNS_MAX}", patterns.len()));
    }
    for pattern in patterns {
        let (body, is_prefix) = match pattern.strip_suffix('*') {
            Some(body) => (body, true),
            None => (pattern.as_str(), false),
        };
        let why = if pattern.len() > PATTERN_BYTES_MAX {
            format!("a path has {} bytes, and may have {PATTERN_BYTES_MAX}", pattern.len())
        } else if body.contains('*') {
            format!("path {pattern:?} has a '*' that is not its last character")
        } else if body.split('/').any(|segment| segment.contains('+') && segment != "+") {
            format!("path {pattern:?} has a '+' that does not fill its segment")
        } else if is_prefix && body.split('/').next_back() == Some("+") {
            format!("path {pattern:?} ends in \"+*\"")
        } else {
            continue;
        };
        return wrong(why);
    }
    Ok(())
}

/// Refuses requests that never reach a plugin.
pub(super) fn check_request(request: &Request) -> Result<(), Error> {
    let path = &request.path;
    let invalid = |reason: &str| Err(Error::InvalidRequest(format!("path {path:?} {reason}")));
    if path.starts_with('/') {
        return invalid("starts with a slash");
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return invalid("holds a relative segment");
    }
    if path.chars().any(char::is_control) {
        return invalid("holds a control character");
    }
    if request.operation == Operation::List && !(path.is_empty() || path.ends_with('/')) {
        return invalid("does not end in a slash, which a list needs");
    }
    request.object().map(drop)
}

/// Refuses answers that a plugin may not give.
pub(super) fn check_response(
    description: &Description,
    operation: Operation,
    reach: Reach,
    response: Response,
) -> Result<Response, Error> {
    let may_log_in = description.kind == Kind::Auth && (reach == Reach::Open || operation == Operation::Renew);
    let reason = match &response.body {
        _ if response.login.is_some() && !may_log_in => "a login where none is allowed",
        Body::Raw(raw) if !(200..=599).contains(&raw.status) => "an HTTP status outside 200 to 599",
        Body::Data(json) if crate::decode::from_slice::<serde_json::Map<_, _>>(json).is_err() => {
            "data that is no object"
        }
        _ => return Ok(response),
    };
    Err(Error::Internal(format!("the plugin answered with {reason}")))
}

/// Who can reach a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// Everybody.
    Open,
    /// Those with a token.
    Token,
}

/// Says whether a path needs a token: `+` stands for one segment, a trailing `*` for any rest.
pub(super) fn reach(description: &Description, path: &str) -> Reach {
    let open = description.unauthenticated_paths.iter().any(|pattern| fits(pattern, path));
    if open { Reach::Open } else { Reach::Token }
}

/// Returns what a plugin is told of the caller: on an open path nobody was asked for a token, so all that is known is
/// the address.
pub(super) fn caller_at(reach: Reach, caller: &Caller) -> Caller {
    match reach {
        Reach::Token => caller.clone(),
        Reach::Open => Caller { remote_address: caller.remote_address.clone(), ..Caller::default() },
    }
}

/// Returns the operation of a write, by what the plugin says of what is there. One that tells has to say so in its
/// description: a host would never ask it.
pub(super) fn write_operation(description: &Description, known: Existence) -> Result<Operation, Error> {
    match known {
        Existence::Present | Existence::Absent if !description.tells_create => Err(Error::Internal(
            "the plugin's `exists` tells what is there, and a host never asks it: the description lacks `.tells_create()`"
                .to_owned(),
        )),
        Existence::Absent => Ok(Operation::Create),
        Existence::Present | Existence::Unknown => Ok(Operation::Update),
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, prefix) = match pattern.strip_suffix('*') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let wanted: Vec<&str> = pattern.split('/').collect();
    let segments: Vec<&str> = if prefix { path.splitn(wanted.len(), '/').collect() } else { path.split('/').collect() };
    let last = wanted.len() - 1;
    segments.len() == wanted.len()
        && wanted.iter().zip(&segments).enumerate().all(|(index, (wanted, segment))| match *wanted {
            "+" => !segment.is_empty(),
            wanted if prefix && index == last => segment.starts_with(wanted),
            wanted => wanted == *segment,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_path_tells_the_address_and_nothing_else() {
        let ada = Caller { display_name: "ada".into(), remote_address: "192.0.2.1:8200".into(), ..Caller::default() };
        let stranger = Caller { remote_address: ada.remote_address.clone(), ..Caller::default() };
        assert_eq!(caller_at(Reach::Token, &ada), ada);
        assert_eq!(caller_at(Reach::Open, &ada), stranger);
    }

    #[test]
    fn what_no_host_takes_is_refused() {
        let described = |patterns: &[&str]| {
            patterns.iter().fold(Description::auth("Lets in."), |all, pattern| all.unauthenticated_path(*pattern))
        };
        check_description(&described(&["login", "login/*", "+/login", "role/+/login*"])).expect("these are good");
        for (patterns, phrase) in [
            (vec!["a*b"], "last character"),
            (vec!["a+/b"], "fill its segment"),
            (vec!["a/+*"], "ends in \"+*\""),
            (vec!["+*"], "ends in \"+*\""),
            (vec!["login"; PATTERNS_MAX + 1], "has 65 paths"),
            (vec![&*"/".repeat(PATTERN_BYTES_MAX + 1)], "has 257 bytes"),
        ] {
            let error = check_description(&described(&patterns)).expect_err("it is not");
            assert!(error.to_string().contains(phrase), "{error}");
        }
    }

    #[test]
    fn unauthenticated_paths_match_as_in_vault() {
        let rows = [
            ("login", "login", true),
            ("login", "login/x", false),
            ("login/*", "login/x/y", true),
            ("login/*", "login", false),
            ("login*", "logins", true),
            ("+/login", "github/login", true),
            ("+/login", "a/b/login", false),
            ("role/+/login/*", "role/r/login/x", true),
        ];
        for (pattern, path, expected) in rows {
            assert_eq!(fits(pattern, path), expected, "{pattern} on {path}");
        }
    }
}
