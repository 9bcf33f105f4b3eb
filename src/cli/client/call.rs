//! One request as a command asks for it, before it has an address.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use ureq::http::Method;

/// A method, a path below `/v1/` and what goes with them.
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
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
        self.body = Some(serde_json::to_value(body).unwrap_or_default());
        self
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn body(&self) -> Option<&Value> {
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
    fn quotes_keep_shells_from_reading_values() {
        assert_eq!(shell_quoted("it's $(x)"), r#"'it'"'"'s $(x)'"#);
    }
}
