//! What is stored of a mount.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ident::{Accessor, MountPath, MountUuid, PluginKind, PluginName, PluginVersion};
use crate::plugin::{InstanceLimits, InstancePolicy, PluginKey};

/// A mount as it is stored: its settings lie beside what identifies it in one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    pub(crate) uuid: MountUuid,
    pub(crate) accessor: Accessor,
    pub(crate) path: MountPath,
    #[serde(flatten)]
    pub(crate) settings: MountSettings,
}

impl MountRecord {
    /// Returns the record of a new mount.
    pub(crate) fn new(path: MountPath, settings: MountSettings) -> Self {
        let accessor = Accessor::random(settings.kind, &settings.plugin);
        Self { uuid: MountUuid::random(), accessor, path, settings }
    }

    /// Returns which storage is the mount's.
    pub(crate) fn storage(&self) -> MountStorage {
        MountStorage { kind: self.settings.kind, uuid: self.uuid }
    }
}

/// What is mounted, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSettings {
    /// Auth method or secrets engine. The host's own `sys/` counts as one.
    pub kind: PluginKind,
    /// The plugin's name in the catalog; `system` for the host's own `sys/`.
    pub plugin: PluginName,
    /// The version that the mount asks for. Of who asks for none, Vault's order selects one: the unversioned plugin,
    /// else the newest version, which the mount asks for from then on, else the built-in one.
    pub version: Option<PluginVersion>,
    /// For people.
    pub description: String,
    /// For the plugin.
    pub options: BTreeMap<String, String>,
    /// Kept and shown; every mount is local while there is one node.
    pub local: bool,
    /// Kept and shown; there is no seal yet that could wrap.
    pub seal_wrap: bool,
    /// TTLs, header rules and instances.
    pub config: MountConfig,
}

impl MountSettings {
    /// Returns the settings of a plugin in the version that is selected, with what the system has for the rest.
    pub fn new(kind: PluginKind, plugin: PluginName) -> Self {
        Self {
            kind,
            plugin,
            version: None,
            description: String::new(),
            options: BTreeMap::new(),
            local: false,
            seal_wrap: false,
            config: MountConfig::default(),
        }
    }

    /// Returns the catalog's key of a version of the plugin.
    pub(crate) fn key_of(&self, version: Option<PluginVersion>) -> PluginKey {
        PluginKey::new(self.kind, self.plugin.clone(), version)
    }
}

/// Which storage is a mount's. It stays the same wherever the mount moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MountStorage {
    pub(crate) kind: PluginKind,
    pub(crate) uuid: MountUuid,
}

/// What all of its keys begin with, in Vault's layout.
impl fmt::Display for MountStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = match self.kind {
            PluginKind::Auth => "auth",
            PluginKind::Secret => "logical",
        };
        write!(f, "{table}/{}/", self.uuid)
    }
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
    /// Which tokens an auth method's logins ask for; `None` means the default. Secrets engines have none.
    pub token_type: Option<TokenType>,
    /// How the mount's instances are kept; `None` leaves it to the plugin's catalog entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<InstancePolicy>,
    /// How many, and for how long; what is left open, the plugin's entry says.
    #[serde(skip_serializing_if = "InstanceLimits::is_default")]
    pub instance_limits: InstanceLimits,
}

/// Which tokens the logins of an auth method ask for, in Vault's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenType {
    /// Service tokens, unless the method asks for others.
    #[default]
    DefaultService,
    /// Batch tokens, unless the method asks for others.
    DefaultBatch,
    /// Service tokens.
    Service,
    /// Batch tokens.
    Batch,
}

impl TokenType {
    /// Every type.
    pub const ALL: [TokenType; 4] =
        [TokenType::DefaultService, TokenType::DefaultBatch, TokenType::Service, TokenType::Batch];

    /// Returns Vault's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenType::DefaultService => "default-service",
            TokenType::DefaultBatch => "default-batch",
            TokenType::Service => "service",
            TokenType::Batch => "batch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was stored before there were auth methods, but for the order of its members.
    const OLD: &str = r#"{"uuid":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","accessor":"kv_0123abcd","path":"team/kv/",
        "kind":"secret","plugin":"kv","version":"v1.0.0","description":"","options":{},"local":false,"seal_wrap":false,
        "config":{"default_lease_ttl":{"secs":60,"nanos":0},"max_lease_ttl":null,"force_no_cache":false,
        "listing_visibility":"","audit_non_hmac_request_keys":[],"audit_non_hmac_response_keys":[],
        "passthrough_request_headers":["x-a"],"allowed_response_headers":[]}}"#;

    #[test]
    fn records_from_before_auth_methods_are_read() {
        let record: MountRecord = serde_json::from_str(OLD).unwrap();
        assert_eq!(record.storage().to_string(), "logical/6ba7b810-9dad-11d1-80b4-00c04fd430c8/");
        let config = &record.settings.config;
        assert_eq!((config.token_type, config.default_lease_ttl), (None, Some(Duration::from_secs(60))));
        // And a host from before reads what this one stores.
        let (stored, old): (serde_json::Value, serde_json::Value) =
            (serde_json::to_value(&record).unwrap(), serde_json::from_str(OLD).unwrap());
        let members = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(members(&stored), members(&old));
    }

    #[test]
    fn token_types_are_stored_and_shown_alike() {
        for token_type in TokenType::ALL {
            assert_eq!(serde_json::to_value(token_type).unwrap(), token_type.as_str());
        }
    }
}
