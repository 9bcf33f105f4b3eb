//! `auth/token/lookup-self` and `auth/token/lookup`: what clients ask of the root token first. There is no other token
//! yet.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::answer::{self, Envelope, Placement};
use super::call::Call;
use super::fields::Fields;
use super::refusal::Refusal;
use crate::host::Host;
use crate::request::{Caller, Identity, Operation};

const LOOKUP_SELF: &str = "auth/token/lookup-self";
const LOOKUP: &str = "auth/token/lookup";

/// Says whether a path asks about tokens.
pub(super) fn is_lookup(path: &str) -> bool {
    matches!(path, LOOKUP_SELF | LOOKUP)
}

/// Shows what is known of a token: the caller's own, or the one in the body.
pub(super) fn answer(host: &Host, call: &Call, caller: &Caller, own: Option<&str>) -> Result<Response, Refusal> {
    let (Caller::Known(identity), Some(own)) = (caller, own) else { return Err(Refusal::denied()) };
    match (call.path.as_str(), call.operation) {
        (LOOKUP_SELF, Operation::Read | Operation::Update) => Ok(shown(identity, own)),
        (LOOKUP, Operation::Update) => {
            let asked = Fields::parse(&call.data.bytes)?.filled_text("token")?;
            let asked = asked.as_deref().unwrap_or(own);
            let bad = || Refusal::new(StatusCode::FORBIDDEN, "bad token");
            let identity = host.authenticate(asked).ok_or_else(bad)?;
            Ok(shown(&identity, asked))
        }
        _ => Err(Refusal::unsupported_operation()),
    }
}

fn shown(identity: &Identity, token: &str) -> Response {
    #[derive(Serialize)]
    struct Token<'a> {
        accessor: &'a str,
        // Nothing is kept of when it was made: it has no end.
        creation_time: u64,
        creation_ttl: u64,
        display_name: &'a str,
        entity_id: &'a str,
        expire_time: Option<&'a str>,
        explicit_max_ttl: u64,
        id: &'a str,
        meta: Option<&'a str>,
        num_uses: u64,
        orphan: bool,
        path: &'static str,
        policies: &'a [String],
        ttl: u64,
        r#type: &'static str,
    }
    let data = answer::to_json(&Token {
        accessor: &identity.token_accessor,
        creation_time: 0,
        creation_ttl: 0,
        display_name: &identity.display_name,
        entity_id: &identity.entity_id,
        expire_time: None,
        explicit_max_ttl: 0,
        id: token,
        meta: None,
        num_uses: 0,
        orphan: true,
        path: "auth/token/root",
        policies: &identity.policies,
        ttl: 0,
        r#type: "service",
    });
    let request_id = uuid::Uuid::new_v4().to_string();
    let envelope = Envelope {
        request_id: &request_id,
        data: Some(data.trim_ascii_end()),
        placement: Placement::Data,
        ..Envelope::default()
    };
    answer::json(StatusCode::OK, envelope.to_json())
}
