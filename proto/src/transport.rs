//! gRPC over Unix sockets, with TLS or, in metadata mode, without.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::Stream;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::tls::Tls;

/// A name for requests over a socket that has none. Go's clients say the same.
const AUTHORITY: &str = "http://localhost";

/// The largest message in either direction: Go's `MaxInt32`.
pub const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// How long a TLS handshake takes at most. Both ends are on one machine; only somebody who does not mean it takes
/// longer.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// TLS handshakes at a time. Beyond that, connections wait in the socket's own queue.
const HANDSHAKES_MAX: usize = 64;

/// Why a connection is hung up on that came beyond those that a listener takes.
const CROWDED: &str = "as many connections as are taken are there already";

/// What can be read and written, whatever it is.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One connection between a host and a plugin, with its place among those that a listener takes.
pub struct Connection(Box<dyn Io>, Option<OwnedSemaphorePermit>);

/// A Unix socket that listens.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    tls: Option<Tls>,
}

/// Connects to a Unix socket.
pub async fn dial(address: &Path, tls: Option<&Tls>) -> io::Result<Connection> {
    let stream = UnixStream::connect(address).await?;
    Ok(match tls {
        None => Connection(Box::new(stream), None),
        Some(tls) => {
            let connector = TlsConnector::from(tls.client.clone());
            Connection(Box::new(connector.connect(tls.name.clone(), stream).await?), None)
        }
    })
}

/// Returns a channel over one connection to a Unix socket. When it ends the channel does: it is never dialled again,
/// since whoever listens there next is somebody else.
pub async fn channel(address: &Path, tls: Option<&Tls>) -> io::Result<Channel> {
    let mut connection = Some(dial(address, tls).await?);
    let connector = service_fn(move |_: Uri| {
        let connection = connection.take().map(TokioIo::new);
        async move { connection.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let endpoint = Endpoint::from_static(AUTHORITY);
    endpoint.connect_with_connector(connector).await.map_err(io::Error::other)
}

impl Listener {
    /// Binds a Unix socket at a path where there is nothing. The path goes with the listener.
    pub fn bind(path: PathBuf, tls: Option<Tls>) -> io::Result<Self> {
        Ok(Self { listener: UnixListener::bind(&path)?, path, tls })
    }

    /// Returns where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the next connection. An error is that connection's; others may follow.
    pub async fn accept(&self) -> io::Result<Connection> {
        let (stream, _) = self.listener.accept().await?;
        secure(stream, self.tls.clone()).await
    }

    /// Returns the connections as a server takes them. TLS handshakes run side by side, so that nobody keeps the others
    /// out; those that fail are passed over.
    pub fn incoming(self) -> Incoming {
        self.incoming_at_most(Semaphore::MAX_PERMITS)
    }

    /// Returns the connections, of which only so many last at a time; what comes beyond them is hung up on.
    pub fn incoming_at_most(self, connections_max: usize) -> Incoming {
        Incoming { listener: self, handshakes: JoinSet::new(), places: Arc::new(Semaphore::new(connections_max)) }
    }
}

/// Connections to a [`Listener`], which goes with it.
pub struct Incoming {
    listener: Listener,
    handshakes: JoinSet<io::Result<Connection>>,
    places: Arc<Semaphore>,
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            while self.handshakes.len() < HANDSHAKES_MAX {
                let Poll::Ready(accepted) = self.listener.listener.poll_accept(cx) else { break };
                let Ok((stream, _)) = accepted else { return Poll::Ready(accepted.err().map(Err)) };
                let (tls, places) = (self.listener.tls.clone(), Arc::clone(&self.places));
                self.handshakes.spawn(async move {
                    let secured = timeout(HANDSHAKE_DEADLINE, secure(stream, tls)).await;
                    let mut connection = secured.unwrap_or_else(|late| Err(late.into()))?;
                    // Only now: whoever does not hold the key takes no place.
                    let place = places.try_acquire_owned().map_err(|_| io::Error::other(CROWDED))?;
                    connection.1 = Some(place);
                    Ok(connection)
                });
            }
            match ready!(self.handshakes.poll_join_next(cx)) {
                Some(Ok(Ok(connection))) => return Poll::Ready(Some(Ok(connection))),
                Some(Ok(Err(error))) => tracing::debug!(%error, "a connection was not made"),
                Some(Err(error)) => tracing::debug!(%error, "a connection was not made"),
                // The listener, asked above, wakes this task with the next one.
                None => return Poll::Pending,
            }
        }
    }
}

async fn secure(stream: UnixStream, tls: Option<Tls>) -> io::Result<Connection> {
    Ok(match tls {
        None => Connection(Box::new(stream), None),
        Some(tls) => Connection(Box::new(TlsAcceptor::from(tls.server).accept(stream).await?), None),
    })
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Should it be gone already, all the better.
        drop(std::fs::remove_file(&self.path));
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
