//! Connections that are held and not used, or used and not read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::http2::Connection;
use crate::program::{Server, World};
use crate::siege::{ATTACKER, Siege, attacked, connect, push, under};

/// More connections than a server accepts that may open the usual 1,024 files.
const MANY: usize = 1_500;

/// A server that may open the usual number of files, of old, on most systems.
fn under_1024_files(attack: impl FnOnce(&Siege)) {
    let world = World::new();
    let mut command = world.program_after("ulimit -n 1024");
    command.arg("server").arg(format!("-config={}", world.configuration("")));
    let server = Server::start(command);
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    attacked(&server.with_token(&token), attack);
}

/// Connects again and again, and keeps what stays open.
fn hoard(siege: &Siege, greeting: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = siege.connect(ATTACKER).ok()?;
        stream.write_all(greeting).ok()?;
        Some(stream)
    };
    (0..MANY).filter_map(connect).collect()
}

#[test]
fn connections_that_say_nothing() {
    under_1024_files(|siege| siege.hold(hoard(siege, b"")));
}

#[test]
fn connections_that_asked_once() {
    let question = b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n";
    under_1024_files(|siege| siege.hold(hoard(siege, question)));
}

#[test]
fn connections_that_stop_in_the_middle_of_a_word() {
    under_1024_files(|siege| siege.hold(hoard(siege, b"GET /v1/sys/hea")));
}

#[test]
fn connections_of_http2_that_asked_once() {
    under_1024_files(|siege| {
        let open = |_| {
            let stream = siege.connect(ATTACKER).ok()?;
            let mut connection = Connection::try_on(stream, &siege.host, "")?;
            connection.try_begin(1, "sys/health").then_some(connection)
        };
        siege.hold((0..MANY).filter_map(open).collect::<Vec<_>>());
    });
}

/// Questions upon questions, and none of the answers is read.
#[test]
fn answers_that_nobody_reads() {
    let questions = b"GET /v1/sys/health?standbyok=true HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000);
    under(|siege| {
        let ask = |_| {
            let mut stream = siege.connect(ATTACKER).unwrap();
            push(&mut stream, &questions, Duration::from_millis(50));
            stream
        };
        siege.hold((0..40).map(ask).collect::<Vec<_>>());
    });
}

/// Streams that are opened and given up at once, again and again.
#[test]
fn streams_that_are_given_up_at_once() {
    under(|siege| {
        while siege.goes_on() {
            let mut connection = Connection::open(&siege.url(), "");
            for stream in 0..20_000 {
                if !connection.try_begin(1 + 2 * stream, "sys/health") || !connection.try_cancel(1 + 2 * stream) {
                    break;
                }
            }
        }
    });
}

/// Handshakes that cost the server a signature and come to nothing.
#[test]
fn handshakes_that_come_to_nothing() {
    let world = World::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = world.write("cert.pem", &made.cert.pem());
    let key = world.write("key.pem", &made.signing_key.serialize_pem());
    let listener = format!(
        "listener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_cert_file = {cert:?}\n  tls_key_file = {key:?}\n}}\n"
    );
    let server = Server::start(world.server_command(&world.configuration(&listener)));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    let secure = server.listeners[1].clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
    attacked(&server, |siege| {
        let attack = || {
            let mut held = std::collections::VecDeque::new();
            while siege.goes_on() {
                let name = ServerName::try_from("localhost").unwrap();
                let mut client = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
                let Ok(mut stream) = connect(ATTACKER, &secure) else { continue };
                if client.write_tls(&mut stream).is_ok() {
                    let mut first = [0; 16];
                    // The server may well have hung up.
                    let _ = stream.read(&mut first);
                }
                held.push_back(stream);
                if held.len() > 200 {
                    held.pop_front();
                }
            }
        };
        std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(attack))));
    });
    assert!(server.log().len() < 1 << 16, "strangers do not write the log: {}", server.log());
}
