//! One request as a command asks for it, before it has an address.

use std::fmt::Write as _;

use serde::Serialize;
use ureq::http::Method;

use crate::cli::json::Json;

/// Paths that need `sudo` in a policy of Vault's: these, and all below those that end with a slash.
const SUDO_PATHS: [&str; 10] = [
    "sys/auth/",
    "sys/remount",
    "sys/plugins/catalog/",
    "sys/plugins/runtimes/catalog/",
    "sys/audit",
    "sys/audit/",
    "sys/raw/",
    "sys/rotate",
    "sys/seal",
    "sys/leases/revoke-prefix/",
];

/// A method, a path below `/v1/` and what goes with them.
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Json>,
}

impl Call {
    /// Returns a call without query and body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None }
    }

    /// Returns a GET.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Returns the call with one more query parameter.
    pub(crate) fn with_query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Returns the call with a JSON body.
    pub(crate) fn with_body(mut self, body: impl Serialize) -> Self {
        // Maps with text keys, texts, numbers and lists always serialise; nothing else is sent.
        self.body = Some(Json::of(&body).unwrap_or(Json::Null));
        self
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn body(&self) -> Option<&Json> {
        self.body.as_ref()
    }

    /// Returns the whole URL. As in Vault's client, slashes that mean nothing are left out.
    pub(super) fn url(&self, address: &str) -> String {
        let mut url = format!("{address}/v1");
        for segment in self.path.split('/').filter(|segment| !segment.is_empty()) {
            url.push('/');
            escape_into(&mut url, segment, b"-._~!$&'()*+,;=:@");
        }
        for (number, (name, value)) in self.query.iter().enumerate() {
            url.push(if number == 0 { '?' } else { '&' });
            escape_into(&mut url, name, b"-._~");
            url.push('=');
            escape_into(&mut url, value, b"-._~");
        }
        url
    }

    /// Returns the policy that allows the call, in the form that policies are written in.
    pub(super) fn as_policy(&self) -> String {
        let is_listing = self.query.iter().any(|(name, value)| name == "list" && value == "true");
        let mut capabilities = match self.method {
            Method::GET if is_listing => vec!["list"],
            Method::GET => vec!["read"],
            Method::DELETE => vec!["delete"],
            Method::PATCH => vec!["patch"],
            _ => vec!["create", "update"],
        };
        let path = self.path.trim_matches('/');
        if SUDO_PATHS.iter().any(|sudo| path == *sudo || (sudo.ends_with('/') && path.starts_with(sudo))) {
            capabilities.push("sudo");
        }
        let capabilities = capabilities.join("\", \"");
        format!("path {path:?} {{\n  capabilities = [\"{capabilities}\"]\n}}")
    }

    /// Returns a curl command that sends the call. The token stays in the shell's environment.
    pub(super) fn as_curl(&self, url: &str, options: &[String], headers: &[(String, String)]) -> String {
        let mut words = vec!["curl".to_owned()];
        words.extend_from_slice(options);
        if self.method != Method::GET {
            words.push(format!("-X {}", self.method));
        }
        words.push(r#"-H "X-Vault-Token: $VAULT_TOKEN""#.to_owned());
        words.extend(headers.iter().map(|(name, value)| format!("-H {}", shell_quoted(&format!("{name}: {value}")))));
        words.extend(self.body.iter().map(|body| format!("-d {}", shell_quoted(&body.to_string()))));
        words.push(shell_quoted(url));
        words.join(" ")
    }
}

/// Returns a text as one word of a shell, whatever it holds.
pub(super) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}

fn escape_into(url: &mut String, text: &str, plain: &[u8]) {
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_clean_and_escaped() {
        for (path, expected) in [
            ("sys/mounts/a/", "http://h/v1/sys/mounts/a"),
            ("/sys//mounts", "http://h/v1/sys/mounts"),
            ("a b/c?d#e%f", "http://h/v1/a%20b/c%3Fd%23e%25f"),
            ("ü", "http://h/v1/%C3%BC"),
        ] {
            assert_eq!(Call::get(path).url("http://h"), expected);
        }
        let call = Call::get("a").with_query("list", "true").with_query("k", "a&b=c/d");
        assert_eq!(call.url("http://h"), "http://h/v1/a?list=true&k=a%26b%3Dc%2Fd");
    }

    #[test]
    fn policies_allow_what_is_called() {
        for (call, capabilities) in [
            (Call::get("sys/mounts"), r#""read""#),
            (Call::get("/a/").with_query("list", "true"), r#""list""#),
            (Call::new(Method::PUT, "a"), r#""create", "update""#),
            (Call::new(Method::PATCH, "a"), r#""patch""#),
            (Call::new(Method::DELETE, "sys/auth/x"), r#""delete", "sudo""#),
            (Call::new(Method::POST, "sys/remount"), r#""create", "update", "sudo""#),
        ] {
            let policy = call.as_policy();
            assert!(policy.ends_with(&format!(" {{\n  capabilities = [{capabilities}]\n}}")), "{policy}");
        }
    }

    #[test]
    fn quotes_keep_shells_from_reading_values() {
        assert_eq!(shell_quoted("it's $(x)"), r#"'it'"'"'s $(x)'"#);
    }
}
