//! Plugins that are built into the host: the same SDK and the same contract as in the sandbox, with nothing around
//! them.
//!
//! A plugin's code blocks, so each call has a thread of tokio's blocking pool, and there is a bound on how many calls
//! run at a time. A thread cannot be stopped: a call that runs out of time, or that nobody waits for any more, is **cut
//! off** from its mount's storage at once and for good. Its thread and its place among the calls stay taken until the
//! plugin returns; if that is not soon, its instance is given up, and the next request gets another.

mod convert;
mod instance;
mod line;
mod view;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_sdk::embed::Embedded;
use tokio::sync::Semaphore;

use self::instance::BuiltinInstance;
use crate::ident::{PluginKind, PluginName};
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::plugin::PluginKey;
use crate::runtime::{Description, Failure, Grants, Instance, Launch, LoadError, Program};

/// Calls that one instance serves at a time: as many as keep some cores busy while others wait for storage, and few
/// enough that the mounts of a busy plugin leave places to others.
const CALLS_PER_INSTANCE: NonZeroU32 = NonZeroU32::new(16).expect("it is not zero");

/// What a built-in plugin could use.
pub(crate) const CAPABILITIES: &str = "everything that the server may do (built in, not sandboxed)";

/// The plugins that this host has built in.
pub(crate) struct BuiltinRuntime {
    plugins: BTreeMap<(PluginKind, PluginName), Builtin>,
    shared: Arc<Shared>,
}

/// A plugin, and what it says of itself.
struct Builtin {
    plugin: Embedded,
    description: Description,
}

/// What all instances share.
struct Shared {
    /// One for each call under way.
    places: Arc<Semaphore>,
    calls_max: u32,
    /// How long a call that is given up may take to return before its instance is given up as well.
    grace: Duration,
    /// Longest log line, in bytes.
    line_bytes_max: usize,
}

impl BuiltinRuntime {
    /// Asks the plugins what they are. One that names no version has the host's. An error names the plugin.
    pub(crate) fn new(plugins: Vec<(PluginName, Embedded)>, limits: &Limits) -> Result<Self, LoadError> {
        let calls_max = limits.builtin_calls_max.max(1);
        let places = usize::try_from(calls_max).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            places: Arc::new(Semaphore::new(places)),
            calls_max,
            grace: limits.cancel_grace,
            line_bytes_max: limits.log_line_bytes_max,
        };
        let mut known = BTreeMap::new();
        for (name, plugin) in plugins {
            let description = convert::description(plugin.describe())
                .map_err(|why| LoadError::Unfit(format!("the built-in plugin {name}: {why}")))?;
            let kind = description.kind;
            if known.insert((kind, name.clone()), Builtin { plugin, description }).is_some() {
                return Err(LoadError::Unfit(format!("two {kind} plugins by the name of {name} are built in")));
            }
        }
        Ok(Self { plugins: known, shared: Arc::new(shared) })
    }

    /// Returns the key of each plugin, by type and name.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = PluginKey> {
        let key = |((kind, name), builtin): (&(PluginKind, PluginName), &Builtin)| {
            PluginKey::new(*kind, name.clone(), builtin.description.version.clone())
        };
        self.plugins.iter().map(key)
    }

    /// Returns the program of a plugin.
    pub(crate) fn load(&self, kind: PluginKind, launch: &Launch) -> Result<Arc<dyn Program>, LoadError> {
        let absent = || LoadError::Unfit(format!("no {kind} plugin by the name of {} is built in", launch.name));
        let Builtin { plugin, description } = self.plugins.get(&(kind, launch.name.clone())).ok_or_else(absent)?;
        Ok(Arc::new(BuiltinProgram {
            plugin: *plugin,
            description: description.clone(),
            capabilities: vec![CAPABILITIES.to_owned()],
            meter: Arc::clone(&launch.meter),
            shared: Arc::clone(&self.shared),
        }))
    }
}

/// A built-in plugin.
struct BuiltinProgram {
    plugin: Embedded,
    description: Description,
    capabilities: Vec<String>,
    meter: Arc<PluginMeter>,
    shared: Arc<Shared>,
}

/// Its instances are caches as those in the sandbox are, and come and go like them.
#[async_trait]
impl Program for BuiltinProgram {
    fn description(&self) -> &Description {
        &self.description
    }

    fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    fn imports(&self) -> &[String] {
        &[]
    }

    fn meter(&self) -> &Arc<PluginMeter> {
        &self.meter
    }

    fn concurrency(&self) -> NonZeroU32 {
        CALLS_PER_INSTANCE
    }

    async fn instantiate(&self, _: &Grants) -> Result<Arc<dyn Instance>, Failure> {
        Ok(Arc::new(BuiltinInstance::new(self.plugin.backend(), Arc::clone(&self.shared))))
    }
}
