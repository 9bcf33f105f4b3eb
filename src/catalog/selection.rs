//! Which entry a mount gets. The order is Vault's:
//!
//! 1. the version that is pinned, whoever asks for what
//! 2. the version that is asked for
//! 3. the unversioned entry
//! 4. the newest version. Whoever makes a mount keeps it, so that a newer one that is registered later changes no mount
//! 5. what ships in the binary. It also stands in for an unversioned entry that was deregistered

use std::sync::{Arc, PoisonError};

use super::{Catalog, PluginRecord, named};
use crate::ident::{PluginKind, PluginName, PluginVersion};
use crate::plugin::{PluginKey, Source};

/// Why a mount does not get what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SelectError {
    /// There is no such entry.
    NotFound,
    /// All mounts of the plugin get this version.
    Pinned(PluginVersion),
}

impl Catalog {
    /// Returns the entry for a mount that is made, and that asks for this version or for none in particular.
    pub(crate) fn select(
        &self,
        kind: PluginKind,
        name: &PluginName,
        asked: Option<&PluginVersion>,
    ) -> Result<Arc<PluginRecord>, SelectError> {
        let get = |version| self.get(&PluginKey::new(kind, name.clone(), version));
        let found = match (self.pinned(kind, name), asked) {
            (Some(pinned), Some(asked)) if pinned != *asked => return Err(SelectError::Pinned(pinned)),
            (Some(pinned), _) => get(Some(pinned)),
            (None, Some(asked)) => get(Some(asked.clone())),
            (None, None) => {
                let unversioned = get(None);
                let registered = unversioned.clone().filter(|record| record.launch.source != Source::Builtin);
                registered.or_else(|| self.newest(kind, name)).or(unversioned)
            }
        };
        found.ok_or(SelectError::NotFound)
    }

    /// Returns the version that a mount is started with whose record has this one.
    pub(crate) fn version_at_start(
        &self,
        kind: PluginKind,
        name: &PluginName,
        recorded: Option<&PluginVersion>,
    ) -> Option<PluginVersion> {
        self.pinned(kind, name).or_else(|| recorded.cloned())
    }

    /// Returns whether mounts that run the entry with this key could be started without it.
    pub(crate) fn has_substitute(&self, key: &PluginKey) -> bool {
        key.version.is_none() && self.deprecation_status(key.kind, &key.name).is_some()
    }

    fn newest(&self, kind: PluginKind, name: &PluginName) -> Option<Arc<PluginRecord>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        named(&records, kind, name).last().map(Arc::clone)
    }
}
