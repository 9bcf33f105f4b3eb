//! The plugin's state for each mount that an instance serves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Context, Error, Existence, Plugin, Request, Response};

/// One plugin value for each mount, keyed by the mount's id; it turns the host's calls into calls of [`Plugin`].
///
/// The lock is never held while the plugin runs, so calls for different mounts, or many for one, do not wait for each
/// other.
pub struct Mounts<P> {
    // A BTreeMap, because a HashMap's random keys would make every component import wasi:random.
    plugins: Mutex<BTreeMap<String, Arc<P>>>,
}

impl<P> Mounts<P> {
    /// Serves no mount yet.
    pub const fn new() -> Self {
        Self { plugins: Mutex::new(BTreeMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<P>>> {
        // No plugin code runs under the lock, and the map is whole after each of its own operations.
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Default for Mounts<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> Mounts<P> {
    pub(crate) fn setup(&self, ctx: &Context) -> Result<(), Error> {
        let plugin = Arc::new(P::setup(ctx)?);
        self.lock().insert(ctx.mount_id(), plugin);
        Ok(())
    }

    pub(crate) fn initialize(&self, ctx: &Context) -> Result<(), Error> {
        self.plugin(ctx)?.initialize(ctx)
    }

    pub(crate) fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        self.plugin(ctx)?.handle(ctx, request)
    }

    pub(crate) fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        self.plugin(ctx)?.exists(ctx, request)
    }

    pub(crate) fn invalidate(&self, ctx: &Context, key: &str) {
        // A mount that was never set up here has nothing cached.
        let plugin = self.lock().get(&ctx.mount_id()).cloned();
        if let Some(plugin) = plugin {
            plugin.invalidate(ctx, key);
        }
    }

    pub(crate) fn cleanup(&self, ctx: &Context) {
        let plugin = self.lock().remove(&ctx.mount_id());
        if let Some(plugin) = plugin {
            plugin.cleanup(ctx);
        }
    }

    fn plugin(&self, ctx: &Context) -> Result<Arc<P>, Error> {
        if let Some(only) = self.only() {
            return Ok(only);
        }
        let id = ctx.mount_id();
        let plugin = self.lock().get(&id).cloned();
        plugin.ok_or_else(|| Error::Internal(format!("mount {id:?} was not set up in this instance")))
    }

    /// Returns the plugin of the only mount that this sandbox is set up for, if there is one: by the contract no other
    /// call comes for a mount before its `setup`, so it is this one's, and to ask the host would be for nothing.
    /// Elsewhere the host is this process, and asking costs nothing.
    fn only(&self) -> Option<Arc<P>> {
        if !cfg!(target_family = "wasm") {
            return None;
        }
        let plugins = self.lock();
        let mut all = plugins.values();
        all.next().filter(|_| all.next().is_none()).cloned()
    }
}
