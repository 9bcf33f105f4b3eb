//! Requests written by hand: what no well-behaved client would send must be sendable.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::program::DEADLINE;

/// One request, on a connection of its own.
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Request {
    /// Returns a request for a path below `/v1/`, which is sent as it is.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// Sends a token along.
    pub(crate) fn token(self, token: &str) -> Self {
        if token.is_empty() { self } else { self.header("X-Vault-Token", token) }
    }

    /// Sends a header along.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends a body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the request and reads the whole answer.
    pub(crate) fn send(self, address: &str) -> Answer {
        let host = address.strip_prefix("http://").unwrap();
        let mut stream = connect(host);
        // Who is refused early may not be listened to until the end.
        let _ = self.send_on(&mut stream, host);
        read(stream)
    }

    /// Sends the request on a connection to this host and port.
    pub(crate) fn send_on(self, stream: &mut TcpStream, host: &str) -> std::io::Result<()> {
        let length = self.body.len();
        let whole = self.header("Content-Length", &length.to_string());
        stream.write_all(whole.head(host).as_bytes())?;
        stream.write_all(&whole.body)
    }

    /// Sends the head alone, and returns the connection.
    pub(crate) fn begin(&self, address: &str) -> TcpStream {
        let host = address.strip_prefix("http://").unwrap();
        self.begin_on(connect(host), host)
    }

    /// Sends the head alone on a connection to this host and port, and returns it.
    pub(crate) fn begin_on(&self, mut stream: TcpStream, host: &str) -> TcpStream {
        stream.write_all(self.head(host).as_bytes()).unwrap();
        stream
    }
}

fn connect(host: &str) -> TcpStream {
    let stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

impl Request {
    fn head(&self, host: &str) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} /v1/{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n", self.method, self.path)
    }
}

/// Reads an answer up to the end of the connection.
pub(crate) fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // The server has answered, and does not want the rest of the request.
        Err(error) if error.kind() == ErrorKind::ConnectionReset && !bytes.is_empty() => {}
        Err(error) => panic!("no answer: {error}"),
    }
    Answer::parse(&bytes).unwrap_or_else(|| panic!("not an answer: {:?}", String::from_utf8_lossy(&bytes)))
}

impl Answer {
    /// Reads what a connection brought. `None` if that is no answer.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok())?;
        Some(Self { status, headers: headers.to_lowercase(), body: body.to_owned() })
    }

    /// Returns the body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// Returns the errors of a refusal, which holds nothing else, as one text.
    #[track_caller]
    pub(crate) fn errors(&self) -> String {
        let json = self.json();
        let members: Vec<_> = json.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["errors"], "{self:?}");
        let errors = json["errors"].as_array().expect("a list");
        errors.iter().map(|error| error.as_str().expect("a text")).collect::<Vec<_>>().join("\n")
    }
}
