//! The program itself, with native plugins in its plugin directory and a directory for their sockets.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::processes::Watched;
use crate::program::{Server, World, sha256};

/// Returns a world with these plugins.
pub(crate) fn world(plugins: &[(&str, &[u8])]) -> World {
    let world = World::new();
    fs::create_dir(world.path("sockets")).unwrap();
    for (name, bytes) in plugins {
        add(&world, name, bytes);
    }
    world
}

/// Puts a program into the plugin directory.
pub(crate) fn add(world: &World, name: &str, bytes: &[u8]) {
    world.add_plugin(name, bytes);
    fs::set_permissions(world.path("plugins").join(name), Permissions::from_mode(0o755)).unwrap();
}

impl World {
    /// Starts a development server that logs everything as JSON. Its plugins inherit these variables and a search path.
    pub(crate) fn native_server(&self, environment: &[(&str, &str)], flags: &[&str]) -> Server {
        let mut command = self.program();
        command.args(["server", "-dev", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:0"]);
        command.args(["-dev-no-store-token", "-log-level=trace", "-log-format=json"]);
        command.arg(format!("-dev-plugin-dir={}", self.text("plugins"))).args(flags);
        command.env("PATH", "/usr/bin:/bin").env("TMPDIR", self.path("sockets")).envs(environment.iter().copied());
        let server = Server::start(command);
        server.line("Development mode should NOT");
        server.with_token("root")
    }

    /// Returns what is left in the directory for sockets.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("sockets")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Server {
    /// Registers a plugin with further fields, and mounts it under its name.
    #[track_caller]
    pub(crate) fn mount(&self, world: &World, name: &str, command: &str, fields: &Value) {
        let mut registration = json!({"sha256": sha256(&world.path("plugins").join(command)), "command": command});
        registration.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let path = format!("sys/plugins/catalog/secret/{name}");
        let answer = self.ask("PUT", &path, &registration.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = self.ask("POST", &format!("sys/mounts/{name}"), &json!({"type": name}).to_string());
        assert_eq!(answer.status, 204, "{answer:?}\n{}", self.log());
    }

    /// Reads a path that answers with data.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()["data"].clone()
    }

    /// Begins to watch the process whose number a path answers with.
    #[track_caller]
    pub(crate) fn process(&self, path: &str) -> Watched {
        Watched::of(self.read(path)["pid"].as_u64().expect("a process has a number"))
    }
}

/// One line of a server's log.
#[derive(Debug)]
pub(crate) struct Line(Value);

impl Line {
    /// Returns all lines of a log in JSON.
    pub(crate) fn all(log: &str) -> Vec<Self> {
        log.lines()
            .map(|line| Self(serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line:?}"))))
            .collect()
    }

    pub(crate) fn level(&self) -> &str {
        self.0["level"].as_str().unwrap_or_default()
    }

    /// Returns a field, or the message.
    pub(crate) fn field(&self, name: &str) -> &Value {
        &self.0["fields"][name]
    }

    pub(crate) fn text(&self) -> &str {
        self.field("message").as_str().unwrap_or_default()
    }
}
