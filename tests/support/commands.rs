//! The program under test as a client: commands that talk to a server.

use std::io::Write as _;
use std::process::Stdio;

use crate::program::{Server, World, sha256};

/// How a client command ended.
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: i32,
}

impl World {
    /// Runs a client command as the holder of the server's token, and returns how it ended.
    pub(crate) fn run(&self, server: &Server, typed: &[&str]) -> Ran {
        self.run_typing(server, typed, "")
    }

    /// Runs a client command that reads a text from its standard input.
    pub(crate) fn run_typing(&self, server: &Server, typed: &[&str], stdin: &str) -> Ran {
        self.run_in(&[("VAULT_ADDR", &server.address), ("VAULT_TOKEN", &server.token)], typed, stdin)
    }

    /// Runs a client command in an environment of its own.
    pub(crate) fn run_in(&self, environment: &[(&str, &str)], typed: &[&str], stdin: &str) -> Ran {
        let mut command = self.program();
        command.args(typed).envs(environment.iter().copied()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read may be over already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { stdout: text(output.stdout), stderr: text(output.stderr), exit: output.status.code().unwrap_or(-1) }
    }

    /// Runs a client command that must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn succeed(&self, server: &Server, typed: &[&str]) -> String {
        let ran = self.run(server, typed);
        assert_eq!(ran.exit, 0, "{typed:?}: {}{}\n{}", ran.stdout, ran.stderr, server.log());
        ran.stdout
    }

    /// Registers `passthrough-plugin` and mounts it at these paths.
    #[track_caller]
    pub(crate) fn mount_passthrough(&self, server: &Server, paths: &[&str]) {
        let digest = sha256(&self.path("plugins/passthrough-plugin"));
        self.succeed(server, &["plugin", "register", &format!("-sha256={digest}"), "secret", "passthrough-plugin"]);
        for path in paths {
            self.succeed(server, &["secrets", "enable", &format!("-path={path}"), "passthrough-plugin"]);
        }
    }
}
