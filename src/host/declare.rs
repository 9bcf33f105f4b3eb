//! Plugins that are declared: the catalog is made to hold what a configuration says, and changes with it.

use std::collections::BTreeSet;

use futures_util::StreamExt;

use super::{Error, Host, Inner, PluginInfo, Registration};
use crate::catalog::{Origin, PluginRecord};
use crate::ident::PluginName;
use crate::plugin::PluginKey;

/// Declared plugins that are verified at a time. Each may compile a component or start a process.
const DECLARATIONS_MAX: usize = 4;

/// What became of one declaration, or of an entry that is declared no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// It is in the catalog as it was declared before.
    Unchanged(PluginInfo),
    /// It was verified and put into the catalog.
    Registered(PluginInfo),
    /// It was not, for this reason. An entry from an earlier declaration stays.
    Refused {
        /// The declaration's place in what was declared.
        index: usize,
        /// Why.
        reason: Error,
    },
    /// It was declared before, is not any more, and has left the catalog.
    Removed {
        /// What it was.
        plugin: PluginKey,
    },
    /// It is not declared any more and stays for this reason: mounts use it, or it is pinned.
    Kept {
        /// What it was.
        plugin: PluginKey,
        /// Why.
        reason: Error,
    },
}

impl Host {
    /// Makes the catalog hold the declared plugins, and no others that were declared before. What was registered
    /// otherwise stays as it is.
    ///
    /// Each entry is changed by a transaction of its own, so after a crash the same declarations lead to the same
    /// catalog. A plugin that cannot be registered keeps the others from nothing. Returns what became of each, those
    /// declared first and in no other order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) when the host shuts down.
    pub async fn declare_plugins(&self, declared: Vec<Registration>) -> Result<Vec<Declared>, Error> {
        self.conduct(|inner| async move { Ok(inner.declare(declared).await) }).await
    }
}

impl Inner {
    async fn declare(&self, declared: Vec<Registration>) -> Vec<Declared> {
        let declarations = declared.iter().cloned().enumerate();
        let applied = declarations.map(|(index, registration)| self.declare_one(index, registration));
        let mut outcomes: Vec<Declared> =
            futures_util::stream::iter(applied).buffer_unordered(DECLARATIONS_MAX).collect().await;

        let mut wanted: BTreeSet<PluginKey> = BTreeSet::new();
        // What a declaration stands for that failed and names no version, nobody knows: nothing of that name goes.
        let mut unclear: BTreeSet<PluginName> = BTreeSet::new();
        for outcome in &outcomes {
            match outcome {
                Declared::Unchanged(plugin) | Declared::Registered(plugin) => {
                    wanted.insert(plugin.key.clone());
                }
                Declared::Refused { index, .. } => match &declared[*index] {
                    Registration { kind: Some(kind), name, version: version @ Some(_), .. } => {
                        wanted.insert(PluginKey::new(*kind, name.clone(), version.clone()));
                    }
                    Registration { name, .. } => {
                        unclear.insert(name.clone());
                    }
                },
                Declared::Removed { .. } | Declared::Kept { .. } => {}
            }
        }
        for record in self.catalog.all() {
            let key = &record.key;
            if record.origin == Origin::Request || wanted.contains(key) || unclear.contains(&key.name) {
                continue;
            }
            outcomes.push(match self.deregister(key, Origin::Configuration).await {
                Ok(()) => Declared::Removed { plugin: key.clone() },
                Err(reason) => Declared::Kept { plugin: key.clone(), reason },
            });
        }
        outcomes
    }

    async fn declare_one(&self, index: usize, registration: Registration) -> Declared {
        if let Some(record) = self.catalog.all().iter().find(|record| is_the_same(record, &registration)) {
            return Declared::Unchanged(self.plugin_info(record));
        }
        match self.register_from(registration, Origin::Configuration).await {
            Ok(plugin) => Declared::Registered(plugin),
            Err(reason) => Declared::Refused { index, reason },
        }
    }
}

/// Returns whether an entry is what a declaration would put there. A declaration that leaves something to the plugin
/// takes what that said.
fn is_the_same(record: &PluginRecord, registration: &Registration) -> bool {
    let Registration { kind, name, version, launch, instances, instance_limits } = registration;
    record.origin == Origin::Configuration
        && kind.is_none_or(|kind| kind == record.key.kind)
        && *name == record.key.name
        && version.as_ref().is_none_or(|version| record.key.version.as_ref() == Some(version))
        && *launch == record.launch
        && *instances == record.instances
        && *instance_limits == record.instance_limits
}
