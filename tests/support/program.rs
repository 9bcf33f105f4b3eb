//! The program under test as a server: a child process, its output and its end.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::guests;
use crate::http::{Answer, Request};

/// How long anything may take that a test waits for. Machines that are ten times slower than ours still pass.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A temporary directory with a home, a plugin directory that holds the examples, and room for a store.
pub(crate) struct World {
    directory: tempfile::TempDir,
}

impl World {
    /// Returns a world whose plugin directory holds `passthrough-plugin`.
    pub(crate) fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap() };
        for name in ["home", "plugins", "store"] {
            std::fs::create_dir(world.path(name)).unwrap();
        }
        world.add_plugin("passthrough-plugin", &passthrough());
        world
    }

    /// Returns the path of something in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a file into the plugin directory, one that may be executed.
    pub(crate) fn add_plugin(&self, name: &str, bytes: &[u8]) {
        let path = self.path("plugins").join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.text(name)
    }

    /// Returns the path of something in this world as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Returns the program with nothing of this process's environment.
    pub(crate) fn program(&self) -> Command {
        self.clean(Command::new(env!("CARGO_BIN_EXE_cofferdam")))
    }

    /// Returns the program run by a shell after some preparation there.
    pub(crate) fn program_after(&self, preparation: &str) -> Command {
        let mut shell = self.clean(Command::new("sh"));
        shell.env("PATH", std::env::var_os("PATH").unwrap());
        shell.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_cofferdam"));
        shell
    }

    fn clean(&self, mut command: Command) -> Command {
        command.env_clear().env("HOME", self.path("home"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a development server with the token `root`, with nothing registered and nothing mounted.
    pub(crate) fn dev_server(&self) -> Server {
        self.dev_server_with(&["-dev-no-plugin-init", "-dev-no-kv"])
    }

    /// Starts a development server with further flags.
    pub(crate) fn dev_server_with(&self, flags: &[&str]) -> Server {
        let mut command = self.program();
        command.args(["server", "-dev", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:0"]);
        command.arg("-dev-no-store-token").arg(format!("-dev-plugin-dir={}", self.text("plugins"))).args(flags);
        let server = Server::start(command);
        server.line("Development mode should NOT");
        server.with_token("root")
    }
}

impl World {
    /// Writes a configuration with a store and a plain listener, and returns its path. `more` is added at the end.
    pub(crate) fn configuration(&self, more: &str) -> String {
        let (plugins, store) = (self.text("plugins"), self.text("store"));
        let hcl = format!(
            "plugin_directory = {plugins:?}\nstorage \"file\" {{\n  path = {store:?}\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}}\n{more}"
        );
        self.write("server.hcl", &hcl)
    }

    /// Returns the command that starts a server with a configuration file.
    pub(crate) fn server_command(&self, configuration: &str) -> Command {
        let mut command = self.program();
        command.arg("server").arg(format!("-config={configuration}"));
        command
    }

    /// Starts a server on a new store, and takes its root token.
    pub(crate) fn first_server(&self) -> Server {
        let server = Server::start(self.server_command(&self.configuration("")));
        let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
        server.with_token(&token)
    }

    /// Starts a server on a store that has a token already.
    pub(crate) fn next_server(&self, token: &str) -> Server {
        Server::start(self.server_command(&self.configuration(""))).with_token(token)
    }
}

/// Returns the bytes of the plugin that stores what is written.
pub(crate) fn passthrough() -> Vec<u8> {
    example("passthrough_plugin")
}

/// Returns the bytes of an example plugin. All are built once for this process.
pub(crate) fn example(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| guests::build("guest-examples").unwrap_or_else(|why| panic!("{why}")));
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

/// Returns the bytes of the auth method that tests log in with.
pub(crate) fn login() -> Vec<u8> {
    guest("login_plugin")
}

/// Returns the bytes of the plugin that does, on request, what none should.
pub(crate) fn hostile() -> Vec<u8> {
    guest("hostile_plugin")
}

/// Returns the bytes of a plugin that only tests use. All are built once for this process.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| guests::build("tests/guests").unwrap_or_else(|why| panic!("{why}")));
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

/// Returns the digest that `sha256sum` prints for a file.
pub(crate) fn sha256(path: &Path) -> String {
    cofferdam::ident::Digest::of(&std::fs::read(path).unwrap()).to_string()
}

// ---------------------------------------------------------------------------------------------------------------------
// server

/// A running server. It is killed when dropped.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    log: Arc<Mutex<String>>,
    /// Ends when the server has closed its standard error.
    logging: Option<JoinHandle<()>>,
    /// The host and port of each listener.
    pub(crate) listeners: Vec<String>,
    /// Its first listener's URL.
    pub(crate) address: String,
    /// The token that clients send.
    pub(crate) token: String,
}

impl Server {
    /// Starts a server and waits until it says where it listens: from then on connections wait for it.
    pub(crate) fn start(command: Command) -> Self {
        let mut server = Self::spawn(command);
        let address = server.line("Api Address: ");
        server.address = address.rsplit(' ').next().unwrap().to_owned();
        loop {
            let line = server.line("");
            if line.contains("Cofferdam server started!") {
                return server;
            }
            // As in `Listener 1: tcp (addr: "127.0.0.1:8200", tls: "disabled")`.
            if line.contains("Listener ") {
                server.listeners.extend(line.split('"').nth(1).map(str::to_owned));
            }
        }
    }

    /// Starts a server that ends by itself, and returns how and with what words.
    pub(crate) fn refused(command: Command) -> (i32, String) {
        let (status, _, log) = Self::spawn(command).ended();
        (status.code().unwrap_or(-1), log)
    }

    /// Returns the most memory that the server ever held, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Lets clients send this token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = token.to_owned();
        self
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A test that has seen enough no longer listens.
                let _ = sender.send(line);
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, shared) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let logging = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut piece) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        Self {
            child,
            lines,
            log,
            logging: Some(logging),
            listeners: Vec::new(),
            address: String::new(),
            token: String::new(),
        }
    }

    /// Waits for a line that holds a text, and returns it.
    pub(crate) fn line(&self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(reason) => panic!("the server never said {text:?} ({reason}); it logged {}", self.log()),
            }
        }
    }

    /// Returns what the server has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the server has logged a text so many times.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str, times: usize) {
        let until = Instant::now() + DEADLINE;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < until, "the server never logged {text:?}: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid()]).status().unwrap().success());
    }

    /// Tells the server to stop, and returns how it did, what it had still to say, and its log.
    pub(crate) fn stop(self) -> (ExitStatus, Vec<String>, String) {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for the server's end, and returns how it ended, what it had still to say, and its log.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<String>, String) {
        let mut rest = Vec::new();
        let until = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the server does not end; it logged {}", self.log()),
            }
        }
        let status = self.child.wait().unwrap();
        self.logging.take().unwrap().join().unwrap();
        (status, rest, self.log())
    }

    /// Sends a request with the server's token.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        Request::new(method, path).token(&self.token).body(body).send(&self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
