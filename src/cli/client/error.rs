//! What can go wrong with a call, in Vault's words.

use serde::Deserialize;
use ureq::http::Method;

use crate::cli::console::Ended;

/// Why a call has no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The server said no.
    #[error("{}", refusal(.method, .url, .namespace.as_deref(), *.status, .body))]
    Refused { method: Method, url: String, namespace: Option<String>, status: u16, body: Vec<u8> },
    /// No answer came.
    #[error(
        "{reason}\n\nThere is no talking to the server at {address}. To use another one, \
         set VAULT_ADDR (or COFFERDAM_ADDR) or pass -address."
    )]
    Unreachable { address: String, reason: String },
    /// A path or header that HTTP cannot carry.
    #[error("the request cannot be sent: {0}")]
    Unsendable(String),
    /// An answer that is not what was asked for.
    #[error("the server's answer cannot be read: {0}")]
    Unreadable(String),
    /// Not an error: the call was to be shown as this command, not sent.
    #[error("{0}")]
    Described(String),
}

impl CallError {
    pub(super) fn refused(method: &Method, url: String, namespace: Option<String>, status: u16, body: &[u8]) -> Self {
        Self::Refused { method: method.clone(), url, namespace, status, body: body.to_vec() }
    }

    pub(super) fn unreachable(address: &str, reason: &ureq::Error) -> Self {
        let reason = match reason {
            // Its own text only adds that this is an IO error.
            ureq::Error::Io(reason) => reason.to_string(),
            reason => reason.to_string(),
        };
        Self::Unreachable { address: address.to_owned(), reason }
    }
}

/// Returns a closure that says during what a call failed: `Error <doing this>: …`.
pub(crate) fn during(what: impl Into<String>) -> impl FnOnce(CallError) -> Ended {
    let what = what.into();
    move |error| match error {
        CallError::Described(command) => Ended::Answered(command),
        error => Ended::remote(format!("Error {what}: {error}")),
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<String>,
}

fn refusal(method: &Method, url: &str, namespace: Option<&str>, status: u16, body: &[u8]) -> String {
    let namespace = namespace.map(|namespace| format!("Namespace: {namespace}\n")).unwrap_or_default();
    let (kind, texts) = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => ("Errors", body.errors.iter().map(|text| format!("* {text}")).collect::<Vec<_>>().join("\n")),
        Err(_) => ("Raw Message", String::from_utf8_lossy(body).into_owned()),
    };
    format!("Error making API request.\n\n{namespace}URL: {method} {url}\nCode: {status}. {kind}:\n\n{texts}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_vaults() {
        for (body, expected) in [
            (r#"{"errors":["one","two"]}"#, "Code: 400. Errors:\n\n* one\n* two"),
            (r#"{"errors":[]}"#, "Code: 400. Errors:\n\n"),
            ("bad gateway", "Code: 400. Raw Message:\n\nbad gateway"),
        ] {
            let refused = CallError::refused(&Method::PUT, "http://h/v1/x".to_owned(), None, 400, body.as_bytes());
            assert_eq!(refused.to_string(), format!("Error making API request.\n\nURL: PUT http://h/v1/x\n{expected}"));
        }
    }
}
