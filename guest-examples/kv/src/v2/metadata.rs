//! `metadata/{path}`: which secrets there are, and what is known of each.

use cofferdam_sdk::{Call, Context, Error, Field, Response, Route, Storage};
use serde_json::{Map, Value};

use super::answers::{self, MetadataView};
use super::fields::{self, Change};
use super::record::{self, Config, KeyMetadata, METADATA};
use super::{custom, exists, find, path_field, require};
use crate::Kv;
use crate::path::SecretPath;

/// How many versions one transaction removes, which may hold 1,000 keys.
const REMOVED_AT_ONCE: usize = 500;

const CAS_IS_MANDATED: &str =
    "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.";

pub(super) fn route() -> Route<Kv> {
    Route::new("metadata/{path..}")
        .synopsis("Allows interaction with key metadata and settings in the KV store.")
        .description(
            "Reads what is known of a key, writes its settings, lists keys, and permanently deletes a key with all its versions.",
        )
        .field(path_field())
        .field(Field::boolean(
            "exclude_deleted",
            "If true, exclude keys where the current version is deleted when listing keys.",
        ))
        .field(Field::boolean(
            "cas_required",
            "If true the key will require the cas parameter to be set on all write requests. If false, the backend's \
             configuration will be used.",
        ))
        .field(Field::integer(
            "max_versions",
            "The number of versions to keep. If not set, the backend's configured max version is used.",
        ))
        .field(Field::duration(
            "delete_version_after",
            "The length of time before a version is deleted. If not set, the backend's configured delete_version_after is used. \
             Cannot be greater than the backend's delete_version_after. A zero duration clears the current setting.",
        ))
        .field(Field::map(
            "custom_metadata",
            "User-provided key-value pairs that are used to describe arbitrary and version-agnostic information about a secret.",
        ))
        .read(read)
        .write(write)
        .patch(patch)
        .delete(delete)
        .list(list)
        .exists(exists)
}

fn read(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let Some(path) = find(call)? else { return Ok(Response::none()) };
    match KeyMetadata::get(ctx, &path)? {
        Some(metadata) => Response::json(&MetadataView::of(&metadata)),
        None => Ok(Response::none()),
    }
}

fn list(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let folder: String = call.field("path")?;
    let mut keys = ctx.list(&format!("{METADATA}{folder}"))?;
    if call.field::<Option<bool>>("exclude_deleted")? == Some(true) {
        let mut kept = Vec::with_capacity(keys.len());
        for key in keys {
            if key.ends_with('/') || !is_deleted(ctx, &format!("{folder}{key}"))? {
                kept.push(key);
            }
        }
        keys = kept;
    }
    Ok(Response::list(keys))
}

/// Tells whether a secret's current version is deleted, or will be.
fn is_deleted(ctx: &Context, path: &str) -> Result<bool, Error> {
    let Some(path) = SecretPath::find(path)? else { return Ok(false) };
    let Some(metadata) = KeyMetadata::get(ctx, &path)? else { return Ok(false) };
    Ok(metadata.version(None).is_some_and(|(_, version)| version.deletion_time.is_some()))
}

/// The settings that a request names.
struct Settings {
    max_versions: Change<u32>,
    cas_required: Change<bool>,
    delete_version_after: Change<u64>,
    custom_metadata: Change<Map<String, Value>>,
}

impl Settings {
    fn of(call: &Call) -> Result<Self, Error> {
        Ok(Self {
            max_versions: fields::max_versions(call)?,
            cas_required: fields::change(call, "cas_required")?,
            delete_version_after: fields::change(call, "delete_version_after")?,
            custom_metadata: fields::change(call, "custom_metadata")?,
        })
    }

    fn say_nothing(&self) -> bool {
        self.max_versions == Change::Keep
            && self.cas_required == Change::Keep
            && self.delete_version_after == Change::Keep
            && self.custom_metadata == Change::Keep
    }

    /// Changes all but the custom metadata.
    fn apply(&self, metadata: &mut KeyMetadata) {
        self.max_versions.clone().apply(&mut metadata.max_versions, |number| number);
        self.cas_required.clone().apply(&mut metadata.cas_required, |required| required);
        self.delete_version_after.clone().apply(&mut metadata.delete_version_after, |seconds| seconds);
    }

    /// Answers a change, with a word on what it does not change.
    fn answer(&self, config: &Config) -> Response {
        match self.cas_required {
            Change::Set(false) if config.cas_required => Response::none().with_warning(CAS_IS_MANDATED),
            _ => Response::none(),
        }
    }
}

fn write(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let path = require(call)?;
    let settings = Settings::of(call)?;
    if settings.say_nothing() {
        return Ok(Response::none());
    }
    let custom_metadata = match &settings.custom_metadata {
        Change::Set(given) => Some(custom::parse(given)?),
        Change::Clear => Some(Default::default()),
        Change::Keep => None,
    };
    let config = ctx.transact(|transaction| {
        let mut metadata = KeyMetadata::get(transaction, &path)?.unwrap_or_else(KeyMetadata::new);
        settings.apply(&mut metadata);
        if let Some(custom_metadata) = &custom_metadata {
            metadata.custom_metadata.clone_from(custom_metadata);
        }
        metadata.put(transaction, &path)?;
        Config::get(transaction)
    })?;
    Ok(settings.answer(&config))
}

fn patch(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let path = require(call)?;
    let settings = Settings::of(call)?;
    ctx.transact(|transaction| {
        let Some(mut metadata) = KeyMetadata::get(transaction, &path)? else {
            return Ok(answers::nothing_to_patch());
        };
        settings.apply(&mut metadata);
        match &settings.custom_metadata {
            Change::Keep => {}
            Change::Clear => metadata.custom_metadata.clear(),
            Change::Set(patch) => metadata.custom_metadata = custom::patched(&metadata.custom_metadata, patch)?,
        }
        metadata.put(transaction, &path)?;
        Ok(settings.answer(&Config::get(transaction)?))
    })
}

/// Removes a secret with all of its versions: the oldest first where they are too many for one transaction, and what is
/// known of it with the last of them.
fn delete(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let Some(path) = find(call)? else { return Ok(Response::none()) };
    loop {
        let left = ctx.transact(|transaction| {
            let Some(mut metadata) = KeyMetadata::get(transaction, &path)? else { return Ok(0) };
            let oldest: Vec<u64> = metadata.versions.keys().copied().take(REMOVED_AT_ONCE).collect();
            record::delete_versions(transaction, &path, &oldest)?;
            metadata.versions.retain(|number, _| !oldest.contains(number));
            match metadata.versions.keys().next() {
                Some(next) => {
                    metadata.oldest_version = *next;
                    metadata.put(transaction, &path)?;
                }
                None => transaction.delete(&KeyMetadata::key(&path))?,
            }
            Ok(metadata.versions.len())
        })?;
        if left == 0 {
            return Ok(Response::none());
        }
    }
}
