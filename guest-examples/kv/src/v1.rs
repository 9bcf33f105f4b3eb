//! Version 1: what was written last.

use std::time::Duration;

use cofferdam_sdk::contract::{json, read};
use cofferdam_sdk::{Body, Call, Context, Error, Existence, Field, Lease, Response, Route, Routes, Storage};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::path::{SecretPath, V1_PREFIX};
use crate::{Kv, upgrade};

pub(crate) fn routes() -> Routes<Kv> {
    let anywhere = Route::new("{path..}")
        .synopsis("Pass-through secret storage to the storage backend.")
        .description(
            "Reads and writes arbitrary data. A write replaces all that was stored at the path. The field \"ttl\" of what is \
             written becomes the lease duration of what is read: a hint of when to read it again.",
        )
        .field(Field::string("path", "Location of the secret."))
        .any_fields()
        .read(read)
        .write(write)
        .delete(delete)
        .list(list)
        .exists(exists);
    Routes::new().route(anywhere)
}

fn read(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let Some(path) = SecretPath::find(&call.request().path)? else { return Ok(Response::none()) };
    let Some(stored) = ctx.get(&path.v1_key())? else {
        // An upgrade may have taken it away.
        upgrade::refuse_if_begun(ctx)?;
        return Ok(Response::none());
    };
    let ttl = ttl(&stored)?;
    let response = Response { body: Body::Data(stored), ..Response::default() };
    // A TTL of zero is the mount's default, as in Vault.
    Ok(response.with_lease(Lease { ttl, ..Lease::default() }))
}

/// Returns what a secret says of its own TTL, in whole seconds. What is not a duration says nothing. The rest of the
/// secret is passed over, not kept.
fn ttl(secret: &[u8]) -> Result<Duration, Error> {
    #[derive(Deserialize)]
    struct Hint {
        ttl: Option<Value>,
        lease: Option<Value>,
    }
    let Hint { ttl, lease } = json::parse(secret)?;
    let seconds = ttl.or(lease).and_then(|said| u64::try_from(read::duration(&said).ok()?.whole_seconds()).ok());
    Ok(Duration::from_secs(seconds.unwrap_or(0)))
}

fn write(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let request = call.request();
    let path = SecretPath::require(&request.path)?;
    // The body as it came, and not the call's fields: a secret may well have a field named `path`.
    if request.data::<Map<String, Value>>()?.is_empty() {
        return Err(Error::InvalidRequest("missing data fields".into()));
    }
    ctx.transact(|transaction| {
        upgrade::refuse_if_begun(transaction)?;
        Ok(transaction.put_seal_wrapped(&path.v1_key(), request.raw_data.trim_ascii())?)
    })?;
    Ok(Response::none())
}

fn delete(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    if let Some(path) = SecretPath::find(&call.request().path)? {
        ctx.transact(|transaction| {
            upgrade::refuse_if_begun(transaction)?;
            Ok(transaction.delete(&path.v1_key())?)
        })?;
    }
    Ok(Response::none())
}

fn list(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let keys = ctx.list(&format!("{V1_PREFIX}{}", call.request().path))?;
    upgrade::refuse_if_begun(ctx)?;
    Ok(Response::list(keys))
}

fn exists(_: &Kv, ctx: &Context, call: &Call) -> Result<Existence, Error> {
    let Some(path) = SecretPath::find(&call.request().path)? else { return Ok(Existence::Absent) };
    Ok(if ctx.get(&path.v1_key())?.is_some() { Existence::Present } else { Existence::Absent })
}
