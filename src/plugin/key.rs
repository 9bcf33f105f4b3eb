//! What identifies a plugin.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ident::{PluginKind, PluginName, PluginVersion};

/// Identifies an entry of the catalog: there is one of each at most. Keys are in the order of type, name and version,
/// the unversioned plugin before all versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PluginKey {
    /// Auth method or secrets engine.
    pub kind: PluginKind,
    /// The name to mount it by.
    pub name: PluginName,
    /// `None` for the unversioned plugin of this name.
    pub version: Option<PluginVersion>,
}

impl PluginKey {
    /// Returns the key of a version; `None` is the unversioned plugin of the name.
    pub fn new(kind: PluginKind, name: PluginName, version: Option<PluginVersion>) -> Self {
        Self { kind, name, version }
    }
}

/// As messages name an entry: `secret plugin "kv" version v1.0.0`.
impl fmt::Display for PluginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} plugin {:?}", self.kind, self.name.as_str())?;
        match &self.version {
            Some(version) => write!(f, " version {version}"),
            None => Ok(()),
        }
    }
}
