//! The plugin's value for one mount, and all that it needs from the host.
//!
//! A panic costs a mount its value and nobody else anything. The next call sets up another, as a host does when a
//! component has trapped: what is in memory is a cache, so a host that never learned of the panic can go on with its
//! requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::mount::Mount;
use super::view::{Facts, NativeView};
use crate::view::Access;
use crate::{Context, Error, Plugin};

/// One mount that this process serves.
pub(super) struct Instance<P> {
    mount: Mount,
    /// None before the first call, and after a panic.
    plugin: Mutex<Option<Arc<P>>>,
}

/// Why a call has no result.
pub(super) enum Failure {
    /// The plugin says why.
    Refused(Error),
    /// The plugin's code is wrong. The panic itself is on standard error.
    Panicked,
}

impl<P: Plugin> Instance<P> {
    pub(super) fn new(mount: Mount) -> Self {
        Self { mount, plugin: Mutex::new(None) }
    }

    /// Sets the plugin up, unless it is.
    pub(super) fn start(&self, facts: &Facts) -> Result<(), Failure> {
        self.run(facts, Access::ReadOnly, |_, _| Ok(()))
    }

    /// Runs the plugin. Blocks on all that it does.
    pub(super) fn run<T>(
        &self,
        facts: &Facts,
        access: Access,
        run: impl FnOnce(&P, &Context) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let mut used = None;
        // Nothing of what the closure could leave half done is looked at again.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let plugin = used.insert(self.plugin(facts)?);
            run(plugin, &Context::new(&NativeView { mount: &self.mount, facts, access }))
        }));
        match (outcome, used) {
            (Ok(result), _) => result.map_err(Failure::Refused),
            (Err(_), used) => {
                used.inspect(|plugin| self.forget(plugin));
                Err(Failure::Panicked)
            }
        }
    }

    /// Ends the plugin's service of this mount, if it ever began.
    pub(super) fn clean_up(&self, facts: &Facts) -> Result<(), Failure> {
        let Some(plugin) = self.lock().take() else { return Ok(()) };
        let view = NativeView { mount: &self.mount, facts, access: Access::ReadWrite };
        let cleaned = catch_unwind(AssertUnwindSafe(|| plugin.cleanup(&Context::new(&view))));
        cleaned.map_err(|_| Failure::Panicked)
    }

    fn plugin(&self, facts: &Facts) -> Result<Arc<P>, Error> {
        if let Some(plugin) = self.lock().clone() {
            return Ok(plugin);
        }
        // No lock is held meanwhile. Of several calls that find nothing after a panic, the first to be done decides.
        let view = NativeView { mount: &self.mount, facts, access: Access::ReadOnly };
        let plugin = Arc::new(P::setup(&Context::new(&view))?);
        Ok(Arc::clone(self.lock().get_or_insert(plugin)))
    }

    /// Drops a value that panicked, unless it has been replaced already.
    fn forget(&self, plugin: &Arc<P>) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, plugin)) {
            *current = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<P>>> {
        // No plugin code runs under the lock, and an option is always whole.
        self.plugin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
