//! Which handler answers which path, and what it takes.
//!
//! A [`Routes`] is built in `setup` and asked in `handle`. From the same declarations it checks and converts fields,
//! answers `path-help`, and writes the OpenAPI document, so those cannot drift from what the plugin does.

mod call;
#[cfg(feature = "async")]
mod concurrent;
mod field;
mod help;
mod openapi;
mod pattern;
mod route;

use serde_json::{Map, Value};

use crate::{Context, Error, Existence, Operation, Plugin, Request, Response};
use mode::{Mode, Plain};
use pattern::Captures;

pub use call::Call;
#[cfg(feature = "async")]
pub use concurrent::{AsyncRoute, AsyncRoutes};
pub use field::Field;
pub use route::Route;

/// A function that answers a request on a route; usually a method of the plugin.
pub(crate) type Handler<P> = fn(&P, &Context, &Call) -> Result<Response, Error>;

/// A function that says whether what a request names exists.
pub(crate) type ExistenceCheck<P> = fn(&P, &Context, &Call) -> Result<Existence, Error>;

mod mode {
    /// What handlers are: functions that return when they are done, or ones that are waited for. Only the SDK
    /// implements it.
    pub trait Mode<P> {
        /// Answers a request on a route.
        type Handler;
        /// Says whether what a request names exists.
        type Check;
    }

    /// Handlers return when they are done.
    pub struct Plain;

    impl<P> Mode<P> for Plain {
        type Handler = super::Handler<P>;
        type Check = super::ExistenceCheck<P>;
    }
}

/// A plugin's routes, in order: the first whose pattern matches a path answers for it.
///
/// So put `roles/default` before `roles/{name}`. Operations don't take part in the choice: a path whose first match
/// lacks the operation is [`Error::UnsupportedOperation`], and a path without a match [`Error::UnsupportedPath`].
pub struct Routes<P, M: Mode<P> = Plain> {
    routes: Vec<Route<P, M>>,
    pathless: Vec<(Operation, M::Handler)>,
}

impl<P, M: Mode<P>> Default for Routes<P, M> {
    fn default() -> Self {
        Self { routes: Vec::new(), pathless: Vec::new() }
    }
}

/// What a request calls for.
enum Target<'a, P, M: Mode<P>> {
    /// An answer that needs no handler.
    Answer(Box<Response>),
    /// The handler of an operation that has no path.
    Pathless(&'a M::Handler),
    /// A route's handler, and its input.
    Routed(&'a M::Handler, route::Input),
}

impl<P, M: Mode<P>> Routes<P, M> {
    /// Adds a route behind those that are there.
    pub fn route(mut self, route: Route<P, M>) -> Self {
        self.routes.push(route);
        self
    }

    /// Writes an OpenAPI 3.0.2 document of all routes, for [`Description::openapi`](crate::Description::openapi).
    pub fn openapi(&self) -> Value {
        openapi::document(self.routes.iter())
    }

    /// Finds what answers a request; `about` is the plugin's own help.
    fn target(&self, request: &Request, about: impl FnOnce() -> String) -> Result<Target<'_, P, M>, Error> {
        if request.operation == Operation::Help {
            return self.help(request, about).map(|help| Target::Answer(Box::new(help)));
        }
        if let Some((_, handler)) = self.pathless.iter().find(|(operation, _)| *operation == request.operation) {
            return Ok(Target::Pathless(handler));
        }
        if request.operation == Operation::Rollback {
            return Err(Error::UnsupportedOperation);
        }
        let (route, captures) = self.find(&request.path)?;
        let handler = route.handler(request.operation).ok_or(Error::UnsupportedOperation)?;
        Ok(Target::Routed(handler, route.input(request, &captures)?))
    }

    /// Finds the check that says whether what a request names exists, if there is one.
    fn check(&self, request: &Request) -> Result<Option<(&M::Check, route::Input)>, Error> {
        let Ok((route, captures)) = self.find(&request.path) else { return Ok(None) };
        let Some(check) = route.existence_check() else { return Ok(None) };
        Ok(Some((check, route.input(request, &captures)?)))
    }

    fn help(&self, request: &Request, about: impl FnOnce() -> String) -> Result<Response, Error> {
        if request.path.is_empty() {
            return Response::json(&help::of_plugin(&about(), &self.routes));
        }
        let (route, _) = self.find(&request.path)?;
        Response::json(&help::of_route(&request.path, route))
    }

    fn find(&self, path: &str) -> Result<(&Route<P, M>, Captures), Error> {
        let mut matches = self.routes.iter().filter_map(|route| Some((route, route.pattern.matches(path)?)));
        matches.next().ok_or(Error::UnsupportedPath)
    }

    fn anywhere(mut self, operation: Operation, handler: M::Handler) -> Self {
        self.pathless.push((operation, handler));
        self
    }
}

/// Adds what the client should know to an answer. As in Vault, an answer without a body stays a plain 204.
fn with_warnings(mut response: Response, warnings: Vec<String>) -> Response {
    if response != Response::none() {
        response.warnings.extend(warnings);
    }
    response
}

impl<P: Plugin> Routes<P> {
    /// Makes an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers renewals of this plugin's leases, whatever path gave them out. The call has no fields; what was stored
    /// in the lease is in [`Request::lease`].
    pub fn renew(self, handler: Handler<P>) -> Self {
        self.anywhere(Operation::Renew, handler)
    }

    /// Answers revocations of this plugin's leases, as [`renew`](Self::renew) does renewals.
    pub fn revoke(self, handler: Handler<P>) -> Self {
        self.anywhere(Operation::Revoke, handler)
    }

    /// Undoes, once a minute, what was left half done.
    pub fn rollback(self, handler: Handler<P>) -> Self {
        self.anywhere(Operation::Rollback, handler)
    }

    /// Answers a request: finds its route, checks and converts its fields, and calls the handler.
    pub fn handle(&self, plugin: &P, ctx: &Context, request: &Request) -> Result<Response, Error> {
        match self.target(request, || P::describe().help)? {
            Target::Answer(response) => Ok(*response),
            Target::Pathless(handler) => handler(plugin, ctx, &Call::new(request, Map::new())),
            Target::Routed(handler, input) => {
                let response = handler(plugin, ctx, &Call::new(request, input.fields))?;
                Ok(with_warnings(response, input.warnings))
            }
        }
    }

    /// Answers [`Plugin::exists`]: what the route's own check says, or unknown.
    pub fn exists(&self, plugin: &P, ctx: &Context, request: &Request) -> Result<Existence, Error> {
        match self.check(request)? {
            Some((check, input)) => check(plugin, ctx, &Call::new(request, input.fields)),
            None => Ok(Existence::Unknown),
        }
    }
}

#[cfg(test)]
mod tests;
