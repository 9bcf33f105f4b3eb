//! The smallest HTTP client: it sends the same request again and again on connections that stay open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A connection that asks one thing. All its answers must be of the same length, so that it need not look for their
/// end.
pub struct Connection {
    stream: Box<dyn Stream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What bytes go over, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Connection {
    /// Connects, asks once, and keeps the answer to know what comes.
    pub async fn open(address: SocketAddr, tls: Option<&TlsConnector>, path: &str, token: &str) -> Self {
        let tcp = TcpStream::connect(address).await.expect("the server listens");
        tcp.set_nodelay(true).expect("a connection can send at once");
        let mut stream: Box<dyn Stream> = match tls {
            Some(tls) => {
                let name = address.ip().into();
                Box::new(tls.connect(name, tcp).await.expect("the server shows its certificate"))
            }
            None => Box::new(tcp),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nX-Vault-Token: {token}\r\n\r\n").into_bytes();
        stream.write_all(&request).await.expect("the server takes the request");
        stream.flush().await.expect("the server takes the request");
        let mut answer = Vec::new();
        let length = loop {
            assert_ne!(stream.read_buf(&mut answer).await.expect("the server answers"), 0, "the server hung up");
            if let Some(head) = answer.windows(HEAD_END.len()).position(|end| end == HEAD_END) {
                let head = String::from_utf8_lossy(&answer[..head]).to_lowercase();
                let (_, length) = head.split_once("content-length:").expect("the answer says how long it is");
                let length = length.lines().next().and_then(|length| length.trim().parse::<usize>().ok());
                break head.len() + HEAD_END.len() + length.expect("the length is a number");
            }
        };
        let had = answer.len();
        answer.resize(length, 0);
        stream.read_exact(&mut answer[had..]).await.expect("the answer is as long as it says");
        Self { stream, request, answer }
    }

    /// Asks once more.
    pub async fn ask(&mut self) {
        self.stream.write_all(&self.request).await.expect("the server takes the request");
        self.stream.flush().await.expect("the server takes the request");
        self.stream.read_exact(&mut self.answer).await.expect("the server answers");
        assert!(self.answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&self.answer));
    }

    /// Returns the last answer's body.
    pub fn body(&self) -> &[u8] {
        let head = self.answer.windows(HEAD_END.len()).position(|end| end == HEAD_END).expect("there is a head");
        &self.answer[head + HEAD_END.len()..]
    }
}

/// Asks so many times over all connections at once, and returns how long that took.
pub async fn ask_all(connections: &mut [Connection], times: u64) -> Duration {
    let each = times.div_ceil(connections.len() as u64);
    let asked = each * connections.len() as u64;
    let begun = Instant::now();
    futures_util::future::join_all(connections.iter_mut().map(async |connection| {
        for _ in 0..each {
            connection.ask().await;
        }
    }))
    .await;
    begun.elapsed().mul_f64(times as f64 / asked as f64)
}
