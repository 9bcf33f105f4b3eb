//! The HTTP client: one call, one answer, and Vault's words for what went wrong.

mod call;
mod error;
mod tls;

use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, Uri, header};

pub(super) use call::Call;
pub(super) use error::{CallError, during};

use super::console::Ended;
use super::duration::GoDuration;
use super::environment::Environment;
use super::flags::ConnectionFlags;
use super::output::Secret;

const ADDRESS_DEFAULT: &str = "https://127.0.0.1:8200";

/// Vault's: long enough for a plugin that itself waits for a slow service.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Longest answer that is read into memory: twice the longest request that Vault takes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What a client needs to know, gathered from flags and environment.
pub(super) struct Client {
    agent: ureq::Agent,
    /// Without a trailing slash.
    address: String,
    namespace: Option<String>,
    headers: Vec<(String, String)>,
    token: Option<String>,
    curl: Option<CurlOptions>,
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
        let address = flags.address.as_ref().or(environment.address.as_ref()).map_or(ADDRESS_DEFAULT, String::as_str);
        let host = host_of(address).map_err(Ended::remote)?;
        let timeout = match &environment.client_timeout {
            None => TIMEOUT_DEFAULT,
            Some(typed) => (typed.parse::<GoDuration>().ok().and_then(GoDuration::to_std))
                .ok_or_else(|| Ended::remote(format!("could not parse VAULT_CLIENT_TIMEOUT: {typed:?}")))?,
        };
        // A request to this machine goes to no proxy, as with Go's client.
        let is_local = matches!(host.as_str(), "localhost" | "[::1]") || host.starts_with("127.");
        let agent = ureq::Agent::config_builder()
            .tls_config(
                settings.load().map_err(|reason| Ended::remote(format!("failed to setup TLS config: {reason}")))?,
            )
            .proxy(environment.proxy.clone().filter(|_| !is_local))
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // The client follows them itself: ureq would drop a body, and would send the token anywhere.
            .max_redirects(0)
            .build()
            .new_agent();
        let token = environment
            .find_token()
            .map_err(|e| Ended::remote(format!("failed to get token from token helper: {e}")))?;
        Ok(Self {
            agent,
            address: address.trim_end_matches('/').to_owned(),
            namespace: namespace(flags.namespace.as_ref().or(environment.namespace.as_ref())),
            headers: extra_headers(&flags.header)?,
            token,
            curl: flags.output_curl_string.then(|| CurlOptions(settings.as_curl_options())),
        })
    }

    /// Returns the client for the root namespace, the only one in which a sealed server answers.
    pub(super) fn in_root_namespace(&self) -> Self {
        Self {
            agent: self.agent.clone(),
            address: self.address.clone(),
            namespace: None,
            headers: self.headers.clone(),
            token: self.token.clone(),
            curl: self.curl.as_ref().map(|options| CurlOptions(options.0.clone())),
        }
    }

    /// Sends a call and returns its answer.
    pub(super) fn send(&self, call: &Call) -> Result<Answer, CallError> {
        let url = call.url(&self.address);
        if let Some(options) = &self.curl {
            return Err(CallError::Described(call.as_curl(&url, &options.0, &self.header_lines(call))));
        }
        let mut response = self.exchange(call, &url)?;
        if matches!(response.status().as_u16(), 301 | 302 | 307) {
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
        match self.json()? {
            Value::Null => Ok(None),
            value => Secret::from_json(value).map(Some).map_err(|reason| CallError::Unreadable(reason.to_string())),
        }
    }

    /// Returns the body as JSON, null if there is none.
    pub(super) fn json(&self) -> Result<Value, CallError> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|reason| CallError::Unreadable(reason.to_string()))
    }
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
