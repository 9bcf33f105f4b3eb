//! `data/{path}`: secrets themselves.

use cofferdam_sdk::contract::read;
use cofferdam_sdk::{Call, Context, Error, Field, Response, Route, Transaction};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answers::{self, DataView, VersionView};
use super::record::{self, Config, KeyMetadata};
use super::{exists, fields, find, invalid_path, merge, path_field, require};
use crate::Kv;
use crate::path::SecretPath;
use crate::time::Time;

pub(super) fn route() -> Route<Kv> {
    Route::new("data/{path..}")
        .synopsis("Write, Patch, Read, and Delete data in the Key-Value Store.")
        .description(
            "A write makes a new version of a secret, and a patch one that is made of the current version. A read returns the \
             current version, or the one that is asked for. A deletion marks the current version as deleted, which can be undone.",
        )
        .field(path_field())
        .field(Field::integer(
            "version",
            "If provided during a read, the value at the version number will be returned",
        ))
        .field(Field::map(
            "options",
            "Options for writing a KV entry. Set the \"cas\" value to use a Check-And-Set operation. If not set the write will \
             be allowed. If set to 0 a write will only be allowed if the key doesn't exist. If the index is non-zero the write \
             will only be allowed if the key's current version matches the version specified in the cas parameter.",
        ))
        .field(Field::map("data", "The contents of the data map will be stored and returned on read."))
        .read(read)
        .write(write)
        .patch(patch)
        .delete(delete)
        .list(invalid_path)
        .exists(exists)
}

fn read(plugin: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let Some(path) = find(call)? else { return no_secret(plugin, ctx, call) };
    let asked: Option<i64> = call.field("version")?;
    let snapshot = ctx.snapshot()?;
    let Some(metadata) = KeyMetadata::get(&snapshot, &path)? else { return Ok(Response::none()) };
    let Some((number, version)) = metadata.version(asked) else { return Ok(Response::none()) };
    let view = VersionView::of(&metadata, number, version);
    if version.is_gone() {
        return answers::not_found(call.request(), Some(DataView { data: None, metadata: view }), &[]);
    }
    let data: Box<RawValue> = serde_json::from_slice(&record::get_version(&snapshot, &path, number)?)?;
    Response::json(&DataView { data: Some(&data), metadata: view })
}

/// Answers where no secret can be: at the root, and in folders.
fn no_secret(plugin: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    if call.request().path == "data/" { Ok(Response::none()) } else { invalid_path(plugin, ctx, call) }
}

fn write(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let path = require(call)?;
    let data = fields::data(call.request())?;
    let cas = CheckAndSet::of(call)?;
    let (metadata, number) = ctx.transact(|transaction| {
        let config = Config::get(transaction)?;
        let metadata = KeyMetadata::get(transaction, &path)?.unwrap_or_default();
        cas.check(&config, &metadata)?;
        add(transaction, &path, &config, metadata, &data)
    })?;
    made(&metadata, number)
}

fn patch(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let path = require(call)?;
    let change = fields::data(call.request())?;
    let cas = CheckAndSet::of(call)?;
    let outcome = ctx.transact(|transaction| {
        let Some(metadata) = KeyMetadata::get(transaction, &path)? else { return Ok(Patched::Nothing) };
        let config = Config::get(transaction)?;
        cas.check(&config, &metadata)?;
        match metadata.version(None) {
            None => return Ok(Patched::Nothing),
            Some((_, version)) if version.is_gone() => return Ok(Patched::Gone(metadata)),
            Some(_) => {}
        }
        let current = record::get_version(transaction, &path, metadata.current_version)?;
        let current: Box<RawValue> = serde_json::from_slice(&current)?;
        let data = merge::merge(Some(&current), &change)?;
        let (metadata, number) = add(transaction, &path, &config, metadata, &data)?;
        Ok(Patched::Made(metadata, number))
    })?;
    match outcome {
        Patched::Made(metadata, number) => made(&metadata, number),
        Patched::Nothing => Ok(answers::nothing_to_patch()),
        Patched::Gone(metadata) => {
            let view = metadata.version(None).map(|(number, version)| VersionView::of(&metadata, number, version));
            answers::not_found(call.request(), view, &[])
        }
    }
}

/// What became of a patch.
enum Patched {
    Made(KeyMetadata, u64),
    /// There is no secret.
    Nothing,
    /// There is one, and its current version is deleted.
    Gone(KeyMetadata),
}

/// Adds a version, and removes those that are too old then.
fn add(
    transaction: &Transaction,
    path: &SecretPath,
    config: &Config,
    mut metadata: KeyMetadata,
    data: &RawValue,
) -> Result<(KeyMetadata, u64), Error> {
    let now = Time::now();
    let deletion_time = metadata.deletion_time(now, config);
    let pruned = metadata.add_version(now, deletion_time, config.max_versions);
    let number = metadata.current_version;
    record::put_version(transaction, path, number, data.get().as_bytes())?;
    record::delete_versions(transaction, path, &pruned)?;
    metadata.put(transaction, path)?;
    Ok((metadata, number))
}

/// Answers what was made of a write.
fn made(metadata: &KeyMetadata, number: u64) -> Result<Response, Error> {
    match metadata.version(None) {
        Some((_, version)) => Response::json(&VersionView::of(metadata, number, version)),
        None => Err(Error::Internal("the version that was made is not there".into())),
    }
}

fn delete(plugin: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let Some(path) = find(call)? else { return no_secret(plugin, ctx, call) };
    ctx.transact(|transaction| {
        let Some(mut metadata) = KeyMetadata::get(transaction, &path)? else { return Ok(()) };
        let current = metadata.current_version;
        let Some(version) = metadata.versions.get_mut(&current).filter(|version| !version.is_gone()) else {
            return Ok(());
        };
        version.deletion_time = Some(Time::now());
        metadata.put(transaction, &path)
    })?;
    Ok(Response::none())
}

// --- CheckAndSet ---

/// The version that a write expects to be the current one, if it says so.
struct CheckAndSet(Option<i64>);

impl CheckAndSet {
    fn of(call: &Call) -> Result<Self, Error> {
        let options: Option<Map<String, Value>> = call.field("options")?;
        let Some(cas) = options.as_ref().and_then(|options| options.get("cas")) else { return Ok(Self(None)) };
        let number = read::integer(cas).ok().and_then(|number| i64::try_from(number).ok());
        let number = number.ok_or_else(|| Error::InvalidRequest("error parsing check-and-set parameter".into()))?;
        Ok(Self(Some(number)))
    }

    fn check(&self, config: &Config, metadata: &KeyMetadata) -> Result<(), Error> {
        let refused = |why: &str| Err(Error::InvalidRequest(why.into()));
        match self.0 {
            Some(expected) if u64::try_from(expected) == Ok(metadata.current_version) => Ok(()),
            Some(_) => refused("check-and-set parameter did not match the current version"),
            None if config.cas_required || metadata.cas_required => {
                refused("check-and-set parameter required for this call")
            }
            None => Ok(()),
        }
    }
}
