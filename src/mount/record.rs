//! What is stored of a mount.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ident::{Accessor, MountPath, MountUuid, PluginKind, PluginName, PluginVersion};

/// A mount as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    pub(crate) uuid: MountUuid,
    pub(crate) accessor: Accessor,
    pub(crate) path: MountPath,
    pub(crate) kind: PluginKind,
    pub(crate) plugin: PluginName,
    /// The version that the mount asks for. What no version was asked for and a versioned plugin was found is frozen here.
    pub(crate) version: Option<PluginVersion>,
    pub(crate) description: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) local: bool,
    pub(crate) seal_wrap: bool,
    pub(crate) config: MountConfig,
}

/// A mount's settings that `tune` can change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountConfig {
    /// `None` means the system's default.
    pub default_lease_ttl: Option<Duration>,
    /// `None` means the system's maximum.
    pub max_lease_ttl: Option<Duration>,
    /// Kept and shown.
    pub force_no_cache: bool,
    /// `""`, `hidden` or `unauth`.
    pub listing_visibility: String,
    /// Kept and shown: request keys that an audit log may show.
    pub audit_non_hmac_request_keys: Vec<String>,
    /// Kept and shown: response keys that an audit log may show.
    pub audit_non_hmac_response_keys: Vec<String>,
    /// Request headers that the plugin may see.
    pub passthrough_request_headers: Vec<String>,
    /// Response headers that the plugin may set.
    pub allowed_response_headers: Vec<String>,
}
