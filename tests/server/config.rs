//! Settings that are wrong: named with file and line before anything is opened.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::http::{Request, read};
use crate::program::{Server, World};

/// Starts a server with a configuration, which it must refuse with this and nothing else, and without having opened
/// anything.
#[track_caller]
fn refused(hcl: &str, message: &str) {
    let world = World::new();
    std::fs::remove_dir(world.path("store")).unwrap();
    let hcl = hcl.replace("STORE", &world.text("store")).replace("PLUGINS", &world.text("plugins"));
    let path = world.write("server.hcl", &hcl);
    let (exit, log) = Server::refused(world.server_command(&path));
    let directory = path.strip_suffix("server.hcl").unwrap();
    assert_eq!((exit, log.replace(directory, "").as_str()), (1, message), "{hcl}");
    assert!(!world.path("store").exists(), "the store was opened: {hcl}");
}

const GOOD: &str = r#"plugin_directory = "PLUGINS"
storage "file" { path = "STORE" }
listener "tcp" {
  address = "127.0.0.1:0"
  tls_disable = true
}
"#;

#[test]
fn wrong_settings_are_named_with_their_lines() {
    for (typed, instead, message) in [
        ("plugin_directory = \"PLUGINS\"", "plugin_directory = \"\"", "server.hcl:1: \"plugin_directory\" is empty\n"),
        (
            "path = \"STORE\"",
            "paths = \"STORE\"",
            "server.hcl:2: \"path\" is missing in storage \"file\"\n\
             server.hcl:2: unknown setting \"paths\" in storage \"file\", did you mean \"path\"?\n",
        ),
        (
            "tls_disable = true",
            "tls_disable = \"perhaps\"",
            "server.hcl:5: \"tls_disable\" is \"perhaps\", expected true or false\n",
        ),
        (
            "tls_disable = true",
            "",
            "server.hcl:3: \"tls_cert_file\" is missing in listener \"tcp\"\n\
             server.hcl:3: \"tls_key_file\" is missing in listener \"tcp\"\n",
        ),
        (
            "127.0.0.1:0",
            "nowhere",
            "server.hcl:4: \"address\" is \"nowhere\", expected an IP address with a port, such as \"127.0.0.1:8200\"\n",
        ),
        (
            "\"file\"",
            "\"raft\"",
            "server.hcl:2: storage \"raft\" is not supported: the types are \"file\" and \"inmem\"\n",
        ),
        ("true\n}", "true\n}\nseal \"x\" {}", "server.hcl:7: \"seal\" is not supported: this server has no seal\n"),
    ] {
        assert!(GOOD.contains(typed));
        refused(&GOOD.replacen(typed, instead, 1), message);
    }
}

#[test]
fn a_server_says_what_it_needs() {
    let world = World::new();
    for (flags, message) in [
        (&[][..], "Must specify at least one config path using -config, or -dev\n"),
        (&["-dev-root-token-id=root"], "-dev-root-token-id needs -dev\n"),
        (&["-dev", "-dev-plugin-dir=/does/not/exist"], "-dev-plugin-dir /does/not/exist is not a directory\n"),
        (&["-dev", "-log-level=loud"], "unknown log level \"loud\": use trace, debug, info, warn or error\n"),
        (
            &["-dev", "-dev-listen-address=nowhere"],
            "\"nowhere\" is not an address to listen on, such as 127.0.0.1:8200\n",
        ),
    ] {
        let mut command = world.program();
        command.arg("server").args(flags);
        assert_eq!(Server::refused(command), (1, message.to_owned()), "{flags:?}");
    }
    let missing = Server::refused(world.server_command("/does/not/exist.hcl"));
    assert_eq!(missing.0, 1);
    assert!(missing.1.contains("/does/not/exist.hcl"), "{}", missing.1);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = world.configuration("");
    let hcl = std::fs::read_to_string(&path).unwrap().replace("127.0.0.1:0", &address);
    let (exit, log) = Server::refused(world.server_command(&world.write("taken.hcl", &hcl)));
    assert_eq!(exit, 1);
    assert!(log.contains(&format!("failed to listen on {address}")), "{log}");
    assert!(!world.path("store/cofferdam.redb").exists(), "the store was opened");
}

#[test]
fn a_listener_may_grant_less_than_the_host() {
    let world = World::new();
    // Mounting takes longer than that, so another server does it.
    let first = world.first_server();
    let token = first.token.clone();
    world.mount_passthrough(&first, &["kv"]);
    first.stop();
    let hcl = std::fs::read_to_string(world.configuration("")).unwrap();
    let less = "tls_disable = true\n  max_request_size = 1000\n  max_request_duration = \"100ms\"";
    let path = world.write("less.hcl", &hcl.replace("tls_disable = true", less));
    let server = Server::start(world.server_command(&path)).with_token(&token);
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(1000));
    let answer = server.ask("PUT", "kv/a", &body);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.errors().contains("1000 bytes at most"), "{answer:?}");

    let unfinished = Request::new("PUT", "kv/a").token(&token).header("Content-Length", "10").begin(&server.address);
    assert_eq!(read(unfinished).status, 408, "a body that does not arrive is waited for no longer");
}

#[test]
fn a_socket_in_the_file_system_is_listened_on() {
    let world = World::new();
    let socket = world.text("api.sock");
    let me = std::fs::metadata(world.path("home")).unwrap();
    let hcl = format!(
        "storage \"inmem\" {{}}\nplugin_directory = {:?}\nlistener \"unix\" {{\n  address = {socket:?}\n  socket_mode = \"0600\"\n  \
         socket_user = {}\n  socket_group = \"{}\"\n  tls_disable = true\n}}\n",
        world.text("plugins"),
        me.uid(),
        me.gid()
    );
    let configuration = world.write("unix.hcl", &hcl);
    // As one that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let server = Server::start(world.server_command(&configuration));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    assert_eq!(server.address, format!("unix://{socket}"));
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.mount_passthrough(&server, &["kv"]);
    world.succeed(&server, &["write", "kv/a", "b=c"]);
    assert_eq!(world.succeed(&server, &["read", "-field=b", "kv/a"]), "c");
    let (exit, log) = Server::refused(world.server_command(&configuration));
    assert_eq!(exit, 1, "{log}");
    assert!(log.contains("api.sock: another process listens there"), "{log}");
    assert_eq!(server.stop().0.code(), Some(0));
    assert!(!std::path::Path::new(&socket).exists());
}
