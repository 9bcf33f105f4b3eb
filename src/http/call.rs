//! From an HTTP request to what is asked: the operation, the path and the data, as Vault reads them.
//!
//! Everything is decided on the decoded path, once: `%2e%2e`, `%2F` and `%00` mean here what they would mean unescaped,
//! so no two readers of one path can disagree.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::bodies::{Bodies, Held};
use super::limits::ListenerLimits;
use super::refusal::Refusal;
use super::strangers::Visit;
use super::text::{Pairs, Plus, decode};
use crate::host::Host;
use crate::ident::RequestPath;
use crate::request::{Caller, ClientToken, Operation};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");

const MERGE_PATCH: &str = "application/merge-patch+json";

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Call {
    /// What is asked.
    pub(super) operation: Operation,
    /// Of which path: all that comes behind `/v1/`.
    pub(super) path: RequestPath,
    /// A JSON object, or nothing. It counts among what the server holds until the call is dropped.
    pub(super) data: Held,
}

impl Call {
    /// Reads a request whole, within what its listener grants. One without a token is a visit, and its body is charged
    /// to it.
    pub(super) async fn read(
        parts: &Parts,
        body: Body,
        limits: &ListenerLimits,
        bodies: &Bodies,
        visit: Option<&mut Visit>,
    ) -> Result<Self, Refusal> {
        refuse_unsupported_headers(&parts.headers)?;
        let mut query = Pairs::parse(parts.uri.query().unwrap_or_default())?;
        let mut path = path_below_v1(parts.uri.path())?;
        let operation = operation(&parts.method, &path, &mut query)?;
        if operation == Operation::List && !path.ends_with('/') {
            path.to_mut().push('/');
        }
        let path: RequestPath = path.parse()?;
        let data = match operation {
            Operation::Update | Operation::Patch => {
                refuse_bad_write(operation, &path, &parts.headers)?;
                let body = bodies.read(body, limits, visit).await?;
                bodies.parse(body, content_type(&parts.headers), &limits.json).await?
            }
            _ => Held::uncounted(query.into_data()),
        };
        Ok(Self { operation, path, data })
    }
}

/// Returns where a path with empty segments leads once they are left out, with its query, as Vault redirects; `None`
/// where there are none. A slash may be written as `%2F`, too.
pub(super) fn without_empty_segments(uri: &Uri) -> Option<String> {
    let mut clean = String::with_capacity(uri.path().len());
    let mut rest = uri.path();
    let mut is_changed = false;
    let slash = |text: &str| match text.as_bytes() {
        [b'/', ..] => 1,
        [b'%', b'2', b'F' | b'f', ..] => 3,
        _ => 0,
    };
    while !rest.is_empty() {
        let first = slash(rest);
        if first == 0 {
            let end = rest.find(['/', '%']).filter(|end| *end > 0).unwrap_or(if rest.starts_with('%') {
                1
            } else {
                rest.len()
            });
            clean.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let mut run = first;
        while slash(&rest[run..]) > 0 {
            run += slash(&rest[run..]);
            is_changed = true;
        }
        clean.push_str(if run == first { &rest[..first] } else { "/" });
        rest = &rest[run..];
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    is_changed.then(|| clean + &query)
}

/// Returns who asks. A token that nobody knows counts for nothing, as in Vault: what is open without a token is open
/// with any, and everything else is refused.
pub(super) async fn caller(host: &Host, token: Option<&ClientToken>) -> Result<Caller, Refusal> {
    let Some(token) = token else { return Ok(Caller::Anonymous) };
    Ok(host.identify(token).await?.map_or(Caller::Anonymous, Caller::Known))
}

/// Returns the token that comes with a request.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok()).filter(|token| !token.is_empty());
    token.or_else(|| bearer(headers))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION).and_then(bearer_token)
}

/// Returns the token in the value of an `Authorization` header, if it is of the scheme `Bearer`.
pub(super) fn bearer_token(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

/// Says whether a path is the host's own. What it names is never a plugin's.
pub(super) fn is_system(path: &str) -> bool {
    path == "sys" || path.starts_with("sys/")
}

/// A client that asks for these relies on getting them: a secret must not be answered in the clear instead of wrapped,
/// nor from another namespace.
fn refuse_unsupported_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get(WRAP_TTL).is_some_and(|ttl| !ttl.is_empty() && ttl != "0") {
        return Err(Refusal::invalid("response wrapping needs the token system, which this version does not have"));
    }
    let is_root = |namespace: &[u8]| matches!(namespace.trim_ascii(), b"" | b"/" | b"root" | b"root/");
    if headers.get(NAMESPACE).is_some_and(|namespace| !is_root(namespace.as_bytes())) {
        return Err(Refusal::invalid("there are no namespaces in this version: send no X-Vault-Namespace header"));
    }
    Ok(())
}

/// Returns the decoded path that comes behind `/v1/`.
pub(super) fn path_below_v1(encoded: &str) -> Result<Cow<'_, str>, Refusal> {
    match encoded.strip_prefix("/v1/") {
        Some(below) => decode(below, Plus::Literal),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "no handler for this path: the API is below /v1/")),
    }
}

fn operation(method: &Method, path: &str, query: &mut Pairs) -> Result<Operation, Refusal> {
    match method.as_str() {
        "GET" => read_operation(query),
        "LIST" => Ok(Operation::List),
        "POST" | "PUT" => Ok(Operation::Update),
        "PATCH" => Ok(Operation::Patch),
        "DELETE" => Ok(Operation::Delete),
        "HELP" => Ok(Operation::Help),
        // Load balancers probe sys/health so; plugins know no such operation.
        "HEAD" if is_system(path) => Ok(Operation::Read),
        _ => Err(Refusal::unsupported_operation()),
    }
}

/// A GET is a read unless its query says otherwise. What says so is no data.
fn read_operation(query: &mut Pairs) -> Result<Operation, Refusal> {
    if query.take("help").is_some_and(|help| !help.is_empty()) {
        return Ok(Operation::Help);
    }
    match query.take("list") {
        None => Ok(Operation::Read),
        Some(list) if list.is_empty() => Ok(Operation::Read),
        Some(list) => match cofferdam_contract::boolean(&list) {
            Some(true) => Ok(Operation::List),
            Some(false) => Ok(Operation::Read),
            None => Err(Refusal::invalid(format!("query parameter \"list\" must be true or false, not {list:?}"))),
        },
    }
}

fn refuse_bad_write(operation: Operation, path: &RequestPath, headers: &HeaderMap) -> Result<(), Refusal> {
    if operation == Operation::Patch && content_type(headers) != MERGE_PATCH {
        let message = format!("PATCH requires the content type {MERGE_PATCH:?}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if path.as_str().ends_with('/') {
        return Err(Refusal::invalid("cannot write to a path ending in '/'"));
    }
    Ok(())
}

/// Returns the content type without its parameters.
fn content_type(headers: &HeaderMap) -> &str {
    let typed = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    typed.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use bytes::Bytes;

    use crate::limits::Limits;

    const FORM: &str = "application/x-www-form-urlencoded";

    async fn call(request: axum::http::request::Builder, body: impl Into<Body>) -> Result<Call, Refusal> {
        let (parts, body) = request.body(body.into()).unwrap().into_parts();
        let limits = ListenerLimits { request_body_bytes_max: 64, ..ListenerLimits::default() };
        Call::read(&parts, body, &limits, &Bodies::new(&Limits::default()), None).await
    }

    fn to(method: &str, uri: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(uri)
    }

    #[tokio::test]
    async fn methods_and_queries_become_operations_and_data() {
        use Operation::*;
        for (method, uri, operation, path, data) in [
            ("GET", "/v1/a/b", Read, "a/b", ""),
            ("GET", "/v1/a%20b?x=1&x=2&y=3", Read, "a b", "{\"x\":[\"1\",\"2\"],\"y\":\"3\"}"),
            ("GET", "/v1/a?list=true", List, "a/", ""),
            ("GET", "/v1/a?list=false", Read, "a", ""),
            ("GET", "/v1/a/?list=1&after=k", List, "a/", "{\"after\":\"k\"}"),
            ("LIST", "/v1/a", List, "a/", ""),
            ("LIST", "/v1/a/", List, "a/", ""),
            ("GET", "/v1/a?help=1", Help, "a", ""),
            ("HELP", "/v1/a", Help, "a", ""),
            ("POST", "/v1/a?ignored=1", Update, "a", ""),
            ("PUT", "/v1/a", Update, "a", ""),
            ("DELETE", "/v1/a?versions=1", Delete, "a", "{\"versions\":\"1\"}"),
            ("HEAD", "/v1/sys/health", Read, "sys/health", ""),
            ("GET", "/v1/sys%2Fmounts", Read, "sys/mounts", ""),
            ("GET", "/v1/a%252e%252e/b", Read, "a%2e%2e/b", ""),
        ] {
            let call = call(to(method, uri), Body::empty()).await.unwrap_or_else(|r| panic!("{method} {uri}: {r:?}"));
            assert_eq!((call.operation, call.path.as_str()), (operation, path), "{method} {uri}");
            assert_eq!(call.data.bytes.trim_ascii(), data.as_bytes(), "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn bad_requests_are_refused() {
        for (method, uri, status) in [
            ("GET", "/v1/a/../b", 400),
            ("GET", "/v1/a/%2e%2e/b", 400),
            ("GET", "/v1/a/.%2E/b", 400),
            ("GET", "/v1/a%2f..%2fb", 400),
            ("GET", "/v1/a%00", 400),
            ("GET", "/v1/a%0d%0aX: y", 400),
            ("GET", "/v1/a%7f", 400),
            ("GET", "/v1/a%", 400),
            ("GET", "/v1/a%ff", 400),
            ("GET", "/v1/a?list=perhaps", 400),
            ("GET", "/v1/a?x=%zz", 400),
            ("POST", "/v1/a/", 400),
            ("PATCH", "/v1/a", 415),
            ("HEAD", "/v1/a", 405),
            ("OPTIONS", "/v1/a", 405),
            ("BREW", "/v1/a", 405),
            ("GET", "/", 404),
            ("GET", "/v2/a", 404),
        ] {
            let Ok(uri) = uri.parse::<axum::http::Uri>() else { continue };
            let refusal = call(Request::builder().method(method).uri(uri.clone()), Body::empty()).await.unwrap_err();
            assert_eq!(refusal.status(), status, "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn bodies_are_objects_within_the_limit() {
        for (content_type, body, data) in [
            ("application/json", "", ""),
            ("application/json", "  \n", ""),
            ("application/json", "null\n", ""),
            ("application/json", " {\"a\": 1.50} ", "{\"a\": 1.50}"),
            ("", "{}", "{}"),
            (FORM, "a=1&b=x+y", "{\"a\":\"1\",\"b\":\"x y\"}\n"),
            (FORM, "{\"a\":1}", "{\"a\":1}"),
            ("application/x-www-form-urlencoded; charset=utf-8", "a=1", "{\"a\":\"1\"}\n"),
        ] {
            let call = call(to("POST", "/v1/a").header(CONTENT_TYPE, content_type), body).await.unwrap();
            assert_eq!(call.data.bytes, data, "{content_type} {body:?}");
        }
        let deep = "[".repeat(64);
        for (body, status, message) in [
            ("{\"a\":", 400, "error parsing JSON: EOF while parsing a value at line 1 column 5"),
            ("[1]", 400, "error parsing JSON: expected an object"),
            ("nul", 400, "EOF"),
            ("{} {}", 400, "trailing characters"),
            ("{\"a\":\"\u{1}\"}", 400, "control character"),
            (deep.as_str(), 400, "EOF"),
            (&"x".repeat(65), 413, "request body too large"),
        ] {
            let refusal = call(to("POST", "/v1/a"), body.to_owned()).await.unwrap_err();
            assert_eq!(refusal.status(), status, "{body:?}");
            assert!(refusal.message().contains(message), "{body:?}: {}", refusal.message());
        }
        let patch = to("PATCH", "/v1/a").header(CONTENT_TYPE, MERGE_PATCH);
        assert_eq!(call(patch, "{\"a\":null}").await.unwrap().operation, Operation::Patch);
    }

    #[test]
    fn empty_segments_lead_to_the_path_without_them() {
        for (uri, clean) in [
            ("/v1/a/b", None),
            ("/v1/a/b/?x=//", None),
            ("/v1/a%2Fb", None),
            ("/v1/a%25b%", None),
            ("/v1/a//b", Some("/v1/a/b")),
            ("//v1///a//?x=1", Some("/v1/a/?x=1")),
            ("/v1/a/%2f%2Fb%2Fc", Some("/v1/a/b%2Fc")),
            ("/v1/%C3%A9//%2e", Some("/v1/%C3%A9/%2e")),
        ] {
            let Ok(parsed) = uri.parse::<Uri>() else { panic!("{uri}") };
            assert_eq!(without_empty_segments(&parsed).as_deref(), clean, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_counted_as_it_comes() {
        let pieces = |count: usize| {
            Body::from_stream(futures_util::stream::iter(
                (0..count).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"{\"a\":1}         "))),
            ))
        };
        assert_eq!(call(to("POST", "/v1/a"), pieces(1)).await.unwrap().data.bytes, "{\"a\":1}");
        assert_eq!(call(to("POST", "/v1/a"), pieces(2)).await.unwrap_err().status(), 400);
        assert_eq!(call(to("POST", "/v1/a"), pieces(5)).await.unwrap_err().status(), 413);
    }

    #[tokio::test]
    async fn what_a_client_relies_on_is_not_ignored() {
        assert!(call(to("GET", "/v1/a").header(WRAP_TTL, "60"), Body::empty()).await.is_err());
        assert!(call(to("GET", "/v1/a").header(NAMESPACE, "team/"), Body::empty()).await.is_err());
        assert!(call(to("GET", "/v1/a").header(NAMESPACE, "root"), Body::empty()).await.is_ok());
    }

    #[test]
    fn tokens_come_in_either_header() {
        for (name, value, expected) in [
            ("x-vault-token", "t", Some("t")),
            ("authorization", "Bearer t", Some("t")),
            ("authorization", "bearer  t ", Some("t")),
            ("authorization", "Basic t", None),
            ("authorization", "Bearer ", None),
            ("x-vault-token", "", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(token(&headers), expected, "{name}: {value}");
        }
    }
}
