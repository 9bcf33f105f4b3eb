//! The shapes of answers.

use std::collections::BTreeMap;

use cofferdam_sdk::contract::GoDuration;
use cofferdam_sdk::{Error, Request, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use super::record::{KeyMetadata, VersionMetadata};
use crate::time;

/// What a client learns of a version.
#[derive(Serialize)]
pub(super) struct VersionView<'a> {
    created_time: String,
    custom_metadata: Option<&'a BTreeMap<String, String>>,
    deletion_time: String,
    destroyed: bool,
    version: u64,
}

impl<'a> VersionView<'a> {
    pub(super) fn of(metadata: &'a KeyMetadata, number: u64, version: &VersionMetadata) -> Self {
        Self {
            created_time: version.created_time.to_string(),
            custom_metadata: shown(&metadata.custom_metadata),
            deletion_time: time::text(version.deletion_time),
            destroyed: version.destroyed,
            version: number,
        }
    }
}

/// A version with its data, or with `null` where that is gone.
#[derive(Serialize)]
pub(super) struct DataView<'a> {
    pub(super) data: Option<&'a RawValue>,
    pub(super) metadata: VersionView<'a>,
}

/// What a client learns of a secret.
#[derive(Serialize)]
pub(super) struct MetadataView<'a> {
    cas_required: bool,
    created_time: String,
    current_version: u64,
    custom_metadata: Option<&'a BTreeMap<String, String>>,
    delete_version_after: String,
    max_versions: u32,
    oldest_version: u64,
    updated_time: String,
    versions: BTreeMap<u64, ShortView>,
}

#[derive(Serialize)]
struct ShortView {
    created_time: String,
    deletion_time: String,
    destroyed: bool,
}

impl<'a> MetadataView<'a> {
    pub(super) fn of(metadata: &'a KeyMetadata) -> Self {
        let versions = metadata.versions.iter().map(|(number, version)| {
            let view = ShortView {
                created_time: version.created_time.to_string(),
                deletion_time: time::text(version.deletion_time),
                destroyed: version.destroyed,
            };
            (*number, view)
        });
        Self {
            cas_required: metadata.cas_required,
            created_time: time::text(metadata.created_time),
            current_version: metadata.current_version,
            custom_metadata: shown(&metadata.custom_metadata),
            delete_version_after: GoDuration::from_seconds(
                i64::try_from(metadata.delete_version_after).unwrap_or(i64::MAX),
            )
            .to_string(),
            max_versions: metadata.max_versions,
            oldest_version: metadata.oldest_version,
            updated_time: time::text(metadata.updated_time),
            versions: versions.collect(),
        }
    }
}

/// None is `null`, as in Vault.
fn shown(custom_metadata: &BTreeMap<String, String>) -> Option<&BTreeMap<String, String>> {
    (!custom_metadata.is_empty()).then_some(custom_metadata)
}

/// Answers 404 and says why, in Vault's envelope: the host has none of its own around a 404 with data.
pub(super) fn not_found(
    request: &Request,
    data: Option<impl Serialize>,
    warnings: &[String],
) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        request_id: &'a str,
        lease_id: &'a str,
        renewable: bool,
        lease_duration: u64,
        data: Option<T>,
        wrap_info: (),
        warnings: Option<&'a [String]>,
        auth: (),
    }
    let envelope = Envelope {
        request_id: &request.id,
        lease_id: "",
        renewable: false,
        lease_duration: 0,
        data,
        wrap_info: (),
        warnings: (!warnings.is_empty()).then_some(warnings),
        auth: (),
    };
    Ok(Response::raw(404, "application/json", serde_json::to_vec(&envelope)?))
}

/// Answers a patch of what is not there: 404 without a body, as Vault does.
pub(super) fn nothing_to_patch() -> Response {
    Response::raw(404, "application/json", Vec::new())
}
