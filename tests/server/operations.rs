//! What operators do to a running server and see of it: signals, the service manager, warnings, and ends that are none.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::program::{DEADLINE, Server, World, sha256};

/// Waits until something is so.
#[track_caller]
fn soon(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

/// Starts a server with its first root token on a configuration, with something changed in the command.
fn started(world: &World, more: &str, change: impl FnOnce(&mut std::process::Command)) -> Server {
    let mut command = world.server_command(&world.configuration(more));
    change(&mut command);
    let server = Server::start(command);
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    server.with_token(&token)
}

#[test]
fn no_signal_ends_the_server_without_a_shutdown() {
    let world = World::new();
    let mut token = String::new();
    for (at, name) in ["QUIT", "INT", "TERM", "PWR", "XCPU"].into_iter().enumerate() {
        let server = if at == 0 { world.first_server() } else { world.next_server(&token) };
        token = server.token.clone();
        for (nothing, shown) in [
            ("USR1", "SIGUSR1"),
            ("USR2", "SIGUSR2"),
            ("ALRM", "SIGALRM"),
            ("VTALRM", "SIGVTALRM"),
            ("PROF", "SIGPROF"),
            ("IO", "SIGIO"),
            ("XFSZ", "SIGXFSZ"),
            ("40", "real-time signal 40"),
        ] {
            server.signal(nothing);
            server.logs(&format!("{shown} came, and nothing is done"), 1);
        }
        assert_eq!(server.ask("GET", "sys/mounts", "").status, 200, "it serves on");
        server.signal(name);
        let (status, _, log) = server.ended();
        assert_eq!(status.code(), Some(0), "SIG{name}: {log}");
        assert!(log.contains(&format!("SIG{name} came: the server stops")), "{log}");
        assert!(!log.contains("was not closed in order"), "SIG{name} before: {log}");
    }
}

#[test]
fn a_hang_up_reads_the_logs_settings_again() {
    let world = World::new();
    let settings = |level: &str, file: &str| format!("log_level = {level:?}\nlog_file = {:?}\n", world.text(file));
    let server = started(&world, &settings("error", "server"), |_| ());
    let reloaded = || {
        server.signal("HUP");
        soon("it tells the mount in the log", || server.log().contains("were taken over"));
    };
    let held = |file: &str| std::fs::read_to_string(world.path(file)).unwrap_or_default();

    // The level, and with it what is written to the file: Vault's name for one without an extension.
    world.configuration(&settings("info", "server"));
    reloaded();
    assert!(server.log().contains("the log level is info now"), "{}", server.log());
    assert!(held("server.log").contains("were taken over"));
    assert_eq!(world.path("server.log").metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // As logrotate does it: what comes after the hang-up is in the new file.
    std::fs::rename(world.path("server.log"), world.path("server.log.1")).unwrap();
    let before = held("server.log.1");
    server.signal("HUP");
    soon("there is a new file", || held("server.log").contains("were taken over"));
    assert_eq!(held("server.log.1"), before);

    // Another file; and a bad configuration keeps neither file nor level from being what they are.
    world.configuration(&settings("info", "elsewhere/server"));
    server.signal("HUP");
    server.logs("the log stays where it was: Error opening the log file", 1);
    world.configuration(&settings("info", "other.txt"));
    server.signal("HUP");
    soon("the log has moved", || held("other.txt").contains("were taken over"));
    world.configuration("nonsense = 1\n");
    server.signal("HUP");
    soon("it is told there", || held("other.txt").contains("has problems; nothing was changed"));
    assert_eq!(server.stop().0.code(), Some(0));
    assert!(held("other.txt").contains("shutting down"));
}

#[test]
fn a_flag_and_a_variable_go_before_the_configurations_log() {
    let world = World::new();
    let file = format!("log_file = {:?}\nlog_level = \"error\"\n", world.text("configured.log"));
    let server = started(&world, &file, |command| {
        command.arg("-log-level=info").env("VAULT_LOG_FILE", world.path("variable.log"));
    });
    server.signal("HUP");
    server.logs("were taken over", 1);
    assert!(!world.path("configured.log").exists());
    assert!(std::fs::read_to_string(world.path("variable.log")).unwrap().contains("were taken over"));
}

#[test]
fn a_log_file_that_cannot_be_opened_is_named() {
    let world = World::new();
    let command = world.server_command(&world.configuration("log_file = \"/nowhere/at/all.log\"\n"));
    let (exit, log) = Server::refused(command);
    assert_eq!(exit, 1);
    assert!(log.contains("Error opening the log file /nowhere/at/all.log: "), "{log}");
}

#[test]
fn the_service_manager_is_told() {
    let world = World::new();
    let manager = UnixDatagram::bind(world.path("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = || {
        let mut datagram = [0; 512];
        let length = manager.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    };
    let server = started(&world, "", |command| {
        command.env("NOTIFY_SOCKET", world.path("notify"));
    });
    assert!(told().starts_with("READY=1\n"));
    assert_eq!(server.ask("GET", "sys/mounts", "").status, 200);
    // Also where the configuration is not good: who waits for the end of a reload must see one.
    for more in ["", "nonsense = 1\n"] {
        world.configuration(more);
        server.signal("HUP");
        let reloading = told();
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert!(told().starts_with("READY=1\n"));
    }
    server.signal("TERM");
    assert!(told().starts_with("STOPPING=1\n"));
    assert_eq!(server.ended().0.code(), Some(0));

    // One that does not listen keeps nobody from serving.
    drop(manager);
    let server = Server::start({
        let mut command = world.server_command(&world.configuration(""));
        command.env("NOTIFY_SOCKET", world.path("nobody"));
        command
    });
    server.logs("the service manager could not be told: READY=1", 1);
    assert_eq!(server.stop().0.code(), Some(0));
}

/// Returns what a process's status says under a name, such as `State`; `None` once it is gone.
fn status(pid: &str, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(&format!("{name}:\t")).map(str::to_owned))
}

fn children(parent: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|process| process.file_name().into_string().ok());
    let pids = pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter(|pid| status(pid, "PPid").as_deref() == Some(parent)).collect()
}

#[test]
fn what_plugins_leave_behind_is_reaped_and_ends_with_the_server() {
    let world = World::new();
    let detached = world.path("detached");
    // A hundred whose parent ends first, and one that leaves the group, which says its number.
    let script = format!(
        "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10; do (for j in 1 2 3 4 5 6 7 8 9 10; do true & done) & done\n\
         setsid sh -c 'echo $$ >>{0}; exec sleep 1000' >/dev/null 2>&1 &\nwhile [ ! -s {0} ]; do :; done\nexit 1\n",
        detached.display()
    );
    world.add_plugin("littering", script.as_bytes());
    let server = world.dev_server();
    let register = format!("-sha256={}", sha256(&world.path("plugins/littering")));
    let ran = world.run(&server, &["plugin", "register", &register, "secret", "littering"]);
    assert_eq!(ran.exit, 2, "{}", ran.stdout);
    let server_pid = server.pid();
    let left = || -> Vec<String> { std::fs::read_to_string(&detached).unwrap().lines().map(str::to_owned).collect() };
    soon("the zombies go, and what lives has a parent", || {
        let children = children(&server_pid);
        let zombies = children.iter().any(|pid| status(pid, "State").is_some_and(|state| state.starts_with('Z')));
        !zombies && left().iter().all(|pid| children.contains(pid))
    });
    // Those that the server waits for itself are left to it: a plugin still starts, and its end is seen.
    let ran = world.run(&server, &["plugin", "register", &register, "secret", "littering"]);
    assert!(ran.exit == 2 && ran.stderr.contains("exited with status 1"), "{}", ran.stderr);

    assert_eq!(server.stop().0.code(), Some(0));
    let alive: Vec<_> = left().into_iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
    assert_eq!(alive, [""; 0]);
}

#[test]
fn what_others_could_read_is_warned_of() {
    let world = World::new();
    let server = world.first_server();
    let (token, store) = (server.token.clone(), world.path("store/cofferdam.redb"));
    assert_eq!(store.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (_, _, log) = server.stop();
    assert!(!log.contains("others than its owner") && !log.contains("in the clear"), "{log}");

    std::fs::set_permissions(&store, Permissions::from_mode(0o644)).unwrap();
    let configuration = std::fs::read_to_string(world.configuration("")).unwrap();
    world.write("server.hcl", &configuration.replace("127.0.0.1:0", "0.0.0.0:0"));
    let server = Server::start(world.server_command(&world.text("server.hcl"))).with_token(&token);
    let log = server.stop().2;
    for part in ["can read", "cofferdam.redb", "0644", "chmod 600", "sent in the clear: the listener at 0.0.0.0:0"] {
        assert!(log.contains(part), "{log} should hold {part:?}");
    }
}

#[test]
fn memory_gets_onto_no_disk_by_a_crash() {
    let world = World::new();
    let server = world.dev_server();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");

    // Whoever asks for memory that is locked is told that there is none, and what to do.
    let (exit, log) = {
        let server = started(&world, "disable_mlock = false\n", |_| ());
        let (status, _, log) = server.stop();
        (status.code(), log)
    };
    assert_eq!(exit, Some(0));
    assert!(log.contains("does not lock memory") && log.contains("disable_mlock = true"), "{log}");
    let server = Server::start(world.server_command(&world.configuration("disable_mlock = true\n")));
    assert!(!server.stop().2.contains("disable_mlock"));
}

#[test]
fn a_store_is_checked_after_a_kill_and_not_after_a_shutdown() {
    let world = World::new();
    let server = world.first_server();
    let token = server.token.clone();
    world.mount_passthrough(&server, &["kv"]);
    for number in 0..50 {
        assert_eq!(server.ask("PUT", &format!("kv/{number}"), r#"{"b":"c"}"#).status, 204);
    }
    server.signal("KILL");
    server.ended();

    let server = world.next_server(&token);
    let log = server.log();
    assert!(
        log.contains("was not closed in order: all of it is checked") && log.contains("the storage is whole"),
        "{log}"
    );
    for number in 0..50 {
        assert_eq!(server.ask("GET", &format!("kv/{number}"), "").json()["data"], json!({"b": "c"}));
    }
    assert_eq!(server.stop().0.code(), Some(0));
    let server = world.next_server(&token);
    assert!(!server.log().contains("closed in order"), "{}", server.log());
}
