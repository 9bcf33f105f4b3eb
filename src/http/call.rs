//! From an HTTP request to what is asked: the operation, the path and the data, as Vault reads them.
//!
//! Everything is decided on the decoded path, once: `%2e%2e`, `%2F` and `%00` mean here what they would mean unescaped, so no
//! two readers of one path can disagree.

use std::borrow::Cow;

use axum::body::{Body, HttpBody};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::value::RawValue;

use super::fields::as_flag;
use super::limits::ListenerLimits;
use super::refusal::Refusal;
use super::text::{Pairs, Plus, decode};
use crate::duration::format_go_duration;
use crate::host::Host;
use crate::ident::RequestPath;
use crate::request::{Caller, Operation};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");

const MERGE_PATCH: &str = "application/merge-patch+json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Arrays and objects inside one another in a body: Vault's limit. Nothing here recurses, but whoever parses the body next may.
const JSON_DEPTH_MAX: usize = 500;

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Call {
    /// What is asked.
    pub(super) operation: Operation,
    /// Of which path: all that comes behind `/v1/`.
    pub(super) path: RequestPath,
    /// A JSON object, or nothing.
    pub(super) data: Bytes,
}

impl Call {
    /// Reads a request whole. No more of a body is held than the limit allows.
    pub(super) async fn read(parts: &Parts, body: Body, limits: &ListenerLimits) -> Result<Self, Refusal> {
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
                data_of(read_body(body, limits).await?, content_type(&parts.headers))?
            }
            _ => query.into_data(),
        };
        Ok(Self { operation, path, data })
    }
}

/// Refuses, unread, what nobody in particular sends to a path that is not open.
pub(super) fn refuse_strangers(parts: &Parts, host: &Host) -> Result<(), Refusal> {
    let path: RequestPath = path_below_v1(parts.uri.path())?.parse()?;
    // Nothing that is open below `sys/` takes a body.
    if !is_system(path.as_str()) && host.may_be_open(&path) { Ok(()) } else { Err(Refusal::denied()) }
}

/// Returns who asks. A token that nobody knows is refused, even where none is needed.
pub(super) fn caller(host: &Host, headers: &HeaderMap) -> Result<Caller, Refusal> {
    match token(headers) {
        None => Ok(Caller::Anonymous),
        Some(token) => host.authenticate(token).map(Caller::Known).ok_or_else(Refusal::denied),
    }
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

/// A client that asks for these relies on getting them: a secret must not be answered in the clear instead of wrapped, nor from
/// another namespace.
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
        Some(list) => match as_flag(&list) {
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

async fn read_body(body: Body, limits: &ListenerLimits) -> Result<Bytes, Refusal> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let deadline = limits.request_deadline;
    match tokio::time::timeout(deadline, collect(body, limits.request_body_bytes_max)).await {
        Ok(body) => body,
        Err(_) => {
            let message = format!("the request body did not arrive within {}", format_go_duration(deadline));
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

/// Collects a body that may not be larger than so many bytes. One that says it is larger is not read at all; one that comes in
/// a single piece is not copied.
async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("request body too large: it may have {bytes_max} bytes at most"),
        )
    };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Refusal::invalid(format!("error reading the request body: {error}")))?;
        if first.len() + all.len() + piece.len() > bytes_max {
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = piece;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&piece);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Returns a body as the JSON object that it must be. Go's client sends `null` where it has nothing to say.
///
/// curl says "form" of whatever it sends, so a form that starts like an object is one: Vault does the same.
fn data_of(body: Bytes, content_type: &str) -> Result<Bytes, Refusal> {
    let start = body.trim_ascii_start().first();
    if start.is_none() || body.trim_ascii() == b"null" {
        return Ok(Bytes::new());
    }
    if content_type.eq_ignore_ascii_case(FORM) && start != Some(&b'{') {
        let form =
            std::str::from_utf8(&body).map_err(|_| Refusal::invalid("the form in the request body is not UTF-8"))?;
        return Ok(Pairs::parse(form)?.into_data());
    }
    match json_object(&body) {
        Ok(object) if depth(object) > JSON_DEPTH_MAX => {
            Err(Refusal::invalid(format!("error parsing JSON: it is nested more than {JSON_DEPTH_MAX} deep")))
        }
        Ok(object) => Ok(body.slice_ref(object.as_bytes())),
        Err(why) => Err(Refusal::invalid(format!("error parsing JSON: {why}"))),
    }
}

/// Returns how deep arrays and objects stand inside one another in well-formed JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_text(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Skips the rest of a text, its closing quotation mark included.
fn skip_text(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// Returns the JSON object in these bytes without white space around it, or why it is none. Nothing is kept of what it holds.
pub(super) fn json_object(bytes: &[u8]) -> Result<&str, String> {
    let value: &RawValue = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let object = value.get();
    if object.starts_with('{') { Ok(object) } else { Err("expected an object at line 1 column 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn call(request: axum::http::request::Builder, body: impl Into<Body>) -> Result<Call, Refusal> {
        let (parts, body) = request.body(body.into()).unwrap().into_parts();
        let limits = ListenerLimits { request_body_bytes_max: 64, ..ListenerLimits::default() };
        Call::read(&parts, body, &limits).await
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
            assert_eq!(call.data.trim_ascii(), data.as_bytes(), "{method} {uri}");
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
            assert_eq!(call.data, data, "{content_type} {body:?}");
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
    fn deep_bodies_are_refused_and_none_overflows_the_stack() {
        let nested = |deep: usize| format!("{{\"a\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
        for (body, status) in [
            (nested(JSON_DEPTH_MAX - 1), None),
            (nested(JSON_DEPTH_MAX), Some(400)),
            (nested(1 << 20), Some(400)),
            ("{\"a\":".repeat(1 << 20), Some(400)),
            (format!("{{\"a\":\"{}\\\"[\"}}", "[{".repeat(1 << 10)), None),
        ] {
            let refused = data_of(body.into(), "application/json").map_err(|refusal| refusal.status().as_u16()).err();
            assert_eq!(refused, status);
        }
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_counted_as_it_comes() {
        let pieces = |count: usize| {
            Body::from_stream(futures_util::stream::iter(
                (0..count).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"{\"a\":1}         "))),
            ))
        };
        assert_eq!(call(to("POST", "/v1/a"), pieces(1)).await.unwrap().data, "{\"a\":1}");
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
