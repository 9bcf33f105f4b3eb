//! `auth/token/lookup-self` and `auth/token/lookup`: what clients ask of the root token first. There is no other token
//! yet.

use serde::Serialize;

use super::fields::Fields;
use super::refusal::Refusal;
use super::reply::Reply;
use crate::host::Host;
use crate::request::{Caller, ClientToken, Identity, Request};

/// Shows what is known of the caller's own token.
pub(super) fn own(request: &Request) -> Result<Reply, Refusal> {
    let (identity, token) = caller(request)?;
    Ok(shown(identity, token))
}

/// Shows what is known of the token in the body; of the caller's own if there is none.
pub(super) async fn any(host: &Host, request: &Request, mut fields: Fields) -> Result<Reply, Refusal> {
    let (_, own) = caller(request)?;
    let asked = fields.filled_text("token")?.map_or_else(|| own.clone(), |asked| asked.as_str().into());
    let identity = host.identify(&asked).await?.ok_or_else(|| Refusal::denied("bad token"))?;
    Ok(shown(&identity, &asked))
}

/// Returns who asks, with which token.
fn caller(request: &Request) -> Result<(&Identity, &ClientToken), Refusal> {
    match (&request.caller, &request.token) {
        (Caller::Known(identity), Some(token)) => Ok((identity, token)),
        _ => Err(Refusal::denied("permission denied")),
    }
}

fn shown(identity: &Identity, token: &ClientToken) -> Reply {
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
    Reply::data(&Token {
        accessor: &identity.token_accessor,
        creation_time: 0,
        creation_ttl: 0,
        display_name: &identity.display_name,
        entity_id: &identity.entity_id,
        expire_time: None,
        explicit_max_ttl: 0,
        id: token.expose(),
        meta: None,
        num_uses: 0,
        orphan: true,
        path: "auth/token/root",
        policies: &identity.policies,
        ttl: 0,
        r#type: "service",
    })
}
