//! Serves the API on listeners until it is told to stop, and then lets requests in flight finish, for a while.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use tokio::task::JoinSet;

use super::limits::ListenerLimits;
use super::{Api, ServerInfo};
use crate::host::Host;

/// How long a new connection may take to send anything: until then nothing else watches it.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Requests at a time in one HTTP/2 connection. Each holds its body in memory.
const HTTP2_STREAMS_MAX: u32 = 100;

/// Where to serve.
pub struct Listener {
    /// Already bound, so that a port that is taken shows before anything starts.
    pub tcp: TcpListener,
    /// How to speak TLS; `None` for plain HTTP. [`TlsSettings::load`](super::TlsSettings::load) makes one.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What it grants its clients.
    pub limits: ListenerLimits,
}

/// Why serving ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A listener cannot be used, or stopped accepting.
    #[error("failed to serve on {address}: {source}")]
    Listener {
        /// Its address, or `a listener` if the system doesn't say.
        address: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Serves the API on all listeners until `shutdown` is ready, then stops accepting and waits for requests in flight, at most as
/// long as [`Limits::drain_deadline`](crate::limits::Limits::drain_deadline).
///
/// If one listener fails, the others are shut down in the same way; without listeners there is nothing to wait for. The host keeps running: shutting it down is the next step of
/// whoever made it.
pub async fn serve(
    host: Host,
    listeners: Vec<Listener>,
    info: ServerInfo,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let drain_deadline = host.limits().drain_deadline;
    let handle = Handle::new();
    let mut servers = JoinSet::new();
    let api = Api::new(host, info);
    for listener in listeners {
        let router = api.router(listener.limits);
        servers.spawn(run(listener, router, handle.clone()));
    }
    let failed_early = tokio::select! {
        () = shutdown => Ok(()),
        result = first_failure(&mut servers) => result,
    };
    handle.graceful_shutdown(Some(drain_deadline));
    failed_early.and(first_failure(&mut servers).await)
}

/// Waits until every server has ended, or one has failed.
async fn first_failure(servers: &mut JoinSet<Result<(), ServeError>>) -> Result<(), ServeError> {
    while let Some(ended) = servers.join_next().await {
        if let Ok(Err(error)) = ended {
            return Err(error);
        }
    }
    Ok(())
}

async fn run(listener: Listener, router: Router, handle: Handle<SocketAddr>) -> Result<(), ServeError> {
    let address = listener.tcp.local_addr().map_or_else(|_| "a listener".to_owned(), |address| address.to_string());
    let service = router.into_make_service();
    let head = listener.limits.header_deadline;
    let served = match (axum_server::from_tcp(listener.tcp), listener.tls) {
        (Ok(server), None) => configured(server.acceptor(NoDelayAcceptor::new()), handle, head).serve(service).await,
        (Ok(server), Some(tls)) => {
            let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls)).acceptor(NoDelayAcceptor::new());
            configured(server.acceptor(tls), handle, head).serve(service).await
        }
        (Err(error), _) => Err(error),
    };
    served.map_err(|source| ServeError::Listener { address, source })
}

fn configured<A>(
    mut server: Server<SocketAddr, A>,
    handle: Handle<SocketAddr>,
    header_deadline: Duration,
) -> Server<SocketAddr, A> {
    let http = server.http_builder();
    http.http1().keep_alive(true).header_read_timeout(Some(header_deadline));
    http.http2().max_concurrent_streams(Some(HTTP2_STREAMS_MAX));
    server
        .handle(handle)
        .first_request_timeout(FIRST_REQUEST_DEADLINE)
        .accept_error_handler(|_, error| tracing::warn!(%error, "failed to accept a connection"))
}
