//! The same routes for plugins whose handlers are `async`.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::Map;

use super::mode::Mode;
use super::{Call, Route, Routes, Target, with_warnings};
use crate::{AsyncContext, AsyncPlugin, Error, Existence, Operation, Request, Response};

/// Handlers are waited for.
pub struct Awaited;

impl<P: 'static> Mode<P> for Awaited {
    type Handler = Arc<dyn AsyncHandler<P, Response>>;
    type Check = Arc<dyn AsyncHandler<P, Existence>>;
}

/// A [`Route`] of an [`AsyncPlugin`]: made with [`at`](AsyncRoute::at), and with `async` handlers.
pub type AsyncRoute<P> = Route<P, Awaited>;

/// The [`Routes`] of an [`AsyncPlugin`], to begin with [`of`](AsyncRoutes::of).
pub type AsyncRoutes<P> = Routes<P, Awaited>;

/// An `async` function of plugin, context and call, usually a method of the plugin.
pub trait AsyncHandler<P, T>: Send + Sync {
    /// Calls it.
    fn call<'a>(
        &'a self,
        plugin: &'a P,
        ctx: &'a AsyncContext<'_>,
        call: &'a Call<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;
}

impl<P, T, F> AsyncHandler<P, T> for F
where
    F: Send + Sync + AsyncFn(&P, &AsyncContext<'_>, &Call<'_>) -> Result<T, Error>,
{
    fn call<'a>(
        &'a self,
        plugin: &'a P,
        ctx: &'a AsyncContext<'_>,
        call: &'a Call<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>> {
        Box::pin(self(plugin, ctx, call))
    }
}

impl<P: 'static> Route<P, Awaited> {
    /// Makes a route for the paths that fit `pattern`, as [`Route::new`] does.
    ///
    /// # Panics
    ///
    /// If the pattern is malformed, which is a mistake in the plugin's source that its first test shows.
    pub fn at(pattern: &str) -> Self {
        Self::empty(pattern)
    }

    /// Answers reads.
    pub fn read(self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.on(Operation::Read, handler)
    }

    /// Answers writes, to what exists and to what does not.
    pub fn write(mut self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        let handler: Arc<dyn AsyncHandler<P, Response>> = Arc::new(handler);
        self.set(Operation::Create, Arc::clone(&handler));
        self.set(Operation::Update, handler);
        self
    }

    /// Answers merge patches.
    pub fn patch(self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.on(Operation::Patch, handler)
    }

    /// Answers deletions.
    pub fn delete(self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.on(Operation::Delete, handler)
    }

    /// Answers lists.
    pub fn list(self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.on(Operation::List, handler)
    }

    /// Answers any other operation. A second handler for the same one replaces the first.
    pub fn on(mut self, operation: Operation, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.set(operation, Arc::new(handler));
        self
    }

    /// Tells creates from updates.
    pub fn exists(mut self, check: impl AsyncHandler<P, Existence> + 'static) -> Self {
        self.set_check(Arc::new(check));
        self
    }
}

impl<P: AsyncPlugin> Routes<P, Awaited> {
    /// Makes a table of these routes.
    pub fn of(routes: impl IntoIterator<Item = AsyncRoute<P>>) -> Self {
        routes.into_iter().fold(Self::default(), Self::route)
    }

    /// Answers renewals of this plugin's leases, whatever path gave them out. The call has no fields; what was stored
    /// in the lease is in [`Request::lease`].
    pub fn renew(self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.anywhere(Operation::Renew, Arc::new(handler))
    }

    /// Answers revocations of this plugin's leases, as [`renew`](Self::renew) does renewals.
    pub fn revoke(self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.anywhere(Operation::Revoke, Arc::new(handler))
    }

    /// Undoes, once a minute, what was left half done.
    pub fn rollback(self, handler: impl AsyncHandler<P, Response> + 'static) -> Self {
        self.anywhere(Operation::Rollback, Arc::new(handler))
    }

    /// Answers a request: finds its route, checks and converts its fields, and calls the handler.
    pub async fn handle(&self, plugin: &P, ctx: &AsyncContext<'_>, request: &Request) -> Result<Response, Error> {
        match self.target(request, || P::describe().help)? {
            Target::Answer(response) => Ok(*response),
            Target::Pathless(handler) => handler.call(plugin, ctx, &Call::new(request, Map::new())).await,
            Target::Routed(handler, input) => {
                let response = handler.call(plugin, ctx, &Call::new(request, input.fields)).await?;
                Ok(with_warnings(response, input.warnings))
            }
        }
    }

    /// Answers [`AsyncPlugin::exists`]: what the route's own check says, or unknown.
    pub async fn exists(&self, plugin: &P, ctx: &AsyncContext<'_>, request: &Request) -> Result<Existence, Error> {
        match self.check(request)? {
            Some((check, input)) => check.call(plugin, ctx, &Call::new(request, input.fields)).await,
            None => Ok(Existence::Unknown),
        }
    }
}
