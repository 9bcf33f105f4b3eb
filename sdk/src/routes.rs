//! Which handler answers which path, and what it takes.
//!
//! A [`Routes`] is built in `setup` and asked in `handle`. From the same declarations it checks and converts fields, answers
//! `path-help`, and writes the OpenAPI document, so those cannot drift from what the plugin does.

mod call;
mod field;
mod help;
mod openapi;
mod pattern;
mod route;

use serde_json::{Map, Value};

use crate::{Context, Error, Existence, Operation, Plugin, Request, Response};
use pattern::Captures;

pub use call::Call;
pub use field::Field;
pub use route::Route;

/// A function that answers a request on a route; usually a method of the plugin.
pub(crate) type Handler<P> = fn(&P, &Context, &Call) -> Result<Response, Error>;

/// A function that says whether what a request names exists.
pub(crate) type ExistenceCheck<P> = fn(&P, &Context, &Call) -> Result<Existence, Error>;

/// A plugin's routes, in order: the first whose pattern matches a path answers for it.
///
/// So put `roles/default` before `roles/{name}`. Operations don't take part in the choice: a path whose first match lacks the
/// operation is [`Error::UnsupportedOperation`], and a path without a match [`Error::UnsupportedPath`].
pub struct Routes<P> {
    routes: Vec<Route<P>>,
    pathless: Vec<(Operation, Handler<P>)>,
}

impl<P> Default for Routes<P> {
    fn default() -> Self {
        Self { routes: Vec::new(), pathless: Vec::new() }
    }
}

impl<P: Plugin> Routes<P> {
    /// Makes an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route behind those that are there.
    pub fn route(mut self, route: Route<P>) -> Self {
        self.routes.push(route);
        self
    }

    /// Answers renewals of this plugin's leases, whatever path gave them out. The call has no fields; what was stored in
    /// the lease is in [`Request::lease`].
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
        if request.operation == Operation::Help {
            return self.help(request);
        }
        if let Some((_, handler)) = self.pathless.iter().find(|(operation, _)| *operation == request.operation) {
            return handler(plugin, ctx, &Call::new(request, Map::new()));
        }
        if request.operation == Operation::Rollback {
            return Err(Error::UnsupportedOperation);
        }
        let (route, captures) = self.find(&request.path)?;
        let handler = route.handler(request.operation).ok_or(Error::UnsupportedOperation)?;
        let input = route.input(request, &captures)?;
        let mut response = handler(plugin, ctx, &Call::new(request, input.fields))?;
        // As in Vault, an answer without a body stays a plain 204.
        if response != Response::none() {
            response.warnings.extend(input.warnings);
        }
        Ok(response)
    }

    /// Answers [`Plugin::exists`]: what the route's own check says, or unknown.
    pub fn exists(&self, plugin: &P, ctx: &Context, request: &Request) -> Result<Existence, Error> {
        let Ok((route, captures)) = self.find(&request.path) else { return Ok(Existence::Unknown) };
        let Some(check) = route.existence_check() else { return Ok(Existence::Unknown) };
        let input = route.input(request, &captures)?;
        check(plugin, ctx, &Call::new(request, input.fields))
    }

    /// Writes an OpenAPI 3.0.2 document of all routes, for [`Description::openapi`](crate::Description::openapi).
    pub fn openapi(&self) -> Value {
        openapi::document(self.routes.iter())
    }

    fn help(&self, request: &Request) -> Result<Response, Error> {
        if request.path.is_empty() {
            let description = P::describe();
            return Response::json(&help::of_plugin(&description.help, &self.routes));
        }
        let (route, _) = self.find(&request.path)?;
        Response::json(&help::of_route(&request.path, route))
    }

    fn find(&self, path: &str) -> Result<(&Route<P>, Captures), Error> {
        let mut matches = self.routes.iter().filter_map(|route| Some((route, route.pattern.matches(path)?)));
        matches.next().ok_or(Error::UnsupportedPath)
    }

    fn anywhere(mut self, operation: Operation, handler: Handler<P>) -> Self {
        self.pathless.push((operation, handler));
        self
    }
}

#[cfg(test)]
mod tests;
