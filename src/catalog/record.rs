//! What the catalog keeps of a plugin: enough to verify it, start it and show it.

use serde::{Deserialize, Serialize};

use crate::plugin::{Found, InstanceLimits, InstancePolicy, Launchable, PluginKey};

/// A catalog entry as it is stored: its members lie side by side in one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PluginRecord {
    #[serde(flatten)]
    pub(crate) key: PluginKey,
    #[serde(flatten)]
    pub(crate) launch: Launchable,
    pub(crate) instances: InstancePolicy,
    /// Absent where nothing was chosen, and in records from before anything could be.
    #[serde(default, skip_serializing_if = "InstanceLimits::is_default")]
    pub(crate) instance_limits: InstanceLimits,
    #[serde(flatten)]
    pub(crate) found: Found,
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

#[cfg(test)]
impl PluginRecord {
    /// Returns the entry of a plugin that nothing stands behind but its name, for tests of what is done with entries.
    pub(crate) fn of_file(key: PluginKey, runtime: crate::plugin::RuntimeKind) -> Self {
        let command = key.name.as_str().parse().expect("a name without a slash is a file's");
        let sha256 = crate::ident::Digest::of(key.to_string().as_bytes());
        Self {
            key,
            launch: Launchable::new(crate::plugin::Source::File { command, sha256 }),
            instances: InstancePolicy::default(),
            instance_limits: InstanceLimits::default(),
            found: Found { runtime, capabilities: Vec::new(), imports: Vec::new() },
            origin: Origin::Request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confinement::Confinement;
    use crate::ident::{Digest, PluginKind};

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
        assert_eq!(record.launch.confinement, None);
        // And a host from before reads what has none.
        assert_eq!(serde_json::to_value(&record).unwrap(), stored);

        assert_eq!(record.origin, Origin::Request);
        let declared = PluginRecord { origin: Origin::Configuration, ..record.clone() };
        let read: PluginRecord = serde_json::from_value(serde_json::to_value(&declared).unwrap()).unwrap();
        assert_eq!(read.origin, Origin::Configuration);

        let mut confined = record;
        confined.launch.confinement = Some(Confinement::default());
        let read: PluginRecord = serde_json::from_value(serde_json::to_value(&confined).unwrap()).unwrap();
        assert_eq!(read.launch.confinement, Some(Confinement::default()));
    }
}
