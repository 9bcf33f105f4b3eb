//! The plugins that ship in the binary, and how built-in plugins come into the catalog.

pub(super) use cofferdam_sdk::embed::Embedded;

use super::{Error, ErrorKind};
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
pub(super) fn records(runtime: &BuiltinRuntime) -> Result<Vec<PluginRecord>, Error> {
    let record = |(kind, name, version): (_, &PluginName, Option<&_>)| {
        let record = PluginRecord::builtin(kind, name.clone(), version.cloned())
            .map_err(|why| Error::new(ErrorKind::Internal, why))?;
        Ok(PluginRecord { capabilities: vec![CAPABILITIES.to_owned()], ..record })
    };
    runtime.plugins().map(record).collect()
}
