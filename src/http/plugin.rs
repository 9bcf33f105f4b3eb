//! The data path: one request to a mount and its answer, with nothing parsed that need not be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderName,
    HeaderValue, LOCATION, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response as HttpResponse;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{self, Envelope};
use super::call::{self, Call};
use super::login::{self, LoginView};
use super::refusal::Refusal;
use crate::host::Host;
use crate::ident::RequestPath;
use crate::json;
use crate::request::{Body, Caller, Headers, Lease, Operation, Request, Response};

/// Headers that no plugin sees, whatever its mount names: they belong to the connection, or every client sends them.
const WITHHELD: [HeaderName; 14] = [
    ACCEPT,
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_AGENT,
];

/// Headers that no plugin sets: they say where an answer ends, and the server alone knows.
const FRAMING: [HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Asks the mount that a path belongs to.
pub(super) async fn answer(
    host: &Host,
    call: Call,
    caller: Caller,
    headers: HeaderMap,
    client: Option<SocketAddr>,
    deadline: Duration,
) -> Result<HttpResponse, Refusal> {
    let Call { operation, path, data } = call;
    let mut request = Request::new(operation, path.clone()).by(caller).with_data(data.bytes.clone());
    request.remote_address = client.map(canonical);
    request.headers = Some(Arc::new(ClientHeaders::of(headers, host)));
    request.deadline = Some(deadline);
    let asked = Asked { host, id: request.id.clone(), operation, path };
    let response = host.handle(request).await.map_err(|error| Refusal::of_mount(&error))?;
    asked.answer(response)
}

/// What was asked, kept to word the answer.
struct Asked<'a> {
    host: &'a Host,
    id: String,
    operation: Operation,
    path: RequestPath,
}

impl Asked<'_> {
    fn answer(&self, response: Response) -> Result<HttpResponse, Refusal> {
        let mut answer = match &response.body {
            Body::Empty | Body::Data(_) if response.login.is_some() => self.login(&response)?,
            Body::Empty => self.empty(&response),
            Body::Data(data) => self.data(data, &response)?,
            Body::Raw { status, content_type, bytes } => {
                if response.secret.is_some() {
                    return Err(self.fault("a raw response together with a secret"));
                }
                self.raw(*status, content_type, bytes.clone())?
            }
            Body::Redirect(location) => {
                let location = HeaderValue::from_str(location).map_err(|_| self.fault("a redirect to no address"))?;
                let mut redirect = answer::empty(StatusCode::TEMPORARY_REDIRECT);
                redirect.headers_mut().insert(LOCATION, location);
                redirect
            }
        };
        set_headers(answer.headers_mut(), &response.headers);
        Ok(answer)
    }

    /// Nothing is a 404 for who wanted to see something, and success for everyone else.
    fn empty(&self, response: &Response) -> HttpResponse {
        let is_wanted = matches!(self.operation, Operation::Read | Operation::List | Operation::Help);
        match (is_wanted, response.warnings.is_empty()) {
            _ if response.secret.is_some() => self.envelope(StatusCode::OK, None, response),
            (true, true) => axum::response::IntoResponse::into_response(Refusal::nothing_there()),
            (true, false) => self.envelope(StatusCode::NOT_FOUND, None, response),
            (false, true) => answer::empty(StatusCode::NO_CONTENT),
            (false, false) => self.envelope(StatusCode::OK, None, response),
        }
    }

    fn data(&self, data: &[u8], response: &Response) -> Result<HttpResponse, Refusal> {
        let object = self.object(data)?;
        match self.operation {
            // The help of a path is not a secret: Vault shows it without an envelope.
            Operation::Help => Ok(answer::json(StatusCode::OK, [object.as_bytes(), b"\n"].concat())),
            Operation::List if lists_nothing(object) => Ok(self.empty(response)),
            _ => Ok(self.envelope(StatusCode::OK, Some(object.as_bytes()), response)),
        }
    }

    /// Says who logged in, and that there is no token in it.
    fn login(&self, response: &Response) -> Result<HttpResponse, Refusal> {
        let mount = self.host.mount_of(&self.path);
        let token_type = mount.and_then(|mount| mount.config.token_type).unwrap_or_default();
        let auth = response.login.as_ref().map(|login| answer::to_json(&LoginView::of(login, token_type)));
        let data = match &response.body {
            Body::Data(data) => Some(self.object(data)?.as_bytes()),
            _ => None,
        };
        let mut warnings = response.warnings.clone();
        warnings.push(login::NO_TOKEN.to_owned());
        let envelope = Envelope {
            request_id: &self.id,
            data,
            warnings: &warnings,
            auth: auth.as_deref().map(<[u8]>::trim_ascii_end),
            ..Envelope::default()
        };
        Ok(answer::json(StatusCode::OK, envelope.to_json()))
    }

    fn object<'a>(&self, data: &'a [u8]) -> Result<&'a str, Refusal> {
        json::object(data).map_err(|_| self.fault("something that is not a JSON object"))
    }

    fn raw(&self, status: u16, content_type: &str, bytes: bytes::Bytes) -> Result<HttpResponse, Refusal> {
        let status = StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        let status = status.ok_or_else(|| self.fault("a raw response with a status outside 200 to 599"))?;
        if status == StatusCode::NO_CONTENT {
            return Ok(answer::empty(status));
        }
        let content_type = HeaderValue::from_str(content_type).map_err(|_| self.fault("an invalid content type"))?;
        Ok(answer::with_type(status, content_type, bytes))
    }

    fn envelope(&self, status: StatusCode, data: Option<&[u8]>, response: &Response) -> HttpResponse {
        let envelope = Envelope {
            request_id: &self.id,
            lease_seconds: response.secret.as_ref().map_or(0, |lease| self.lease_seconds(lease)),
            data,
            warnings: &response.warnings,
            ..Envelope::default()
        };
        answer::json(status, envelope.to_json())
    }

    /// Nothing keeps leases yet, so none is renewable or has an id; the client still learns how long its secret is good
    /// for.
    fn lease_seconds(&self, lease: &Lease) -> u64 {
        let limits = self.host.limits();
        let (default, max) = match self.host.mount_of(&self.path) {
            Some(mount) => {
                let ttls = self.host.effective_ttls(&mount.config);
                (ttls.default, ttls.max)
            }
            None => (limits.default_lease_ttl, limits.max_lease_ttl),
        };
        let or = |seconds: u64, otherwise: u64| if seconds == 0 { otherwise } else { seconds };
        let max = max.as_secs().min(or(lease.max_ttl_seconds, u64::MAX));
        or(lease.ttl_seconds, default.as_secs()).min(max)
    }

    fn fault(&self, what: &str) -> Refusal {
        let mount = self.host.mount_of(&self.path).map(|mount| mount.path.to_string());
        let mount = mount.unwrap_or_else(|| self.path.to_string());
        Refusal::new(StatusCode::BAD_GATEWAY, format!("the plugin mounted at {mount:?} answered with {what}"))
    }
}

/// Returns a client's address as its own: an IPv4 client of an IPv6 socket comes with another.
fn canonical(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

/// The headers that a mount may name: never a token of ours in any spelling, nor what is meant for this server alone.
/// They are as they came, and only what a plugin asks for is copied.
struct ClientHeaders {
    headers: HeaderMap,
    /// What let the request in, if anything did.
    token: Option<String>,
}

impl ClientHeaders {
    fn of(mut headers: HeaderMap, host: &Host) -> Self {
        let is_token = |value| call::bearer_token(value).is_some_and(|token| host.authenticate(token).is_some());
        if headers.get_all(AUTHORIZATION).iter().any(is_token) {
            headers.remove(AUTHORIZATION);
        }
        let token = call::token(&headers).filter(|token| host.authenticate(token).is_some()).map(str::to_owned);
        Self { headers, token }
    }
}

impl Headers for ClientHeaders {
    fn get(&self, name: &str) -> Vec<String> {
        if name.starts_with("x-vault-") || WITHHELD.iter().any(|withheld| withheld == name) {
            return Vec::new();
        }
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let holds_token = |value: &&str| self.token.as_deref().is_some_and(|token| holds_token(value, token));
        values.filter(|value| !holds_token(value)).map(str::to_owned).collect()
    }
}

/// Says whether a header's value holds a token, as it is or as clients encode what they send.
fn holds_token(value: &str, token: &str) -> bool {
    let is_separator = |c: char| !(c.is_ascii_alphanumeric() || "+/=-_".contains(c));
    value.contains(token)
        || percent_decoded(value).windows(token.len()).any(|part| part == token.as_bytes())
        // As in `Basic`, where it is a user's password.
        || value.split(is_separator).filter_map(base64_decoded).any(|bytes| {
            bytes.windows(token.len()).any(|part| part == token.as_bytes())
        })
}

fn percent_decoded(value: &str) -> Vec<u8> {
    let mut rest = value.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let [byte, after @ ..] = rest {
        let pair = after.get(..2).filter(|_| *byte == b'%').and_then(|pair| hex::decode(pair).ok());
        let pair = pair.as_deref().unwrap_or_default();
        decoded.extend_from_slice(if pair.is_empty() { std::slice::from_ref(byte) } else { pair });
        rest = &after[2 * pair.len()..];
    }
    decoded
}

fn base64_decoded(word: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let word = word.trim_end_matches('=');
    STANDARD_NO_PAD.decode(word).or_else(|_| URL_SAFE_NO_PAD.decode(word)).ok()
}

/// Sets the headers that a plugin answers with and its mount lets through, in place of those that every answer has.
/// Those that make no header are left out, as Go's server does.
fn set_headers(answer: &mut HeaderMap, headers: &[(String, String)]) {
    let parse = |(name, value): &(String, String)| {
        let name = HeaderName::try_from(name.as_str()).ok().filter(|name| !FRAMING.contains(name))?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    let headers: Vec<_> = headers.iter().filter_map(parse).collect();
    for (name, _) in &headers {
        answer.remove(name);
    }
    for (name, value) in headers {
        answer.append(name, value);
    }
}

/// Says whether a listing holds nothing that is worth a 200: no keys, and nothing else in their place.
fn lists_nothing(object: &str) -> bool {
    #[derive(Deserialize)]
    struct Listing<'a> {
        #[serde(borrow)]
        keys: Option<&'a RawValue>,
    }
    let holds_nothing = |json: &str| json.len() >= 2 && json[1..json.len() - 1].trim().is_empty();
    match serde_json::from_str::<Listing<'_>>(object) {
        Ok(Listing { keys: Some(keys) }) => keys.get().starts_with('[') && holds_nothing(keys.get()),
        Ok(Listing { keys: None }) | Err(_) => holds_nothing(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_without_keys_hold_nothing() {
        for (object, nothing) in [
            ("{}", true),
            ("{ }", true),
            (r#"{"keys":[]}"#, true),
            (r#"{"keys":[ ], "key_info":{}}"#, true),
            (r#"{"keys":["a"]}"#, false),
            (r#"{"keys":null,"more":1}"#, false),
            (r#"{"more":1}"#, false),
            (r#"{"keys":7}"#, false),
            (r#"{"keys":[],"keys":["a"]}"#, false),
        ] {
            assert_eq!(lists_nothing(object), nothing, "{object}");
        }
    }

    #[tokio::test]
    async fn plugins_see_no_token_and_nothing_of_the_connection() {
        let host = Host::builder().root_token("ours").build().await.unwrap();
        for (name, value, seen) in [
            ("x-a", "1", vec!["1"]),
            ("x-b", "\u{e9}", vec![]),
            ("x-vault-token", "ours", vec![]),
            ("x-vault-request", "true", vec![]),
            ("cookie", "a=b", vec![]),
            ("host", "h", vec![]),
            ("content-length", "1", vec![]),
            ("authorization", "Bearer ours", vec![]),
            ("authorization", "bearer  ours", vec![]),
            ("authorization", "Bearer theirs", vec!["Bearer theirs"]),
            ("authorization", "Basic eDp5", vec!["Basic eDp5"]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert_eq!(ClientHeaders::of(headers, &host).get(name), seen, "{name}: {value}");
        }
        for (value, is_seen) in [
            ("Bearer\tours", false),
            ("Token ours", false),
            ("BEARER ours,", false),
            ("ours", false),
            ("a=%6Furs", false),
            ("Basic eDpvdXJz", false),
            ("Token theirs", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-vault-token", HeaderValue::from_static("ours"));
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            headers.insert("x-other", HeaderValue::from_static(value));
            let headers = ClientHeaders::of(headers, &host);
            for name in ["authorization", "x-other"] {
                assert_eq!(!headers.get(name).is_empty(), is_seen, "{name}: {value}");
            }
        }
        let mut headers = HeaderMap::new();
        for value in ["Bearer theirs", "Bearer ours"] {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert!(ClientHeaders::of(headers, &host).get("authorization").is_empty());
    }

    #[test]
    fn ipv4_clients_of_ipv6_sockets_are_known_by_their_own_address() {
        for (connected, seen) in [
            ("[::ffff:192.0.2.1]:7", "192.0.2.1:7"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
            ("192.0.2.1:7", "192.0.2.1:7"),
        ] {
            assert_eq!(canonical(connected.parse().unwrap()).to_string(), seen);
        }
    }

    #[test]
    fn plugins_set_their_headers_but_no_framing() {
        let mut answer = HeaderMap::new();
        answer.insert("x-trace", "0".parse().unwrap());
        let headers =
            [("X-Trace", "1"), ("x-trace", "2"), ("Content-Length", "9"), ("bad name", "x"), ("x-bad", "a\r\nb")];
        set_headers(&mut answer, &headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let traces: Vec<_> = answer.get_all("x-trace").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!((answer.len(), traces), (2, vec!["1", "2"]));
    }
}
