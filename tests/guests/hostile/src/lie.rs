//! Answers what no plugin may answer.

use crate::cofferdam::plugin::types::{Body, Error, Lease, Login, Raw, Response};
use crate::{Answer, nothing};

pub(crate) fn about(what: &str) -> Answer {
    let body = match what {
        // More than the host takes in one call, and less than the guest's memory.
        "huge" => Body::Data(vec![b' '; 8 << 20]),
        "malformed" => Body::Data(b"{\"ok\": tru".to_vec()),
        "deep" => Body::Data(deep()),
        "raw-deep" => Body::Raw(Raw { status: 200, content_type: "application/JSON".into(), body: deep() }),
        "raw-99" => raw(99),
        "raw-600" => raw(600),
        "raw-secret" => raw(200),
        "error" => return Err(Error::Internal("forged\nline \u{1b}[31mred".into())),
        _ => Body::None,
    };
    let secret = what.ends_with("-secret").then(lease);
    let login = what.starts_with("login").then(|| Login {
        policies: vec!["root".into()],
        display_name: "root".into(),
        metadata: vec![],
        lease: lease(),
        alias: None,
        entity: None,
        num_uses: 0,
        period_seconds: 0,
        no_default_policy: false,
    });
    Ok(Response { body, secret, login, ..nothing() })
}

fn raw(status: u16) -> Body {
    Body::Raw(Raw { status, content_type: "text/plain".into(), body: b"raw".to_vec() })
}

/// An object that whoever recurses into it has no stack for.
fn deep() -> Vec<u8> {
    const DEPTH: usize = 100_000;
    format!("{{\"a\":{}{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH)).into_bytes()
}

fn lease() -> Lease {
    Lease { ttl_seconds: 60, max_ttl_seconds: 60, renewable: false, internal: vec![] }
}
