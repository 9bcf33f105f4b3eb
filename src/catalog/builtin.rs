//! Plugins that ship in the binary: part of the catalog, and never stored.
//!
//! They are the last that a mount gets, after whatever was registered by the same type and name. An unversioned plugin
//! takes the name over, for as long as it is registered: the built-in one is then neither listed nor mounted, and
//! mounts of it run the other from their next start on. A mount that runs a built-in plugin asks for no version, so
//! that the server can be upgraded.

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(any(test, feature = "builtin"))]
use super::Origin;
use super::{Catalog, PluginRecord};
use crate::ident::{PluginKind, PluginName};
#[cfg(any(test, feature = "builtin"))]
use crate::plugin::{Found, Launchable, RuntimeKind};
use crate::plugin::{PluginKey, Source};

/// Whether a built-in plugin will be there in the versions to come: Vault's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeprecationStatus {
    /// It will.
    Supported,
}

impl DeprecationStatus {
    /// Returns the word that listings show.
    pub fn as_str(self) -> &'static str {
        match self {
            DeprecationStatus::Supported => "supported",
        }
    }
}

/// The built-in plugins of a catalog.
#[derive(Default)]
pub(super) struct Builtins {
    records: BTreeMap<(PluginKind, PluginName), Arc<PluginRecord>>,
}

impl Builtins {
    /// Returns the plugin of this type and name.
    pub(super) fn find(&self, kind: PluginKind, name: &PluginName) -> Option<&Arc<PluginRecord>> {
        self.records.get(&(kind, name.clone()))
    }

    /// Returns the plugin if this is its version, or if any will do.
    pub(super) fn get(&self, key: &PluginKey) -> Option<&Arc<PluginRecord>> {
        let found = self.find(key.kind, &key.name);
        found.filter(|record| key.version.is_none() || key.version == record.key.version)
    }
}

impl Catalog {
    /// Returns the catalog with these plugins built in.
    #[cfg(any(test, feature = "builtin"))]
    pub(crate) fn with_builtins(mut self, records: impl IntoIterator<Item = PluginRecord>) -> Self {
        let keyed = |record: PluginRecord| ((record.key.kind, record.key.name.clone()), Arc::new(record));
        self.builtins.records = records.into_iter().map(keyed).collect();
        self
    }

    /// Returns whether a built-in plugin of this name gives way to an unversioned one.
    pub(crate) fn is_overridden(&self, kind: PluginKind, name: &PluginName) -> bool {
        let unversioned = self.get(&PluginKey::new(kind, name.clone(), None));
        unversioned.is_some_and(|record| record.launch.source != Source::Builtin)
    }

    /// Returns the status of the built-in plugin of this name, overridden or not; `None` if there is none.
    pub(crate) fn deprecation_status(&self, kind: PluginKind, name: &PluginName) -> Option<DeprecationStatus> {
        self.builtins.find(kind, name).map(|_| DeprecationStatus::Supported)
    }

    /// Returns the built-in plugins that are not overridden.
    pub(super) fn listed_builtins(&self) -> Vec<Arc<PluginRecord>> {
        let records = self.builtins.records.values();
        records.filter(|record| !self.is_overridden(record.key.kind, &record.key.name)).cloned().collect()
    }
}

#[cfg(any(test, feature = "builtin"))]
impl PluginRecord {
    /// Returns the entry of a built-in plugin, which could use this.
    pub(crate) fn builtin(key: PluginKey, capabilities: Vec<String>) -> Self {
        Self {
            key,
            launch: Launchable::new(Source::Builtin),
            instances: Default::default(),
            instance_limits: Default::default(),
            found: Found { runtime: RuntimeKind::Builtin, capabilities, imports: Vec::new() },
            origin: Origin::Request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::PluginVersion;
    use crate::storage::MemoryStorage;

    fn kv() -> PluginName {
        "kv".parse().unwrap()
    }

    async fn catalog() -> Catalog {
        let builtin = PluginRecord::builtin(key(PluginVersion::builtin("0.1.0").ok()), Vec::new());
        crate::catalog::load(Arc::new(MemoryStorage::new())).await.with_builtins([builtin])
    }

    fn key(version: Option<PluginVersion>) -> PluginKey {
        PluginKey::new(PluginKind::Secret, kv(), version)
    }

    fn external(version: Option<&str>) -> PluginRecord {
        PluginRecord::of_file(key(version.map(|version| version.parse().unwrap())), RuntimeKind::Wasm)
    }

    /// Returns what a mount without a version gets at first, then at a later start, and what is listed; versions, or
    /// "-" for none.
    fn chosen(catalog: &Catalog) -> (String, String, Vec<String>) {
        let shown =
            |record: &Arc<PluginRecord>| record.key.version.as_ref().map_or("-".to_owned(), ToString::to_string);
        let selected = catalog.select(PluginKind::Secret, &kv(), None);
        let later = catalog.get(&key(None));
        (shown(&selected.unwrap()), shown(&later.unwrap()), catalog.all().iter().map(shown).collect())
    }

    #[tokio::test]
    async fn a_builtin_is_the_last_choice_and_an_unversioned_plugin_takes_its_place() {
        const BUILTIN: &str = "v0.1.0+builtin.cofferdam";
        let row = |selected: &str, later: &str, listed: &[&str]| {
            (selected.to_owned(), later.to_owned(), listed.iter().map(|version| (*version).to_owned()).collect())
        };
        let catalog = catalog().await;
        assert_eq!(chosen(&catalog), row(BUILTIN, BUILTIN, &[BUILTIN]));
        catalog.put(external(Some("0.0.9"))).await.unwrap();
        assert_eq!(chosen(&catalog), row("v0.0.9", BUILTIN, &["v0.0.9", BUILTIN]));
        catalog.put(external(None)).await.unwrap();
        assert_eq!(chosen(&catalog), row("-", "-", &["-", "v0.0.9"]));
        assert!(catalog.is_overridden(PluginKind::Secret, &kv()));
        // What runs it goes on with it, and it is known for what it is.
        let asked = catalog.get(&key(BUILTIN.parse().ok())).unwrap();
        assert_eq!(asked.launch.source, Source::Builtin);
        assert_eq!(catalog.deprecation_status(PluginKind::Secret, &kv()), Some(DeprecationStatus::Supported));
        catalog.remove(&key(None), Origin::Request).await.unwrap();
        assert_eq!(chosen(&catalog), row("v0.0.9", BUILTIN, &["v0.0.9", BUILTIN]));
        assert_eq!(catalog.deprecation_status(PluginKind::Auth, &kv()), None);
        assert_eq!(catalog.versions(PluginKind::Secret, &kv()), ["0.0.9".parse().unwrap()]);
    }
}
