//! What the catalog keeps of a plugin: enough to verify it, start it and show it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::confinement::Confinement;
use crate::ident::{Command, Digest, PluginKind, PluginName, PluginVersion};

/// A catalog entry as it is stored. Not `Debug`: its environment may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PluginRecord {
    pub(crate) kind: PluginKind,
    pub(crate) name: PluginName,
    pub(crate) version: Option<PluginVersion>,
    pub(crate) command: Command,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) sha256: Digest,
    pub(crate) runtime: RuntimeKind,
    pub(crate) instances: InstancePolicy,
    /// Absent where nothing was chosen, and in records from before anything could be.
    #[serde(default, skip_serializing_if = "InstanceLimits::is_default")]
    pub(crate) instance_limits: InstanceLimits,
    pub(crate) capabilities: Vec<String>,
    pub(crate) imports: Vec<String>,
    /// Absent in records from before native plugins ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confinement: Option<Confinement>,
    /// Absent in records that somebody asked for, as all did once.
    #[serde(default, skip_serializing_if = "Origin::is_request")]
    pub(crate) origin: Origin,
}

/// Who put an entry into the catalog, and so may change it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Whoever asked for it.
    #[default]
    Request,
    /// A block in the server's configuration.
    Configuration,
}

impl Origin {
    fn is_request(&self) -> bool {
        *self == Self::Request
    }
}

/// What kind of file a plugin is, and so how it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RuntimeKind {
    /// A WASI component in the sandbox.
    Wasm,
    /// A native binary that speaks go-plugin.
    Native,
    /// No file at all: it is part of the host.
    Builtin,
}

impl RuntimeKind {
    /// Returns the word that listings show.
    pub fn as_str(self) -> &'static str {
        match self {
            RuntimeKind::Wasm => "wasm",
            RuntimeKind::Native => "native",
            RuntimeKind::Builtin => "builtin",
        }
    }
}

/// How instances of a plugin are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstancePolicy {
    /// Instances that belong to one mount; nothing is shared between mounts.
    #[default]
    PerMount,
    /// A fresh sandbox for every request; nothing survives a request but what was stored.
    PerRequest,
    /// Instances that all mounts of one program share: the same plugin, version, file, arguments and environment.
    /// Mounts share the plugin's memory, never storage.
    Pooled,
}

impl InstancePolicy {
    /// Every policy.
    pub const ALL: [InstancePolicy; 3] = [InstancePolicy::PerMount, InstancePolicy::PerRequest, InstancePolicy::Pooled];

    /// Returns the word used in bodies and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            InstancePolicy::PerMount => "per-mount",
            InstancePolicy::PerRequest => "per-request",
            InstancePolicy::Pooled => "pooled",
        }
    }
}

impl std::str::FromStr for InstancePolicy {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == typed).ok_or_else(|| {
            format!("{typed:?} is not an instance policy; there are \"per-mount\", \"per-request\" and \"pooled\"")
        })
    }
}

/// How many instances are kept, and for how long. `None` leaves it to the mount's plugin, and there to the host
/// ([`Limits`](crate::Limits)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceLimits {
    /// Instances alive at a time, from 1 to [`Limits::instances_max`](crate::Limits::instances_max): of one mount, or
    /// for [`Pooled`](InstancePolicy::Pooled) of all mounts that share them. A plugin that keeps a mount to one
    /// instance has one for each mount whatever is set here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<u32>,
    /// Of these, how many stay while nobody calls them. The default is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_idle: Option<u32>,
    /// For how long an instance stays that nobody calls. It is looked for every few seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// Requests that one instance answers before a fresh one takes its place. The default is no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u64>,
    /// Requests at a time in one instance, where the plugin serves several. The default is as many as the host allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
}

impl InstanceLimits {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these, with what they leave open taken from others.
    pub(crate) fn or(&self, others: &Self) -> Self {
        Self {
            max_instances: self.max_instances.or(others.max_instances),
            max_idle: self.max_idle.or(others.max_idle),
            idle_timeout: self.idle_timeout.or(others.idle_timeout),
            max_requests: self.max_requests.or(others.max_requests),
            max_concurrency: self.max_concurrency.or(others.max_concurrency),
        }
    }

    /// Changes what is set in `changes`; a zero there leaves it open again.
    pub(crate) fn change(&mut self, changes: &Self) {
        fn set<T: PartialEq + Default + Copy>(field: &mut Option<T>, change: Option<T>) {
            if let Some(value) = change {
                *field = Some(value).filter(|value| *value != T::default());
            }
        }
        set(&mut self.max_instances, changes.max_instances);
        set(&mut self.max_idle, changes.max_idle);
        set(&mut self.idle_timeout, changes.idle_timeout);
        set(&mut self.max_requests, changes.max_requests);
        set(&mut self.max_concurrency, changes.max_concurrency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_from_before_confinement_is_still_read() {
        let stored = serde_json::json!({
            "kind": PluginKind::Secret,
            "name": "kv",
            "version": null,
            "command": "kv",
            "args": [],
            "env": [],
            "sha256": Digest::of(b""),
            "runtime": "native",
            "instances": "per-mount",
            "capabilities": [],
            "imports": [],
        });
        let record: PluginRecord = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(record.confinement, None);
        // And a host from before reads what has none.
        assert_eq!(serde_json::to_value(&record).unwrap(), stored);

        assert_eq!(record.origin, Origin::Request);
        let declared = PluginRecord { origin: Origin::Configuration, ..record.clone() };
        let read: PluginRecord = serde_json::from_value(serde_json::to_value(&declared).unwrap()).unwrap();
        assert_eq!(read.origin, Origin::Configuration);

        let confined = PluginRecord { confinement: Some(Confinement::default()), ..record };
        let read: PluginRecord = serde_json::from_value(serde_json::to_value(&confined).unwrap()).unwrap();
        assert_eq!(read.confinement, Some(Confinement::default()));
    }
}
