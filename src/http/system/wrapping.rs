//! `sys/wrapping/unwrap`: where native plugins from before automatic mutual TLS fetch their certificate.
//!
//! The wrapping token is all that is asked for, so this path is answered apart from the others: what comes in
//! `X-Vault-Token` is no caller's token here.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use super::Reply;
use crate::http::Api;
use crate::http::answer::Placement;
use crate::http::call::{self, Call};
use crate::http::fields::Fields;
use crate::http::limits::ListenerLimits;
use crate::http::refusal::Refusal;
use crate::request::Operation;

/// The largest body that is read, as it comes from nobody in particular: a token and its name.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Says whether a request is for this path.
pub(in crate::http) fn is_unwrapping(parts: &Parts) -> bool {
    call::path_below_v1(parts.uri.path()).is_ok_and(|path| path.trim_end_matches('/') == "sys/wrapping/unwrap")
}

/// Answers with what a token stands for. One in the body goes before one in a header, as in Vault.
pub(in crate::http) async fn unwrap(
    api: &Api,
    parts: &Parts,
    body: Body,
    limits: &ListenerLimits,
    client: Option<SocketAddr>,
) -> Result<Response, Refusal> {
    let request_body_bytes_max = limits.request_body_bytes_max.min(BODY_BYTES_MAX);
    let limits = ListenerLimits { request_body_bytes_max, ..*limits };
    let mut visit = api.strangers.arrive(client)?;
    let call = Call::read(parts, body, &limits, &api.bodies, Some(&mut visit)).await?;
    if call.operation != Operation::Update {
        return Err(Refusal::unsupported_operation());
    }
    let token = Fields::parse(&call.data.bytes)?.filled_text("token")?;
    let token = token.as_deref().or_else(|| call::token(&parts.headers)).unwrap_or_default();
    let data = api.host.unwrap(token)?.to_vec();
    let (status, placement) = (StatusCode::OK, Placement::Data);
    Ok(Reply::Data { status, data: Some(data), placement, warnings: Vec::new() }.into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::host::Host;
    use crate::http::{Door, ServerInfo};

    async fn ask(host: &Host, method: &str, token: &str, body: &str) -> (u16, Value) {
        let limits = ListenerLimits::default();
        let door = Door { api: Api::new(host.clone(), ServerInfo::default()), limits };
        let request = Request::builder().method(method).uri("/v1/sys/wrapping/unwrap").header("x-vault-token", token);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        match door.answer(request, None).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
                (status, serde_json::from_slice(&body).unwrap())
            }
            Err(refusal) => (refusal.status().as_u16(), Value::String(refusal.message().to_owned())),
        }
    }

    #[tokio::test]
    async fn a_wrapping_token_opens_once_whoever_brings_it() {
        let host = Host::builder().root_token("root").build().await.unwrap();
        let data = || Map::from_iter([("ServerCert".to_owned(), json!("AA=="))]);
        let gone = || (400, json!("wrapping token is not valid or does not exist"));
        // Go's client sends the token in the header, and `null` for a body.
        for (method, header, body) in [
            ("PUT", "TOKEN", "null\n"),
            ("PUT", "TOKEN", "{}"),
            ("POST", "TOKEN", ""),
            ("PUT", "root", "{\"token\":\"TOKEN\"}"),
            ("PUT", "", "{\"token\":\"TOKEN\"}"),
        ] {
            let token = host.wrap(data());
            let (header, body) = (header.replace("TOKEN", &token), body.replace("TOKEN", &token));
            let (status, answer) = ask(&host, method, &header, &body).await;
            assert_eq!(status, 200, "{method} {header} {body}: {answer}");
            assert_eq!(answer["data"], Value::Object(data()), "{method} {header} {body}");
            assert_eq!(ask(&host, method, &header, &body).await, gone(), "{method} {header} {body}");
        }
        for (header, body) in [("", ""), ("root", "{}"), ("nobody", ""), ("", "{\"token\":\"a.b.c\"}")] {
            assert_eq!(ask(&host, "PUT", header, body).await, gone(), "{header} {body}");
        }
    }

    #[tokio::test]
    async fn nothing_else_is_done_for_strangers() {
        let host = Host::builder().build().await.unwrap();
        let token = host.wrap(Map::new());
        assert_eq!(ask(&host, "GET", &token, "").await.0, 405);
        assert_eq!(ask(&host, "DELETE", &token, "").await.0, 405);
        let large = format!("{{\"token\":\"{}\"}}", "a".repeat(BODY_BYTES_MAX));
        assert_eq!(ask(&host, "PUT", &token, &large).await.0, 413);
        assert_eq!(ask(&host, "PUT", &token, "").await.0, 200);
    }
}
