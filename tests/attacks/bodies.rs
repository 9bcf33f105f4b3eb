//! Bodies of requests that nobody answers for.

use std::io::Write as _;
use std::time::Duration;

use crate::http::Request;
use crate::http2::Connection;
use crate::siege::{ATTACKER, Siege, under};

/// The largest body that a request without a token may have, in bytes.
const ANONYMOUS_BYTES: usize = 1 << 20;

/// Attackers at a time. More would measure this program's own share of the machine.
const ATTACKERS: usize = 4;

fn log_in(content_type: &str, body: &[u8]) -> Request {
    Request::new("POST", "auth/userpass/login/ada").header("Content-Type", content_type).body(body)
}

/// What takes a hundred times as much memory as it has bytes once somebody has parsed it.
fn swollen() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let many = |one: &str, bytes: usize| one.repeat(bytes / one.len());
    let small = ANONYMOUS_BYTES - 64;
    let bodies: [(&str, String, &[u16]); 8] = [
        (FORM, many("a=1&", 32 << 20), &[413]),
        (FORM, many("a=1&", small), &[400]),
        ("", format!("{{\"a\":[{}0]}}", many("{\"\":0},", 32 << 20)), &[413]),
        ("", format!("{{\"a\":[{}0]}}", many("{\"\":0},", small)), &[400]),
        ("", format!("{{\"a\":[{}0]}}", many("[0],", small)), &[400]),
        ("", format!("{{{}\"a\":0}}", many("\"\":0,", small)), &[400]),
        ("", format!("{{\"a\":{}0{}}}", many("[", small / 2), many("]", small / 2)), &[400]),
        ("", format!("{{\"password\":\"{}\"}}", many("a", small)), &[400]),
    ];
    bodies.map(|(content_type, body, expected)| (content_type, body.into_bytes(), expected)).into()
}

#[test]
fn bodies_that_swell_when_they_are_parsed() {
    let bodies = swollen();
    under(|siege| {
        let attack = || {
            while siege.goes_on() {
                for (content_type, body, expected) in &bodies {
                    if let Some(answer) = siege.ask(log_in(content_type, body)) {
                        let is_busy = matches!(answer.status, 429 | 503);
                        assert!(is_busy || expected.contains(&answer.status), "{answer:?}");
                    }
                }
            }
        };
        std::thread::scope(|scope| (0..ATTACKERS).for_each(|_| drop(scope.spawn(attack))));
    });
}

#[test]
fn bodies_that_never_end() {
    under(|siege| {
        let piece = vec![b' '; ANONYMOUS_BYTES - 1];
        let begin = |number: usize| {
            let request = Request::new("POST", "auth/userpass/login/x");
            let length = ANONYMOUS_BYTES.to_string();
            let request = match number % 2 {
                0 => request.header("Content-Length", &length),
                _ => request.header("Transfer-Encoding", "chunked"),
            };
            let stream = siege.connect(ATTACKER).unwrap();
            let mut stream = request.begin_on(stream, &siege.host);
            // Whom there is no room for is told so, and not listened to.
            if number % 2 == 1 {
                drop(write!(stream, "{:x}\r\n", ANONYMOUS_BYTES));
            }
            drop(stream.write_all(&piece));
            stream
        };
        siege.hold((0..200).map(begin).collect::<Vec<_>>());
    });
}

/// One connection, with as many streams as it may have, each of which sends all but the last byte of its body.
#[test]
fn bodies_that_never_end_in_streams_of_one_connection() {
    under(|siege| {
        let flood = |_| {
            let mut connection = Connection::open(&siege.url(), "");
            for stream in 0..100 {
                connection.begin_post(1 + 2 * stream, "auth/userpass/login/x");
            }
            let streams: Vec<u32> = (0..100).map(|stream| 1 + 2 * stream).collect();
            connection.flood(&streams, ANONYMOUS_BYTES - 1, Duration::from_secs(1));
            connection
        };
        siege.hold((0..ATTACKERS).map(flood).collect::<Vec<_>>());
    });
}

/// Bodies where none is looked at: paths that are open to nobody, or that take none.
#[test]
fn bodies_for_paths_that_take_none() {
    let body = vec![b'a'; 4 << 20];
    let paths =
        ["sys/mounts/x", "sys/health", "nowhere/x", "sys/wrapping/unwrap", "auth/none/login", "auth/userpass/users/x"];
    under(|siege| {
        let attack = || {
            while siege.goes_on() {
                for path in paths {
                    let answer = siege.ask(Request::new("PUT", path).body(body.as_slice()));
                    assert!(
                        answer.is_none_or(|answer| matches!(answer.status, 400 | 403 | 404 | 405 | 413 | 429 | 503)),
                        "{path}"
                    );
                }
            }
        };
        std::thread::scope(|scope| (0..ATTACKERS).for_each(|_| drop(scope.spawn(attack))));
    });
}

/// Heads as long as may be, and longer.
#[test]
fn heads_that_never_end() {
    under(|siege: &Siege| {
        let line = format!("X-Vault-{}: {}\r\n", "a".repeat(100), "b".repeat(4_000));
        let begin = |_| {
            let mut stream = siege.connect(ATTACKER).unwrap();
            drop(write!(stream, "GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n"));
            for _ in 0..200 {
                if stream.write_all(line.as_bytes()).is_err() {
                    break;
                }
            }
            stream
        };
        siege.hold((0..500).map(begin).collect::<Vec<_>>());
    });
}
