//! `config`: what holds for every secret.

use cofferdam_sdk::contract::GoDuration;
use cofferdam_sdk::{Call, Context, Error, Field, Response, Route};
use serde_json::json;

use super::fields::{self, Change};
use super::record::Config;
use crate::Kv;

pub(super) fn route() -> Route<Kv> {
    Route::new("config")
        .synopsis("Configures settings for the KV store")
        .description("Settings that are applied to every key in the key-value store.")
        .field(Field::integer("max_versions", "The number of versions to keep for each key. Defaults to 10"))
        .field(Field::boolean(
            "cas_required",
            "If true, the backend will require the cas parameter to be set for each write",
        ))
        .field(Field::signed_duration(
            "delete_version_after",
            "If set, the length of time before a version is deleted. A negative duration disables the use of \
             delete_version_after on all keys. A zero duration clears the current setting.",
        ))
        .read(read)
        .write(write)
}

fn read(_: &Kv, ctx: &Context, _: &Call) -> Result<Response, Error> {
    let Config { max_versions, cas_required, delete_version_after } = Config::get(ctx)?;
    Response::json(&json!({
        "max_versions": max_versions,
        "cas_required": cas_required,
        "delete_version_after": GoDuration::from_seconds(delete_version_after).to_string(),
    }))
}

fn write(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let max_versions = fields::max_versions(call)?;
    let cas_required: Change<bool> = fields::change(call, "cas_required")?;
    let delete_version_after: Change<i64> = fields::change(call, "delete_version_after")?;
    if max_versions == Change::Keep && cas_required == Change::Keep && delete_version_after == Change::Keep {
        return Ok(Response::none());
    }
    ctx.transact(|transaction| {
        let mut config = Config::get(transaction)?;
        max_versions.clone().apply(&mut config.max_versions, |number| number);
        cas_required.clone().apply(&mut config.cas_required, |required| required);
        // Any negative duration means that there is none, and is shown as -1s.
        delete_version_after.clone().apply(&mut config.delete_version_after, |seconds| seconds.max(-1));
        config.put(transaction)
    })?;
    Ok(Response::none())
}
