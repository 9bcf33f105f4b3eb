//! What the host checks before and after a plugin's own code.

use cofferdam_contract::answer::NO_OBJECT;
use cofferdam_contract::{AnswerFacts, PathRules};

use crate::response::Body;
use crate::{Caller, Description, Error, Existence, Kind, Operation, Request, Response};

/// Reads the paths that need no token, and refuses descriptions that no host takes.
pub(super) fn check_description(description: &Description) -> Result<PathRules, Error> {
    PathRules::parse(&description.unauthenticated_paths)
        .map_err(|why| Error::Internal(format!("the plugin's description of itself is wrong: {why}")))
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
    let facts = AnswerFacts {
        is_auth: description.kind == Kind::Auth,
        may_log_in: reach == Reach::Open || operation == Operation::Renew,
        is_login: response.login.is_some(),
        is_secret: response.secret.is_some(),
        is_redirect: matches!(response.body, Body::Redirect(_)),
        raw_status: match &response.body {
            Body::Raw(raw) => Some(raw.status),
            Body::None | Body::Data(_) | Body::Redirect(_) => None,
        },
    };
    let is_object = |json: &[u8]| crate::decode::from_slice::<serde_json::Map<_, _>>(json).is_ok();
    let refusal = facts.refusal().or_else(|| match &response.body {
        Body::Data(json) if !json.is_empty() && !is_object(json) => Some(NO_OBJECT),
        _ => None,
    });
    match refusal {
        Some(why) => Err(Error::Internal(format!("the plugin answered what it may not: {why}"))),
        None => Ok(response),
    }
}

/// Who can reach a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// Everybody.
    Open,
    /// Those with a token.
    Token,
}

/// Says whether a path needs a token.
pub(super) fn reach(open: &PathRules, path: &str) -> Reach {
    if open.matches(path) { Reach::Open } else { Reach::Token }
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
        let described = |pattern: &str| Description::auth("Lets in.").unauthenticated_path(pattern);
        let open = check_description(&described("login/*")).expect("it is good");
        assert_eq!((reach(&open, "login/a"), reach(&open, "login")), (Reach::Open, Reach::Token));
        let error = check_description(&described("a/+*")).expect_err("it is not");
        assert!(error.to_string().contains("ends in \"+*\""), "{error}");
    }
}
