//! HTTP/2 written by hand: as much of it as it takes to ask, to give up, and to see an answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::program::DEADLINE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The reason of a client that gives a request up.
const CANCEL: u32 = 8;

/// A connection that speaks HTTP/2 without having been asked, in the clear.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    token: String,
}

impl Connection {
    /// Connects, and says what it speaks.
    pub(crate) fn open(address: &str, token: &str) -> Self {
        let host = address.strip_prefix("http://").unwrap().to_owned();
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut connection = Self { stream, host, token: token.to_owned() };
        connection.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        connection.send(SETTINGS, 0, 0, &[]);
        connection
    }

    /// Reads a path below `/v1/` in a stream of this number, which is odd and greater than those before.
    pub(crate) fn begin(&mut self, stream: u32, path: &str) {
        // GET and http are in the static table; the rest is literal, and none is long.
        let mut block = vec![0x82, 0x86];
        let text = |block: &mut Vec<u8>, text: &str| {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 0x7f).expect("a short text"));
            block.extend(text.as_bytes());
        };
        block.push(0x04);
        text(&mut block, &format!("/v1/{path}"));
        block.push(0x01);
        text(&mut block, &self.host);
        block.push(0x00);
        text(&mut block, "x-vault-token");
        text(&mut block, &self.token);
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &block);
    }

    /// Gives a request up.
    pub(crate) fn cancel(&mut self, stream: u32) {
        self.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
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

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[head.as_slice(), payload].concat()).unwrap();
    }

    fn receive(&mut self) -> (u8, u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).unwrap();
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        (kind, flags, u32::from_be_bytes(stream), payload)
    }
}
