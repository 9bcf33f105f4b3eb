//! `sys/wrapping/unwrap`: where native plugins from before automatic mutual TLS fetch their certificate.
//!
//! The wrapping token is all that is asked for, so anybody may. What comes where a caller's own token would is no
//! caller's token here.

use super::fields::Fields;
use super::refusal::Refusal;
use super::reply::Reply;
use crate::host::{ErrorKind, Host};
use crate::request::Request;

/// The largest body that is looked at, in bytes, as it comes from nobody in particular: a token and its name.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Answers with what a token stands for. One in the body goes before one in a header, as in Vault.
pub(super) fn unwrap(host: &Host, request: &Request, mut fields: Fields) -> Result<Reply, Refusal> {
    if request.data.len() > BODY_BYTES_MAX {
        let message = format!("request body too large: it may have {BODY_BYTES_MAX} bytes at most");
        return Err(Refusal::new(ErrorKind::TooLarge, message));
    }
    let token = fields.filled_text("token")?;
    let own = || request.token.as_ref().map(|token| token.expose());
    let data = host.unwrap(token.as_deref().or_else(own).unwrap_or_default())?.to_vec();
    Ok(Reply::Data { is_accepted: false, data: Some(data), repeats_data: false, warnings: Vec::new() })
}
