//! Each way in which a plugin can answer, and each in which it can decline.

use std::time::Duration;

use cofferdam_sdk::{Error, Lease, Response};
use serde_json::json;

pub(crate) fn so(what: &str) -> Result<Response, Error> {
    let data = || Response::json(&json!({ "said": what }));
    Ok(match what {
        "nothing" => Response::none(),
        "lease" => data()?.with_lease(Lease {
            max_ttl: Duration::from_secs(120),
            ..Lease::renewable(Duration::from_secs(60), json!({ "id": 7 }))
        }),
        "raw" => Response::raw(418, "text/tea", "short and stout"),
        "redirect" => Response::redirect("https://example.com/elsewhere"),
        "warning" => data()?.with_warning("mind the step"),
        "headers" => data()?.with_header("X-Allowed", "yes").with_header("Set-Cookie", "no"),
        _ => return Err(Error::UnsupportedPath),
    })
}

pub(crate) fn no(how: &str) -> Error {
    let why = format!("because of {how}");
    match how {
        "denied" => Error::Denied(why),
        "invalid" => Error::InvalidRequest(why),
        "operation" => Error::UnsupportedOperation,
        "not-found" => Error::NotFound(why),
        "conflict" => Error::Conflict(why),
        "unavailable" => Error::Unavailable(why),
        "internal" => Error::Internal(why),
        _ => Error::UnsupportedPath,
    }
}
