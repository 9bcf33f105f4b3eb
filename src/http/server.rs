//! Serves the API on listeners until it is told to stop, and then lets requests in flight finish, for a while.
//!
//! The accept loop is ours: it decides who gets a place, and whoever has one is watched, whatever protocol is spoken.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Connections, End, Place, Watched};
use super::service::Connection;
use super::socket::{Accepted, Accepting, ListenerSocket};
use super::strangers::Origin;
use super::{Api, CertificateStore, Door, ListenerLimits};
use crate::complaints::Complaints;
use crate::host::Host;

/// How long a new connection may take to its first request, unless its listener grants less: until then nothing else
/// watches it. A TLS handshake is part of that.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// The longest head of an HTTP/1 request, and what is read ahead of a body, in bytes. Longer heads are refused with
/// 431. The largest token and a client's certificate take a few KiB.
const HTTP1_BUFFER_BYTES: usize = 32 << 10;

/// The longest head of an HTTP/2 request, in bytes.
const HTTP2_HEAD_BYTES: u32 = 16 << 10;

/// What waits to be sent in one HTTP/2 stream, in bytes.
const HTTP2_SEND_BYTES: usize = 64 << 10;

/// Requests at a time in one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 100;

/// What a client may send in one HTTP/2 stream before the server has read it, in bytes.
const HTTP2_STREAM_WINDOW: u32 = 64 << 10;

/// What a client may send in one HTTP/2 connection before the server has read it, in bytes: four streams' worth, so
/// that a stream that nobody reads does not stop the others.
const HTTP2_CONNECTION_WINDOW: u32 = 256 << 10;

/// How often an HTTP/2 client is asked whether it is still there.
const HTTP2_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to say so. A round trip takes a second on bad lines.
const HTTP2_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client that is told to go because it is idle may take to do so.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// How long accepting rests after it failed: what it lacks is not there a moment later, and trying takes a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Lines about connections that were not accepted. Whoever connects causes them.
static REFUSALS: Complaints = Complaints::new();

/// Lines about TLS handshakes that failed.
static HANDSHAKES: Complaints = Complaints::new();

/// Where to serve.
pub struct Listener {
    /// Already bound, so that a port that is taken shows before anything starts.
    pub socket: ListenerSocket,
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

/// Serves the API on all listeners until `shutdown` is ready, then stops accepting and waits for requests in flight, at
/// most as long as [`Limits::drain_deadline`](crate::limits::Limits::drain_deadline).
///
/// If one listener fails, the others are shut down in the same way; without listeners there is nothing to wait for. The
/// host keeps running: shutting it down is the next step of whoever made it.
pub async fn serve(host: Host, listeners: Vec<Listener>, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let drain_deadline = host.limits().drain_deadline;
    let served = Served {
        places: Connections::new(host.limits(), getrlimit(Resource::Nofile).current),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let _cut = served.cut.clone().drop_guard();
    let api = Api::new(host);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(run(listener, Arc::clone(&api), served.clone()));
    }
    let failed_early = tokio::select! {
        () = shutdown => Ok(()),
        result = first_failure(&mut accepting) => result,
    };
    served.stop.cancel();
    let failed = failed_early.and(first_failure(&mut accepting).await);
    served.tasks.close();
    // What has not ended by then is cut off.
    let _ = timeout(drain_deadline, served.tasks.wait()).await;
    failed
}

/// What all listeners share.
#[derive(Clone)]
struct Served {
    places: Arc<Connections>,
    tasks: TaskTracker,
    /// No new requests.
    stop: CancellationToken,
    /// No more bytes.
    cut: CancellationToken,
}

/// Waits until every listener has ended, or one has failed.
async fn first_failure(accepting: &mut JoinSet<Result<(), ServeError>>) -> Result<(), ServeError> {
    while let Some(ended) = accepting.join_next().await {
        if let Ok(Err(error)) = ended {
            return Err(error);
        }
    }
    Ok(())
}

async fn run(listener: Listener, api: Arc<Api>, served: Served) -> Result<(), ServeError> {
    let mut address = listener.socket.to_string();
    if address.is_empty() {
        "a listener".clone_into(&mut address);
    }
    let usable = Accepting::listen(listener.socket);
    let socket = usable.map_err(|source| ServeError::Listener { address: address.clone(), source })?;
    let limits = listener.limits;
    let greeter = Greeter {
        door: Arc::new(Door { api, limits }),
        tls: listener.tls.map(|tls| TlsAcceptor::from(tls.config())),
        http: Arc::new(protocols(limits)),
        served: served.clone(),
    };
    let mut reserve = Reserve::take();
    loop {
        let accepted = tokio::select! {
            () = served.stop.cancelled() => return Ok(()),
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(Accepted::Tcp(stream, client)) => {
                // It only makes small answers come later.
                let _ = stream.set_nodelay(true);
                greeter.greet(stream, Some(client));
            }
            Ok(Accepted::Unix(stream)) => greeter.greet(stream, None),
            // The client left before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                complain_of_refusal(&address, &error.to_string());
                if is_out_of_files(&error) {
                    served.places.make_room();
                    reserve.turn_away(&socket).await;
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn complain_of_refusal(address: &str, why: &str) {
    if let Some(left_out) = REFUSALS.admit() {
        tracing::warn!(address, left_out, "failed to accept a connection: {why}");
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// A file that is open for nothing, so that there is one to close when no other can be opened.
struct Reserve(Option<File>);

impl Reserve {
    fn take() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Accepts whoever waits, and hangs up: told at once, a client tries elsewhere or later, and does not wait in vain.
    async fn turn_away(&mut self, socket: &Accepting) {
        if self.0.take().is_some() {
            // There is one that waits, for accepting it failed.
            drop(timeout(ACCEPT_PAUSE, socket.accept()).await);
        }
        *self = Self::take();
    }
}

/// Says how both protocols are spoken.
fn protocols(limits: ListenerLimits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .keep_alive(true)
        .max_buf_size(HTTP1_BUFFER_BYTES)
        .header_read_timeout(Some(limits.header_deadline));
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(Some(HTTP2_STREAMS_MAX))
        .max_header_list_size(HTTP2_HEAD_BYTES)
        .max_send_buf_size(HTTP2_SEND_BYTES)
        .initial_stream_window_size(Some(HTTP2_STREAM_WINDOW))
        .initial_connection_window_size(Some(HTTP2_CONNECTION_WINDOW))
        .keep_alive_interval(Some(HTTP2_KEEP_ALIVE_INTERVAL))
        .keep_alive_timeout(HTTP2_KEEP_ALIVE_TIMEOUT);
    http
}

/// Receives the connections of one listener.
struct Greeter {
    door: Arc<Door>,
    tls: Option<TlsAcceptor>,
    http: Arc<Builder<TokioExecutor>>,
    served: Served,
}

impl Greeter {
    /// Serves a connection in a task of its own, if there is a place for it.
    fn greet<S>(&self, stream: S, client: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(place) = self.served.places.admit(Origin::of(client)) else {
            complain_of_refusal("all listeners", "there are as many as may be, and none is idle");
            return;
        };
        let activity = place.activity.clone();
        let connection = Connection { door: Arc::clone(&self.door), client, activity: activity.clone() };
        let stream = Watched { stream, activity };
        let (tls, http, served) = (self.tls.clone(), Arc::clone(&self.http), self.served.clone());
        let cut = served.cut.clone();
        self.served.tasks.spawn(cut.run_until_cancelled_owned(async move {
            match tls {
                None => converse(stream, &http, connection, &place, &served).await,
                Some(tls) => {
                    if let Some(stream) = handshake(tls, stream, connection.door.limits, &place, &served).await {
                        converse(stream, &http, connection, &place, &served).await;
                    }
                }
            }
        }));
    }
}

/// Agrees on TLS, unless there is a reason to stop before.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    tls: TlsAcceptor,
    stream: S,
    limits: ListenerLimits,
    place: &Place,
    served: &Served,
) -> Option<tokio_rustls::server::TlsStream<S>> {
    let shaken = tokio::select! {
        shaken = tls.accept(stream) => shaken,
        _ = place.activity.over(first_request_deadline(limits), limits.header_deadline) => return None,
        () = place.activity.gone() => return None,
        () = served.stop.cancelled() => return None,
    };
    match shaken {
        Ok(stream) => Some(stream),
        Err(error) => {
            // Who speaks something else on this port is no news, and anybody may.
            if let Some(left_out) = HANDSHAKES.admit() {
                tracing::debug!(%error, left_out, "a TLS handshake failed");
            }
            None
        }
    }
}

fn first_request_deadline(limits: ListenerLimits) -> Duration {
    FIRST_REQUEST_DEADLINE.min(limits.header_deadline)
}

/// Answers the requests of a connection until it ends, or has to.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    http: &Builder<TokioExecutor>,
    service: Connection,
    place: &Place,
    served: &Served,
) {
    let limits = service.door.limits;
    let (first, idle) = (first_request_deadline(limits), limits.header_deadline);
    let mut conversation = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // How it ended is the client's affair.
            _ = conversation.as_mut() => return,
            () = place.activity.gone() => return,
            () = served.stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                conversation.as_mut().graceful_shutdown();
            }
            end = place.activity.over(first, idle) => {
                if end == End::Idle {
                    conversation.as_mut().graceful_shutdown();
                    let _ = timeout(GOODBYE_DEADLINE, conversation).await;
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;
    use crate::system::{ServerInfo, SystemApi};

    fn listener(limits: ListenerLimits) -> (SocketAddr, Listener) {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        (tcp.local_addr().unwrap(), Listener { socket: tcp.into(), tls: None, limits })
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
        let host =
            Host::builder().root_token("root").system(SystemApi::new(ServerInfo::default())).build().await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap() };
        let serving = tokio::spawn(serve(host, vec![wide, narrow, hasty], shutdown));

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
