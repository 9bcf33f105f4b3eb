//! HTTP/2 written by hand: as much of it as it takes to ask, to give up, and to see an answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::program::DEADLINE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The reason of a client that gives a request up.
const CANCEL: u32 = 8;

/// Which of a connection's settings says what may be sent in a new stream.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What may be sent in a stream, and in all of them, before anything is said of it.
const WINDOW: usize = 65_535;

/// The most that one frame may hold before anything is said of it.
const FRAME: usize = 16_384;

/// A connection that speaks HTTP/2 without having been asked, in the clear.
pub(crate) struct Connection {
    stream: TcpStream,
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

    /// Begins to post something that has not come yet.
    pub(crate) fn begin_post(&mut self, stream: u32, path: &str) {
        let block = self.head(0x83, path);
        assert!(self.try_send(HEADERS, END_HEADERS, stream, &block), "the server hung up");
    }

    /// Returns the head of a request. The method and http are in the static table; the rest is literal, and none is long.
    fn head(&self, method: u8, path: &str) -> Vec<u8> {
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

    /// Sends so many spaces in each of these streams, as fast as the server takes them, in turn. Returns when all is sent, or when the
    /// server said nothing for this long, or hung up.
    pub(crate) fn flood(&mut self, streams: &[u32], bytes: usize, patience: Duration) {
        let (mut all, mut window, mut initial) = (WINDOW, vec![WINDOW; streams.len()], WINDOW);
        let mut left = vec![bytes; streams.len()];
        self.stream.set_read_timeout(Some(patience)).unwrap();
        self.stream.set_write_timeout(Some(patience)).unwrap();
        loop {
            for at in 0..streams.len() {
                let size = FRAME.min(all).min(window[at]).min(left[at]);
                if size == 0 {
                    continue;
                }
                if !self.try_send(DATA, 0, streams[at], &vec![b' '; size]) {
                    return;
                }
                (all, window[at], left[at]) = (all - size, window[at] - size, left[at] - size);
            }
            let may_send = |at: usize| all > 0 && window[at] > 0 && left[at] > 0;
            if (0..streams.len()).any(may_send) {
                continue;
            }
            if left.iter().all(|left| *left == 0) {
                return;
            }
            let Some((kind, flags, of, payload)) = self.try_receive() else { return };
            let at = streams.iter().position(|stream| *stream == of);
            match (kind, at) {
                (WINDOW_UPDATE, None) => all += number(&payload),
                (WINDOW_UPDATE, Some(at)) => window[at] += number(&payload),
                (SETTINGS, _) if flags == 0 => {
                    for setting in payload.chunks_exact(6) {
                        if u16::from_be_bytes([setting[0], setting[1]]) == INITIAL_WINDOW_SIZE {
                            let now = number(&setting[2..]);
                            window.iter_mut().for_each(|window| *window = *window + now - initial);
                            initial = now;
                        }
                    }
                }
                (GOAWAY, _) => return,
                // It wants no more of this one, or has answered it already.
                (RST_STREAM | HEADERS, Some(at)) => left[at] = 0,
                _ => {}
            }
        }
    }

    /// Gives a request up.
    pub(crate) fn cancel(&mut self, stream: u32) {
        self.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
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

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        assert!(self.try_send(kind, flags, stream, payload), "the server hung up");
    }

    fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[head.as_slice(), payload].concat()).is_ok()
    }

    fn receive(&mut self) -> (u8, u8, u32, Vec<u8>) {
        self.try_receive().expect("the server answers")
    }

    /// Returns the next frame. `None` if none comes in time, or the server hangs up.
    fn try_receive(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }
}

/// Returns the number in four bytes.
fn number(bytes: &[u8]) -> usize {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}
