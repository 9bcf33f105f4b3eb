//! What of a client's headers a plugin may be told.

use axum::http::HeaderMap;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderName,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};

use super::call;
use crate::host::Host;
use crate::request::{ClientToken, Headers};

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

/// The headers that a mount may name: never a token of ours in any spelling, nor what is meant for this server alone.
/// They are as they came, and only what a plugin asks for is copied.
pub(super) struct ClientHeaders {
    headers: HeaderMap,
    /// What let the request in, if anything did.
    token: Option<ClientToken>,
}

impl ClientHeaders {
    /// Returns the headers of a request that this token let in, if one did.
    pub(super) async fn of(mut headers: HeaderMap, token: Option<ClientToken>, host: &Host) -> Self {
        for value in headers.get_all(AUTHORIZATION) {
            let Some(bearer) = call::bearer_token(value).map(ClientToken::from) else { continue };
            // What cannot be looked at now may be a token of ours.
            if token.as_ref() == Some(&bearer) || !matches!(host.identify(&bearer).await, Ok(None)) {
                headers.remove(AUTHORIZATION);
                break;
            }
        }
        Self { headers, token }
    }
}

impl Headers for ClientHeaders {
    fn get(&self, name: &str) -> Vec<String> {
        if name.starts_with("x-vault-") || WITHHELD.iter().any(|withheld| withheld == name) {
            return Vec::new();
        }
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let holds_token = |value: &&str| self.token.as_ref().is_some_and(|token| holds_token(value, token.expose()));
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// Returns the headers as a request has them that its own token let in, if that is known.
    async fn headers_of(headers: HeaderMap, host: &Host) -> ClientHeaders {
        let token = match call::token(&headers).map(ClientToken::from) {
            Some(token) => host.identify(&token).await.unwrap().map(|_| token),
            None => None,
        };
        ClientHeaders::of(headers, token, host).await
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
            assert_eq!(headers_of(headers, &host).await.get(name), seen, "{name}: {value}");
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
            let headers = headers_of(headers, &host).await;
            for name in ["authorization", "x-other"] {
                assert_eq!(!headers.get(name).is_empty(), is_seen, "{name}: {value}");
            }
        }
        let mut headers = HeaderMap::new();
        for value in ["Bearer theirs", "Bearer ours"] {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert!(headers_of(headers, &host).await.get("authorization").is_empty());
    }
}
