//! Vault's HTTP API over a [`Host`]: wire shapes and status codes, and no decisions.
//!
//! * [`router`] — the API as an axum service, for servers that have a listener of their own.
//! * [`serve`] — the API on listeners that are already bound, with or without TLS ([`TlsSettings`]), until it is told
//!   to stop.
//!
//! A request is read whole (`call`), then answered by the host itself if its path is below `sys/` (`system`), else by a
//! mount (`plugin`). Both answer with Vault's envelope (`answer`), or with a `refusal`: the one place where a kind of
//! error becomes a status.
//!
//! One handler takes every request, in place of a route for each: paths are compared once they are decoded, mounts hold
//! slashes anywhere, and `LIST` is no method that a router of routes knows. So [`serve`] does without axum's router
//! (`service`), which keeps the path to a plugin short.
//!
//! Absent on purpose, until tokens of our own exist: tokens for those who log in, response wrapping but for native
//! plugins' certificates, leases that can be renewed, namespaces. Who asks for one of these is told so.

mod answer;
mod bodies;
mod call;
mod connections;
mod fields;
mod limits;
mod login;
mod plugin;
mod refusal;
mod server;
mod service;
mod socket;
mod strangers;
mod system;
mod text;
mod tls;
mod token;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::host::Host;
use crate::ident::RequestPath;
use crate::request::Caller;
use bodies::Bodies;
use call::Call;
use refusal::Refusal;
use strangers::{Strangers, Visit};
use system::{Migrations, Reloads};

pub use crate::json::JsonLimits;
pub use limits::ListenerLimits;
pub use server::{Listener, ServeError, serve};
pub use socket::ListenerSocket;
pub use tls::{CertificateStore, TlsError, TlsSettings, TlsVersion};

/// What the API says of the server it runs in.
#[derive(Debug, Clone, Default)]
pub struct ServerInfo {
    /// The server's version.
    pub version: String,
    /// What it stores its data in, such as `file` or `inmem`.
    pub storage_type: String,
    /// A name for people.
    pub cluster_name: String,
    /// The address by which clients reach this server, such as `https://vault.example:8200`.
    pub api_addr: String,
}

/// Returns Vault's API over a host, granting its clients what the host grants.
///
/// Served with [`Router::into_make_service_with_connect_info`] for [`SocketAddr`], it tells plugins where a request
/// comes from.
pub fn router(host: Host, info: ServerInfo) -> Router {
    let limits = ListenerLimits::from(host.limits());
    let door = Door { api: Api::new(host, info), limits };
    Router::new().fallback(respond).with_state(Arc::new(door))
}

/// What every request is answered from.
struct Api {
    host: Host,
    info: ServerInfo,
    migrations: Migrations,
    reloads: Reloads,
    bodies: Bodies,
    strangers: Arc<Strangers>,
}

/// One listener's way to the API.
struct Door {
    api: Arc<Api>,
    limits: ListenerLimits,
}

impl Api {
    fn new(host: Host, info: ServerInfo) -> Arc<Self> {
        let (bodies, strangers) = (Bodies::new(host.limits()), Strangers::new(host.limits()));
        let (migrations, reloads) = (Migrations::default(), Reloads::default());
        Arc::new(Self { host, info, migrations, reloads, bodies, strangers })
    }
}

async fn respond(State(door): State<Arc<Door>>, request: Request) -> Response {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(client)| *client);
    door.respond(request, client).await
}

impl Door {
    /// Answers a request that came from this address, if it is known. What panics while it is answered ends this
    /// request, and not the others of its connection, which may be many clients' behind a proxy.
    async fn respond(&self, request: Request, client: Option<SocketAddr>) -> Response {
        let answered = AssertUnwindSafe(self.answer(request, client)).catch_unwind().await;
        answered.unwrap_or_else(|_| Err(failed())).unwrap_or_else(Refusal::into_response)
    }

    async fn answer(&self, request: Request, client: Option<SocketAddr>) -> Result<Response, Refusal> {
        let Door { api, limits } = self;
        if let Some(clean) = call::without_empty_segments(request.uri()) {
            return redirect(&clean);
        }
        let (parts, body) = request.into_parts();
        #[cfg(feature = "process")]
        if system::is_unwrapping(&parts) {
            return Box::pin(system::unwrap(api, &parts, body, limits, client)).await;
        }
        let caller = call::caller(&api.host, &parts.headers);
        let mut visit = match caller {
            Caller::Anonymous => self.let_in(&parts.uri, !body.is_end_stream(), client)?,
            Caller::Known(_) => None,
        };
        let call = match Call::read(&parts, body, limits, &api.bodies, visit.as_mut()).await {
            Ok(call) => call,
            Err(refusal) => return Err(self.as_told(refusal, &caller, &parts.uri, visit).await),
        };
        if let Some(visit) = &mut visit {
            visit.wait().await?;
        }
        if token::is_lookup(call.path.as_str()) {
            return token::answer(&api.host, &call, &caller, call::token(&parts.headers));
        }
        if !call::is_system(call.path.as_str()) {
            return plugin::answer(&api.host, call, caller, parts.headers, client, limits.request_deadline).await;
        }
        // In a task of its own: a client that hangs up must not leave a mount half made. And without the deadline of
        // requests: what takes long here is a plugin that compiles or starts, and that has limits of its own.
        let answer = tokio::spawn(system::answer(Arc::clone(api), call, caller)).await;
        answer.unwrap_or_else(|_| Err(failed()))
    }

    /// Refuses, unread, what nobody in particular sends to a path that is not open, and counts it where one may be.
    fn let_in(&self, uri: &Uri, has_body: bool, client: Option<SocketAddr>) -> Result<Option<Visit>, Refusal> {
        let path: RequestPath = call::path_below_v1(uri.path())?.parse()?;
        let host = &self.api.host;
        if call::is_system(path.as_str()) {
            // Nothing that is open below `sys/` takes a body.
            return if has_body { Err(Refusal::denied()) } else { Ok(None) };
        }
        if host.may_be_open(&path) {
            return self.api.strangers.arrive(client).map(Some);
        }
        // Whether there is a mount is nothing that a stranger may learn.
        if has_body || !host.serves(&path) { Err(Refusal::denied()) } else { Ok(None) }
    }

    /// Returns how a request is refused that could not be read. What is wrong with it is nothing for a stranger where
    /// nobody would have read it: it differs from what is said where there is no mount.
    async fn as_told(&self, refusal: Refusal, caller: &Caller, uri: &Uri, visit: Option<Visit>) -> Refusal {
        let path = call::path_below_v1(uri.path()).ok().and_then(|path| path.parse::<RequestPath>().ok());
        let Some(path) = path.filter(|path| matches!(caller, Caller::Anonymous) && !call::is_system(path.as_str()))
        else {
            return refusal;
        };
        let Some(mut visit) = visit else { return Refusal::denied() };
        // To find out may start a plugin.
        if let Err(busy) = visit.wait().await {
            return busy;
        }
        if self.api.host.is_open(&path).await { refusal } else { Refusal::denied() }
    }
}

/// Returns the answer where this program has a bug. The log says which.
fn failed() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to answer this request")
}

/// Sends a client to another path of this server, with the same method and body.
fn redirect(to: &str) -> Result<Response, Refusal> {
    let to = HeaderValue::from_str(to).map_err(|_| Refusal::invalid("the path holds an empty segment"))?;
    let mut response = answer::empty(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}
