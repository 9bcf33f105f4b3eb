//! Serves the API on listeners until it is told to stop, and then lets requests in flight finish, for a while.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use tokio::task::JoinSet;

use super::service::Connections;
use super::{Api, CertificateStore, Door, ListenerLimits, ServerInfo};
use crate::host::Host;

/// How long a new connection may take to its first request, unless its listener grants less: until then nothing else watches it.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Requests at a time in one HTTP/2 connection. Each holds its body in memory.
const HTTP2_STREAMS_MAX: u32 = 100;

/// Where to serve.
pub struct Listener {
    /// Already bound, so that a port that is taken shows before anything starts.
    pub tcp: TcpListener,
    /// How to speak TLS; `None` for plain HTTP. [`TlsSettings::load`](super::TlsSettings::load) makes one.
    pub tls: Option<CertificateStore>,
    /// What its clients are granted at most.
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
/// If one listener fails, the others are shut down in the same way; without listeners there is nothing to wait for. The host
/// keeps running: shutting it down is the next step of whoever made it.
pub async fn serve(
    host: Host,
    listeners: Vec<Listener>,
    info: ServerInfo,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let drain_deadline = host.limits().drain_deadline;
    let api = Api::new(host, info);
    let handle = Handle::new();
    let mut servers = JoinSet::new();
    for listener in listeners {
        let door = Door { api: Arc::clone(&api), limits: listener.limits };
        servers.spawn(run(listener, Connections::to(door), handle.clone()));
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

async fn run(listener: Listener, service: Connections, handle: Handle<SocketAddr>) -> Result<(), ServeError> {
    let address = listener.tcp.local_addr().map_or_else(|_| "a listener".to_owned(), |address| address.to_string());
    let limits = listener.limits;
    let served = match (axum_server::from_tcp(listener.tcp), listener.tls) {
        (Ok(server), None) => configured(server.acceptor(NoDelayAcceptor::new()), limits, handle).serve(service).await,
        (Ok(server), Some(tls)) => {
            let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls.config())).acceptor(NoDelayAcceptor::new());
            configured(server.acceptor(tls), limits, handle).serve(service).await
        }
        (Err(error), _) => Err(error),
    };
    served.map_err(|source| ServeError::Listener { address, source })
}

fn configured<A>(
    mut server: Server<SocketAddr, A>,
    limits: ListenerLimits,
    handle: Handle<SocketAddr>,
) -> Server<SocketAddr, A> {
    let http = server.http_builder();
    http.http1().keep_alive(true).header_read_timeout(Some(limits.header_deadline));
    http.http2().max_concurrent_streams(Some(HTTP2_STREAMS_MAX));
    server
        .handle(handle)
        .first_request_timeout(FIRST_REQUEST_DEADLINE.min(limits.header_deadline))
        .accept_error_handler(|_, error| tracing::warn!(%error, "failed to accept a connection"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    fn listener(limits: ListenerLimits) -> (SocketAddr, Listener) {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        (tcp.local_addr().unwrap(), Listener { tcp, tls: None, limits })
    }

    /// Sends some bytes and returns all that comes until the server closes the connection.
    async fn exchange(address: SocketAddr, sent: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).await.unwrap();
        received
    }

    #[tokio::test]
    async fn every_listener_has_limits_of_its_own() {
        let limits = ListenerLimits::default();
        let (wide_address, wide) = listener(limits);
        let (narrow_address, narrow) = listener(ListenerLimits { request_body_bytes_max: 8, ..limits });
        let (hasty_address, hasty) = listener(ListenerLimits { header_deadline: Duration::from_millis(20), ..limits });
        let host = Host::builder().root_token("root").build().await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap() };
        let serving = tokio::spawn(serve(host, vec![wide, narrow, hasty], ServerInfo::default(), shutdown));

        let post = "POST /v1/sys/mounts/a HTTP/1.1\r\nhost: h\r\nx-vault-token: root\r\nconnection: close\r\n\
                    content-length: 9\r\n\r\n{\"a\":\"b\"}";
        let refused = exchange(wide_address, post).await;
        assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("type must be specified"), "{refused}");
        let refused = exchange(narrow_address, post).await;
        assert!(refused.starts_with("HTTP/1.1 413 ") && refused.contains("8 bytes at most"), "{refused}");

        let answered = exchange(hasty_address, "GET /v1/sys/health HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
        for unfinished in ["", "GET /v1/sys/health HTTP/1.1\r\nhost: "] {
            assert_eq!(exchange(hasty_address, unfinished).await, "", "{unfinished:?}");
        }
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }
}
