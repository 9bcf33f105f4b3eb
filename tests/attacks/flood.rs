//! HTTP/2 as no well-behaved client speaks it: bodies in many streams at once, none of which ends.

use std::time::Duration;

use crate::http2::{Connection, DATA, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, SETTINGS};

const WINDOW_UPDATE: u8 = 8;

/// Which of a connection's settings says what may be sent in a new stream.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What may be sent in a stream, and in all of them, before anything is said of it.
const WINDOW: usize = 65_535;

/// The most that one frame may hold before anything is said of it.
const FRAME: usize = 16_384;

impl Connection {
    /// Begins to post something that has not come yet.
    pub(crate) fn begin_post(&mut self, stream: u32, path: &str) {
        let block = self.head(0x83, path);
        assert!(self.try_send(HEADERS, END_HEADERS, stream, &block), "the server hung up");
    }

    /// Sends so many spaces in each of these streams, as fast as the server takes them, in turn. Returns when all is
    /// sent, or when the server said nothing for this long, or hung up.
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
}

/// Returns the number in four bytes.
fn number(bytes: &[u8]) -> usize {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}
