//! Vault's HTTP API over a [`Host`]: wire shapes and status codes, and no decisions.
//!
//! * [`router`] — the API as an axum service, for servers that have a listener of their own.
//! * [`serve`] — the API on listeners that are already bound, with or without TLS ([`TlsSettings`]), until it is told to stop.
//!
//! A request is read whole (`call`), then answered by the host itself if its path is below `sys/` (`system`), else by a mount
//! (`plugin`). Both answer with Vault's envelope (`answer`), or with a `refusal`: the one place where a kind of error becomes a
//! status.
//!
//! One handler takes every request, in place of a route for each: paths are compared once they are decoded, mounts hold slashes
//! anywhere, and `LIST` is no method that a router of routes knows. So [`serve`] does without axum's router (`service`), which keeps
//! the path to a plugin short.
//!
//! Absent on purpose, until tokens of our own exist: tokens for those who log in, response wrapping but for native plugins'
//! certificates, leases that can be renewed, namespaces. Who asks for one of these is told so.

mod answer;
mod call;
mod fields;
mod limits;
mod login;
mod plugin;
mod refusal;
mod server;
mod service;
mod system;
mod text;
mod tls;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::host::Host;
use crate::request::Caller;
use call::Call;
use refusal::Refusal;
use system::{Migrations, Reloads};

pub use limits::ListenerLimits;
pub use server::{Listener, ServeError, serve};
pub use tls::{TlsError, TlsSettings, TlsVersion};

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
/// Served with [`Router::into_make_service_with_connect_info`] for [`SocketAddr`], it tells plugins where a request comes from.
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
}

/// One listener's way to the API.
struct Door {
    api: Arc<Api>,
    limits: ListenerLimits,
}

impl Api {
    fn new(host: Host, info: ServerInfo) -> Arc<Self> {
        Arc::new(Self { host, info, migrations: Migrations::default(), reloads: Reloads::default() })
    }
}

async fn respond(State(door): State<Arc<Door>>, request: Request) -> Response {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(client)| *client);
    door.respond(request, client).await
}

impl Door {
    /// Answers a request that came from this address, if it is known.
    async fn respond(&self, request: Request, client: Option<SocketAddr>) -> Response {
        self.answer(request, client).await.unwrap_or_else(Refusal::into_response)
    }

    async fn answer(&self, request: Request, client: Option<SocketAddr>) -> Result<Response, Refusal> {
        let Door { api, limits } = self;
        let (parts, body) = request.into_parts();
        #[cfg(feature = "process")]
        if system::is_unwrapping(&parts) {
            return Box::pin(system::unwrap(&api.host, &parts, body, limits)).await;
        }
        let caller = call::caller(&api.host, &parts.headers)?;
        if matches!(caller, Caller::Anonymous) && !body.is_end_stream() {
            call::refuse_strangers(&parts, &api.host)?;
        }
        let call = Call::read(&parts, body, limits).await?;
        if token::is_lookup(call.path.as_str()) {
            return token::answer(&api.host, &call, &caller, call::token(&parts.headers));
        }
        if !call::is_system(call.path.as_str()) {
            return plugin::answer(&api.host, call, caller, parts.headers, client, limits.request_deadline).await;
        }
        // In a task of its own: a client that hangs up must not leave a mount half made. And without the deadline of requests: what
        // takes long here is a plugin that compiles or starts, and that has limits of its own.
        let answer = tokio::spawn(system::answer(Arc::clone(api), call, caller)).await;
        answer.unwrap_or_else(|_| {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to answer this request"))
        })
    }
}
