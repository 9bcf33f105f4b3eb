//! HTTP/2 written by hand: as much of it as it takes to ask, to give up, and to see an answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::program::DEADLINE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The reason of a client that gives a request up.
const CANCEL: u32 = 8;

/// A connection that speaks HTTP/2 without having been asked, in the clear.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    host: String,
    token: String,
}

impl Connection {
    /// Connects, and says what it speaks.
    pub(crate) fn open(address: &str, token: &str) -> Self {
        let host = address.strip_prefix("http://").unwrap();
        Self::try_on(TcpStream::connect(host).unwrap(), host, token).expect("the server listens")
    }

    /// Says on a connection to this host and port what it speaks. `None` if the server hangs up.
    pub(crate) fn try_on(mut stream: TcpStream, host: &str, token: &str) -> Option<Self> {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").ok()?;
        let mut connection = Self { stream, host: host.to_owned(), token: token.to_owned() };
        connection.try_send(SETTINGS, 0, 0, &[]).then_some(connection)
    }

    /// Reads a path below `/v1/` in a stream of this number, which is odd and greater than those before.
    pub(crate) fn begin(&mut self, stream: u32, path: &str) {
        assert!(self.try_begin(stream, path), "the server hung up");
    }

    /// As [`Connection::begin`]. Returns whether the server listens.
    pub(crate) fn try_begin(&mut self, stream: u32, path: &str) -> bool {
        let block = self.head(0x82, path);
        self.try_send(HEADERS, END_STREAM | END_HEADERS, stream, &block)
    }

    /// Returns the head of a request. The method and http are in the static table; the rest is literal, and none is
    /// long.
    pub(crate) fn head(&self, method: u8, path: &str) -> Vec<u8> {
        let mut block = vec![method, 0x86];
        let text = |block: &mut Vec<u8>, text: &str| {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 0x7f).expect("a short text"));
            block.extend(text.as_bytes());
        };
        block.push(0x04);
        text(&mut block, &format!("/v1/{path}"));
        block.push(0x01);
        text(&mut block, &self.host);
        if !self.token.is_empty() {
            block.push(0x00);
            text(&mut block, "x-vault-token");
            text(&mut block, &self.token);
        }
        block
    }

    /// Gives a request up.
    pub(crate) fn cancel(&mut self, stream: u32) {
        assert!(self.try_cancel(stream), "the server hung up");
    }

    /// As [`Connection::cancel`]. Returns whether the server listens.
    pub(crate) fn try_cancel(&mut self, stream: u32) -> bool {
        self.try_send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
    }

    /// Waits for the whole body of an answer.
    pub(crate) fn body(&mut self, stream: u32) -> String {
        let mut body = Vec::new();
        loop {
            let (kind, flags, of, payload) = self.receive();
            assert_ne!(kind, GOAWAY, "the server ends the connection");
            if of != stream {
                continue;
            }
            assert_ne!(kind, RST_STREAM, "the server gives the request up");
            if kind == DATA {
                body.extend(payload);
            }
            if flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) {
                return String::from_utf8(body).unwrap();
            }
        }
    }

    /// Sends a frame, and returns whether the server listens.
    pub(crate) fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[head.as_slice(), payload].concat()).is_ok()
    }

    fn receive(&mut self) -> (u8, u8, u32, Vec<u8>) {
        self.try_receive().expect("the server answers")
    }

    /// Returns the next frame. `None` if none comes in time, or the server hangs up.
    pub(crate) fn try_receive(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }
}
