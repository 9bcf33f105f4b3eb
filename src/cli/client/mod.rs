//! The HTTP client: one call, one answer, and Vault's words for what went wrong.

mod call;
mod error;
mod tls;
mod unix;

use std::path::PathBuf;
use std::time::Duration;

use cofferdam_contract::GoDuration;
use serde_json::Value;
use ureq::http::{Method, Request, Uri, header};

pub(super) use call::Call;
pub(super) use error::{CallError, during};

use super::console::Ended;
use super::environment::Environment;
use super::flags::ConnectionFlags;
use super::json::Json;
use super::output::Secret;

const ADDRESS_DEFAULT: &str = "https://127.0.0.1:8200";

/// Vault's: long enough for a plugin that itself waits for a slow service.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Longest answer that is read into memory: twice the longest request that Vault takes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// More would keep a person waiting for minutes.
const RETRIES_MAX: u32 = 100;

/// Vault's least pause before a request is sent again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a client needs to know, gathered from flags and environment.
pub(super) struct Client {
    agent: ureq::Agent,
    /// What URLs begin with, without a trailing slash.
    base: String,
    /// The same as it was typed, which may be a socket's.
    address: String,
    namespace: Option<String>,
    headers: Vec<(String, String)>,
    token: Option<String>,
    curl: Option<CurlOptions>,
    shows_policy: bool,
    wraps: bool,
    follows_redirects: bool,
    retries: u32,
}

/// What a curl command needs besides the request, when the request is to be shown and not sent.
struct CurlOptions(Vec<String>);

/// A server's answer with a good status.
pub(super) struct Answer {
    body: Vec<u8>,
}

impl Client {
    /// Returns a client. The error says which setting is wrong.
    pub(super) fn new(flags: &ConnectionFlags, environment: &Environment) -> Result<Self, Ended> {
        let settings = tls::Settings::gather(flags, environment).map_err(Ended::remote)?;
        // As in Vault, an agent's address wins over the server's, wherever the two are set.
        let agent = flags.agent_address.as_ref().or(environment.agent_address.as_ref());
        let address = agent.or(flags.address.as_ref()).or(environment.address.as_ref());
        let address = address.map_or(ADDRESS_DEFAULT, String::as_str);
        let stays = tls::switched_on("VAULT_DISABLE_REDIRECTS", environment.disable_redirects.as_deref());
        let stays = stays.map_err(Ended::remote)? || flags.disable_redirects;
        if let Some(name) = environment.unsupported.first() {
            return Err(Ended::remote(format!("VAULT_{name} is set, which this program does not support; unset it")));
        }
        if flags.tls_server_name.is_some() {
            return Err(Ended::remote("-tls-server-name is not supported: use an address that the certificate names"));
        }
        let socket = address.strip_prefix("unix://").map(PathBuf::from);
        let host = match &socket {
            None => host_of(address).map_err(Ended::remote)?,
            Some(path) if path.is_absolute() => "localhost".to_owned(),
            Some(_) => {
                return Err(Ended::remote(format!("address {address:?} should look like unix:///path/to/socket")));
            }
        };
        let retries = match &environment.max_retries {
            None => 0,
            Some(typed) => (typed.parse().ok().filter(|retries| *retries <= RETRIES_MAX)).ok_or_else(|| {
                Ended::remote(format!("VAULT_MAX_RETRIES is {typed:?}, not a number up to {RETRIES_MAX}"))
            })?,
        };
        let wrap_ttl = match (flags.wrap_ttl, &environment.wrap_ttl) {
            (Some(ttl), _) => Some(ttl),
            (None, None) => None,
            (None, Some(typed)) => {
                let parsed = typed.parse::<GoDuration>();
                Some(parsed.map_err(|reason| Ended::remote(format!("could not parse VAULT_WRAP_TTL: {reason}")))?)
            }
        };
        let wrap_ttl = wrap_ttl.filter(|ttl| *ttl != GoDuration::default());
        let mut headers = extra_headers(&flags.header)?;
        headers.extend(wrap_ttl.map(|ttl| ("X-Vault-Wrap-TTL".to_owned(), ttl.to_string())));
        headers.extend(flags.mfa.iter().map(|credential| ("X-Vault-MFA".to_owned(), credential.clone())));
        headers.extend(flags.policy_override.then(|| ("X-Vault-Policy-Override".to_owned(), "true".to_owned())));
        let timeout = match &environment.client_timeout {
            None => TIMEOUT_DEFAULT,
            Some(typed) => (typed.parse::<GoDuration>().ok().and_then(GoDuration::to_std))
                .ok_or_else(|| Ended::remote(format!("could not parse VAULT_CLIENT_TIMEOUT: {typed:?}")))?,
        };
        // A request to this machine goes to no proxy, as with Go's client.
        let is_local = matches!(host.as_str(), "localhost" | "[::1]") || host.starts_with("127.");
        let config = ureq::Agent::config_builder()
            .tls_config(
                settings.load().map_err(|reason| Ended::remote(format!("failed to setup TLS config: {reason}")))?,
            )
            .proxy(environment.proxy.clone().filter(|_| !is_local))
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // The client follows them itself: ureq would drop a body, and would send the token anywhere.
            .max_redirects(0)
            .build();
        let agent = match &socket {
            None => config.new_agent(),
            Some(path) => ureq::Agent::with_parts(config, unix::UnixConnector(path.clone()), unix::NoResolver),
        };
        let token = environment
            .find_token()
            .map_err(|e| Ended::remote(format!("failed to get token from token helper: {e}")))?;
        Ok(Self {
            agent,
            base: if socket.is_some() { "http://localhost" } else { address.trim_end_matches('/') }.to_owned(),
            address: address.trim_end_matches('/').to_owned(),
            namespace: namespace(flags.namespace.as_ref().or(environment.namespace.as_ref())),
            headers,
            token,
            curl: flags.output_curl_string.then(|| {
                let socket =
                    socket.iter().map(|path| format!("--unix-socket {}", call::shell_quoted(&path.to_string_lossy())));
                CurlOptions(socket.chain(settings.as_curl_options()).collect())
            }),
            shows_policy: flags.output_policy,
            wraps: wrap_ttl.is_some(),
            follows_redirects: !stays,
            retries,
        })
    }

    /// Returns the client for what a server tells anybody, even a sealed one: in the root namespace, without the token,
    /// which may be stale.
    pub(super) fn as_nobody(&self) -> Self {
        Self {
            agent: self.agent.clone(),
            base: self.base.clone(),
            address: self.address.clone(),
            namespace: None,
            headers: self.headers.clone(),
            token: None,
            curl: self.curl.as_ref().map(|options| CurlOptions(options.0.clone())),
            shows_policy: self.shows_policy,
            wraps: self.wraps,
            follows_redirects: self.follows_redirects,
            retries: self.retries,
        }
    }

    /// Sends a call and returns its answer.
    pub(super) fn send(&self, call: &Call) -> Result<Answer, CallError> {
        if self.shows_policy {
            return Err(CallError::Described(call.as_policy()));
        }
        let url = call.url(&self.base);
        if let Some(options) = &self.curl {
            return Err(CallError::Described(call.as_curl(&url, &options.0, &self.header_lines(call))));
        }
        let mut response = self.exchange_patiently(call, &url)?;
        if self.follows_redirects && matches!(response.status().as_u16(), 301 | 302 | 307) {
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let target = redirect_target(&url, location.unwrap_or_default())
                .map_err(|reason| CallError::Unreachable { address: self.address.clone(), reason })?;
            response = self.exchange(call, &target)?;
        }
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|reason| CallError::unreachable(&self.address, &reason))?;
        match status {
            200..300 if self.wraps && !is_wrapped(&body) => {
                Err(CallError::Unreadable("it should be wrapped, and is not; it is not shown".to_owned()))
            }
            200..300 => Ok(Answer { body }),
            _ => Err(CallError::refused(call.method(), url, self.namespace.clone(), status, &body)),
        }
    }

    /// Sends a call and returns what it found: none if there is nothing, which some answers say with a warning.
    pub(super) fn find(&self, call: &Call) -> Result<Option<Secret>, CallError> {
        match self.send(call) {
            Ok(answer) => answer.secret(),
            Err(CallError::Refused { status: 404, body, .. }) => {
                let secret = Answer { body }.secret().unwrap_or(None);
                Ok(secret.filter(|secret| secret.says_anything()))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a call as often as the environment allows while the server is in trouble, as Vault's client does.
    fn exchange_patiently(&self, call: &Call, url: &str) -> Result<ureq::http::Response<ureq::Body>, CallError> {
        let mut left = self.retries;
        loop {
            let response = self.exchange(call, url);
            let in_trouble = match &response {
                Ok(response) => matches!(response.status().as_u16(), 412 | 500 | 502..),
                Err(CallError::Unreachable { .. }) => true,
                Err(_) => false,
            };
            if left == 0 || !in_trouble {
                return response;
            }
            left -= 1;
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    fn exchange(&self, call: &Call, url: &str) -> Result<ureq::http::Response<ureq::Body>, CallError> {
        let mut request = Request::builder().method(call.method().clone()).uri(url);
        for (name, value) in self.header_lines(call) {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("X-Vault-Token", token);
        }
        let sent = match call.body() {
            Some(body) => request.body(body.to_string()).map(|request| self.agent.run(request)),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        sent.map_err(|reason| CallError::Unsendable(reason.to_string()))?
            .map_err(|reason| CallError::unreachable(&self.address, &reason))
    }

    /// Returns every header but the token's.
    fn header_lines(&self, call: &Call) -> Vec<(String, String)> {
        let mut lines = vec![("X-Vault-Request".to_owned(), "true".to_owned())];
        lines.extend(self.namespace.iter().map(|namespace| ("X-Vault-Namespace".to_owned(), namespace.clone())));
        if call.body().is_some() {
            let media_type =
                if call.method() == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            lines.push(("Content-Type".to_owned(), media_type.to_owned()));
        }
        lines.extend(self.headers.iter().cloned());
        lines
    }
}

impl Answer {
    /// Returns the body as Vault's envelope, none if there is no body.
    pub(super) fn secret(&self) -> Result<Option<Secret>, CallError> {
        match self.body.trim_ascii() {
            b"" | b"null" => Ok(None),
            body => Secret::read(body).map(Some).map_err(|reason| CallError::Unreadable(reason.to_string())),
        }
    }

    /// Returns the body as JSON whose numbers are as they were written, null if there is none.
    pub(super) fn document(&self) -> Result<Json, CallError> {
        match self.body.trim_ascii() {
            b"" => Ok(Json::Null),
            body => serde_json::from_slice(body).map_err(|reason| CallError::Unreadable(reason.to_string())),
        }
    }

    /// Returns the body as JSON for a look into it, null if there is none.
    pub(super) fn json(&self) -> Result<Value, CallError> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|reason| CallError::Unreadable(reason.to_string()))
    }
}

/// Whether a body is an answer that the server wrapped, or holds nothing.
fn is_wrapped(body: &[u8]) -> bool {
    body.trim_ascii().is_empty() || Secret::read(body).is_ok_and(|secret| secret.wrap_info.is_some())
}

/// Checks that an address is one of HTTP and returns its host.
fn host_of(address: &str) -> Result<String, String> {
    let uri: Uri = address.parse().map_err(|reason| format!("address {address:?} is no URL: {reason}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) => Ok(host.to_owned()),
        _ => Err(format!("address {address:?} should look like {ADDRESS_DEFAULT}")),
    }
}

/// Returns where a redirect leads, unless it would take the token to another server, or from TLS into the clear.
fn redirect_target(from: &str, location: &str) -> Result<String, String> {
    let target = match location {
        "" => return Err("redirected to nowhere".to_owned()),
        path if path.starts_with('/') && !path.starts_with("//") => {
            let host = from.find("://").map_or(0, |at| at + 3);
            let end = from[host..].find('/').map_or(from.len(), |at| host + at);
            format!("{}{path}", &from[..end])
        }
        url => url.to_owned(),
    };
    if authority(from) != authority(&target) {
        return Err(format!("redirected to another server, {target}, which must not get the token"));
    }
    match (from.starts_with("https://"), target.starts_with("https://"), target.starts_with("http://")) {
        (_, true, _) | (false, _, true) => Ok(target),
        _ => Err("redirect would cause protocol downgrade".to_owned()),
    }
}

/// Returns the host and the port of an address.
fn authority(address: &str) -> Option<String> {
    address.parse::<Uri>().ok()?.authority().map(ToString::to_string)
}

/// Returns the namespace in the canonical form, with one trailing slash; none for the root.
fn namespace(typed: Option<&String>) -> Option<String> {
    match typed?.trim_matches('/') {
        "" | "root" => None,
        path => Some(format!("{path}/")),
    }
}

fn extra_headers(typed: &[(String, String)]) -> Result<Vec<(String, String)>, Ended> {
    match typed.iter().find(|(name, _)| name.to_ascii_lowercase().starts_with("x-vault-")) {
        Some((name, _)) => Err(Ended::remote(format!(
            "failed to setup Headers[{name}]: Header starting by 'X-Vault-' are for internal usage only"
        ))),
        None => Ok(typed.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_encrypted() {
        let from = "https://a:8200/v1/sys/mounts";
        assert_eq!(redirect_target(from, "/v1/x").unwrap(), "https://a:8200/v1/x");
        assert_eq!(redirect_target(from, "https://a:8200/v1/x").unwrap(), "https://a:8200/v1/x");
        assert_eq!(redirect_target("http://a/v1/x", "https://a/y").unwrap(), "https://a/y");
        for elsewhere in ["https://b/v1/x", "https://b:8200/v1/x", "https://a/v1/x", "//b/v1/x"] {
            assert!(redirect_target(from, elsewhere).is_err(), "{elsewhere:?}");
        }
        for location in ["http://b/v1/x", "", "ftp://b/", "x"] {
            assert!(redirect_target(from, location).is_err(), "{location:?}");
        }
    }

    #[test]
    fn namespaces_are_canonical() {
        for (typed, sent) in [("", None), ("root", None), ("a", Some("a/")), ("/a/b/", Some("a/b/"))] {
            assert_eq!(namespace(Some(&typed.to_owned())).as_deref(), sent, "{typed:?}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        assert_eq!(host_of("http://localhost:1/base").unwrap(), "localhost");
        for typed in ["127.0.0.1:8200", "unix:///x", "http://", "", "a b"] {
            assert!(host_of(typed).is_err(), "{typed:?}");
        }
    }
}
