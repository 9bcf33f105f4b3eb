//! What the catalog keeps of a plugin: enough to verify it, start it and show it.

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
    pub(crate) capabilities: Vec<String>,
    pub(crate) imports: Vec<String>,
    /// Absent in records from before native plugins ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confinement: Option<Confinement>,
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
}

impl RuntimeKind {
    /// Returns the word that listings show.
    pub fn as_str(self) -> &'static str {
        match self {
            RuntimeKind::Wasm => "wasm",
            RuntimeKind::Native => "native",
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
}

impl InstancePolicy {
    /// Returns the word used in bodies and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            InstancePolicy::PerMount => "per-mount",
            InstancePolicy::PerRequest => "per-request",
        }
    }
}

impl std::str::FromStr for InstancePolicy {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        match typed {
            "" | "per-mount" => Ok(InstancePolicy::PerMount),
            "per-request" => Ok(InstancePolicy::PerRequest),
            _ => Err(format!("{typed:?} is not an instance policy; there are \"per-mount\" and \"per-request\"")),
        }
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

        let confined = PluginRecord { confinement: Some(Confinement::default()), ..record };
        let read: PluginRecord = serde_json::from_value(serde_json::to_value(&confined).unwrap()).unwrap();
        assert_eq!(read.confinement, Some(Confinement::default()));
    }
}
