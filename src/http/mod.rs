//! Vault's HTTP API over a [`Host`]: wire shapes and status codes, and no decisions.
//!
//! * [`router`] — the API as an axum service, for servers that have a listener of their own.
//! * [`serve`] — the API on listeners that are already bound, with or without TLS ([`TlsSettings`]), until it is told
//!   to stop.
//!
//! A request is read whole (`call`), given to [`Host::handle`] whatever its path is, and the answer worded (`encode`)
//! in Vault's `envelope`, or as a `refusal`: the one place where a kind of error becomes a status. Vault's `sys/` is
//! answered by [`SystemApi`](crate::system::SystemApi), which the host is to be given.
//!
//! One handler takes every request, in place of a route for each: paths are compared once they are decoded, mounts hold
//! slashes anywhere, and `LIST` is no method that a router of routes knows. So [`serve`] does without axum's router
//! (`service`), which keeps the path to a plugin short.
//!
//! Absent on purpose, until tokens of our own exist: tokens for those who log in, response wrapping but for native
//! plugins' certificates, leases that can be renewed, namespaces. Who asks for one of these is told so.

mod bodies;
mod call;
mod connections;
mod encode;
mod envelope;
mod headers;
mod limits;
mod login;
mod refusal;
mod server;
mod service;
mod socket;
mod strangers;
mod text;
mod tls;

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

use crate::host::{Admission, Host};
use crate::ident::RequestPath;
use crate::request::{Caller, ClientToken};
use bodies::Bodies;
use call::Call;
use headers::ClientHeaders;
use refusal::Refusal;
use strangers::{Strangers, Visit};

pub use crate::json::JsonLimits;
pub use limits::ListenerLimits;
pub use server::{Listener, ServeError, serve};
pub use socket::ListenerSocket;
pub use tls::{CertificateStore, TlsError, TlsSettings, TlsVersion};

/// Returns Vault's API over a host, granting its clients what the host grants.
///
/// Served with [`Router::into_make_service_with_connect_info`] for [`SocketAddr`], it tells plugins where a request
/// comes from.
pub fn router(host: Host) -> Router {
    let limits = ListenerLimits::from(host.limits());
    let door = Door { api: Api::new(host), limits };
    Router::new().fallback(respond).with_state(Arc::new(door))
}

/// What every request is answered from.
struct Api {
    host: Host,
    bodies: Bodies,
    strangers: Arc<Strangers>,
}

/// One listener's way to the API.
struct Door {
    api: Arc<Api>,
    limits: ListenerLimits,
}

impl Api {
    fn new(host: Host) -> Arc<Self> {
        let (bodies, strangers) = (Bodies::new(host.limits()), Strangers::new(host.limits()));
        Arc::new(Self { host, bodies, strangers })
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
        let token = call::token(&parts.headers).map(ClientToken::from);
        let caller = call::caller(&api.host, token.as_ref()).await?;
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
        let Call { operation, path, data } = call;
        let known = matches!(caller, Caller::Known(_)).then(|| token.clone()).flatten();
        let request = crate::request::Request {
            token,
            remote_address: client.map(canonical),
            headers: Some(Arc::new(ClientHeaders::of(parts.headers, known, &api.host).await)),
            deadline: Some(limits.request_deadline),
            ..crate::request::Request::new(operation, path).by(caller).with_data(data.bytes.clone())
        };
        let id = request.id.clone();
        encode::response(&id, operation, api.host.handle(request).await?)
    }

    /// Refuses, unread, what nobody in particular sends to a path that is not open, and counts it where one may be.
    fn let_in(&self, uri: &Uri, has_body: bool, client: Option<SocketAddr>) -> Result<Option<Visit>, Refusal> {
        let path: RequestPath = call::path_below_v1(uri.path())?.parse()?;
        let host = &self.api.host;
        match host.admission(&path) {
            Admission::Open => self.api.strangers.arrive(client).map(Some),
            // Whether there is a mount is nothing that a stranger may learn.
            Admission::Closed if has_body || !host.serves(&path) => Err(Refusal::denied()),
            Admission::WithoutBody if has_body => Err(Refusal::denied()),
            Admission::Closed | Admission::WithoutBody => Ok(None),
        }
    }

    /// Returns how a request is refused that could not be read. What is wrong with it is nothing for a stranger where
    /// nobody would have read it: it differs from what is said where there is no mount.
    async fn as_told(&self, refusal: Refusal, caller: &Caller, uri: &Uri, visit: Option<Visit>) -> Refusal {
        let path = call::path_below_v1(uri.path()).ok().and_then(|path| path.parse::<RequestPath>().ok());
        let Some(path) = path.filter(|_| matches!(caller, Caller::Anonymous)) else { return refusal };
        if self.api.host.admission(&path) == Admission::WithoutBody {
            return refusal;
        }
        let Some(mut visit) = visit else { return Refusal::denied() };
        // To find out may start a plugin.
        if let Err(busy) = visit.wait().await {
            return busy;
        }
        if self.api.host.is_open(&path).await { refusal } else { Refusal::denied() }
    }
}

/// Returns a client's address as its own: an IPv4 client of an IPv6 socket comes with another.
fn canonical(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

/// Returns the answer where this program has a bug. The log says which.
fn failed() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to answer this request")
}

/// Sends a client to another path of this server, with the same method and body.
fn redirect(to: &str) -> Result<Response, Refusal> {
    let to = HeaderValue::from_str(to).map_err(|_| Refusal::invalid("the path holds an empty segment"))?;
    let mut response = envelope::empty(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

#[cfg(test)]
mod tests;
