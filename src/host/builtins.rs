//! The plugins that ship in the binary, and how built-in plugins come into the catalog.

pub(super) use cofferdam_sdk::embed::Embedded;

use crate::catalog::PluginRecord;
use crate::ident::PluginName;
use crate::runtime::builtin::{BuiltinRuntime, CAPABILITIES};

/// A plugin by the name that it is mounted by.
pub(super) type Builtin = (PluginName, Embedded);

/// Returns the plugins that ship, from the same sources as their components.
pub(super) fn shipped() -> [Builtin; 2] {
    let named = |name: &str| name.parse().expect("the name of a plugin that ships is well formed");
    [(named("kv"), Embedded::of::<kv_plugin::Kv>()), (named("userpass"), Embedded::of::<userpass_plugin::Userpass>())]
}

/// Returns the catalog's entries of what is built in.
pub(super) fn records(runtime: &BuiltinRuntime) -> impl Iterator<Item = PluginRecord> {
    runtime.plugins().map(|key| PluginRecord::builtin(key, vec![CAPABILITIES.to_owned()]))
}
