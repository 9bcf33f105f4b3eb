//! What a listener listens on: a port, or a socket in the file system.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use tokio::net::{TcpStream, UnixStream};

/// What a listener listens on.
#[derive(Debug)]
pub enum ListenerSocket {
    /// A port.
    Tcp(TcpListener),
    /// A socket in the file system. Who connects there has no address: all of them share what one address is granted.
    Unix(UnixListener),
}

impl From<TcpListener> for ListenerSocket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for ListenerSocket {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Where it is: an address with its port, or a path. Empty if the system doesn't say.
impl fmt::Display for ListenerSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or(Ok(()), |address| address.fmt(f)),
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or(Ok(()), |path| path.display().fmt(f))
            }
        }
    }
}

/// A listener's socket in use.
pub(super) enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

/// Who was accepted.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Accepting {
    pub(super) fn listen(socket: ListenerSocket) -> io::Result<Self> {
        match socket {
            ListenerSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener).map(Self::Tcp)
            }
            ListenerSocket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, client)| Accepted::Tcp(stream, client)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}
