//! Tries the doors that nobody opened. What opens is named in the answer.

use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use crate::{Answer, answer};
use serde_json::json;

pub(crate) fn doors(what: &str) -> Answer {
    let tries: Vec<(&str, bool)> = match what {
        "files" => vec![
            ("read /etc/passwd", fs::read("/etc/passwd").is_ok()),
            ("read relative", fs::read("Cargo.toml").is_ok()),
            ("list /", fs::read_dir("/").is_ok()),
            ("list .", fs::read_dir(".").is_ok()),
            ("write /tmp", fs::write("/tmp/cofferdam-hostile", "x").is_ok()),
            ("write .", fs::write("cofferdam-hostile", "x").is_ok()),
            ("make a directory", fs::create_dir("/cofferdam-hostile").is_ok()),
        ],
        "network" => vec![
            ("connect", TcpStream::connect(("127.0.0.1", 22)).is_ok()),
            ("listen", TcpListener::bind(("0.0.0.0", 0)).is_ok()),
            (
                "send",
                UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| socket.send_to(b"x", ("127.0.0.1", 53))).is_ok(),
            ),
            ("resolve", ("localhost", 80).to_socket_addrs().is_ok()),
        ],
        _ => {
            let arguments: Vec<String> = std::env::args().collect();
            let mut variables: Vec<(String, String)> = std::env::vars().collect();
            variables.sort();
            return answer(json!({ "arguments": arguments, "variables": variables }));
        }
    };
    let open: Vec<&str> = tries.iter().filter(|(_, opened)| *opened).map(|(door, _)| *door).collect();
    answer(json!({ "open": open }))
}
