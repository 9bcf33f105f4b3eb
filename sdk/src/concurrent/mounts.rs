//! The plugin's state for each mount that an instance serves, and the calls that are in flight.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::{AsyncContext, AsyncPlugin, Error, Existence, Request, Response};

/// One plugin value for each mount, keyed by the mount's id; it turns the host's calls into calls of [`AsyncPlugin`],
/// and drops the ones that the host cancels.
///
/// No lock is ever held while the plugin runs.
pub struct AsyncMounts<P> {
    plugins: Mutex<BTreeMap<String, Arc<P>>>,
    calls: Mutex<BTreeMap<u64, InFlight>>,
}

/// A call in flight.
#[derive(Default)]
struct InFlight {
    is_cancelled: bool,
    waker: Option<Waker>,
}

impl<P> AsyncMounts<P> {
    /// Serves no mount yet.
    pub const fn new() -> Self {
        Self { plugins: Mutex::new(BTreeMap::new()), calls: Mutex::new(BTreeMap::new()) }
    }

    fn plugins(&self) -> MutexGuard<'_, BTreeMap<String, Arc<P>>> {
        // No plugin code runs under the lock, and the map is whole after each of its own operations.
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<u64, InFlight>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call end at the next turn of the event loop, if it is still in flight.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only a component's exports call it"))]
    pub(crate) fn cancel(&self, call: u64) {
        let waker = self.calls().get_mut(&call).and_then(|in_flight| {
            in_flight.is_cancelled = true;
            in_flight.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Runs a call until it ends or is cancelled; then it is dropped, with all that it holds.
    async fn run<T>(&self, call: u64, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.calls().insert(call, InFlight::default());
        let _leaving = Leaving { mounts: self, call };
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.calls().get(&call).is_some_and(|in_flight| in_flight.is_cancelled) {
                return Poll::Ready(Err(Error::Unavailable("request was given up".into())));
            }
            let polled = work.as_mut().poll(context);
            if polled.is_pending()
                && let Some(in_flight) = self.calls().get_mut(&call)
            {
                in_flight.waker = Some(context.waker().clone());
            }
            polled
        })
        .await
    }
}

/// Forgets a call when it is over, however it ended.
struct Leaving<'a, P> {
    mounts: &'a AsyncMounts<P>,
    call: u64,
}

impl<P> Drop for Leaving<'_, P> {
    fn drop(&mut self) {
        self.mounts.calls().remove(&self.call);
    }
}

impl<P> Default for AsyncMounts<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: AsyncPlugin> AsyncMounts<P> {
    pub(crate) async fn setup(&self, call: u64, ctx: &AsyncContext<'_>) -> Result<(), Error> {
        let plugin = self.run(call, P::setup(ctx)).await?;
        self.plugins().insert(ctx.mount_id(), Arc::new(plugin));
        Ok(())
    }

    pub(crate) async fn initialize(&self, call: u64, ctx: &AsyncContext<'_>) -> Result<(), Error> {
        let plugin = self.plugin(ctx)?;
        self.run(call, plugin.initialize(ctx)).await
    }

    pub(crate) async fn handle(&self, call: u64, ctx: &AsyncContext<'_>, request: Request) -> Result<Response, Error> {
        let plugin = self.plugin(ctx)?;
        self.run(call, plugin.handle(ctx, request)).await
    }

    pub(crate) async fn exists(&self, call: u64, ctx: &AsyncContext<'_>, request: Request) -> Result<Existence, Error> {
        let plugin = self.plugin(ctx)?;
        self.run(call, plugin.exists(ctx, request)).await
    }

    pub(crate) async fn background(&self, call: u64, ctx: &AsyncContext<'_>) -> Result<(), Error> {
        let plugin = self.plugin(ctx)?;
        self.run(call, plugin.background(ctx)).await
    }

    pub(crate) async fn invalidate(&self, call: u64, ctx: &AsyncContext<'_>, key: &str) {
        // A mount that was never set up here has nothing cached.
        let Ok(plugin) = self.plugin(ctx) else { return };
        let told = self.run(call, async {
            plugin.invalidate(ctx, key).await;
            Ok(())
        });
        // Whoever cancelled it does not ask.
        drop(told.await);
    }

    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only a component's exports call it"))]
    pub(crate) async fn cleanup(&self, call: u64, ctx: &AsyncContext<'_>) {
        let plugin = self.plugins().remove(&ctx.mount_id());
        let Some(plugin) = plugin else { return };
        let cleaned = self.run(call, async {
            plugin.cleanup(ctx).await;
            Ok(())
        });
        drop(cleaned.await);
    }

    fn plugin(&self, ctx: &AsyncContext<'_>) -> Result<Arc<P>, Error> {
        let id = ctx.mount_id();
        let plugin = self.plugins().get(&id).cloned();
        plugin.ok_or_else(|| Error::Internal(format!("mount {id:?} was not set up in this instance")))
    }
}
