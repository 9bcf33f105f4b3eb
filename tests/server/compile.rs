//! Components that are made against the compiler: it runs in a process of its own, and ends at a deadline and a memory
//! limit, while the server goes on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::http::Request;
use crate::program::{DEADLINE, Server, World, sha256};

/// Local variables of the bomb's one function, and the loops around their use: the compiler keeps each variable for
/// each loop. Both are within what is refused before anything is compiled.
const LOCALS: usize = 5_000;
const LOOPS: usize = 12_000;

/// What a server may take that has compiled bombs, in bytes. One compiler alone takes more.
const SERVER_BYTES_MAX: u64 = 300 << 20;

/// Returns a component of 130 KB that the compiler is busy with for minutes, and takes gigabytes for.
fn bomb() -> Vec<u8> {
    let uses: String = (0..LOCALS)
        .map(|local| format!("(local.set {local} (i32.add (local.get {local}) (local.get {})))", (local + 1) % LOCALS))
        .collect();
    let text = format!(
        "(component
           (core module (func (local {locals}) {begins} {uses} {ends}))
           (instance $i) (export \"cofferdam:plugin/backend@0.1.0\" (instance $i)))",
        locals = "i32 ".repeat(LOCALS),
        begins = "loop ".repeat(LOOPS),
        ends = "local.get 0 br_if 0 end ".repeat(LOOPS),
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn world() -> World {
    let world = World::new();
    world.add_plugin("bomb", &bomb());
    world
}

/// Starts a server on a new store with these limits and blocks.
fn server(world: &World, limits: &str, more: &str) -> Server {
    let configuration = world.configuration(&format!("limits {{\n  {limits}\n}}\n{more}"));
    let server = Server::start(world.server_command(&configuration));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    server.with_token(&token)
}

fn register(world: &World, server: &Server, plugin: &str) -> (u16, String) {
    registering(world, server, plugin).join().unwrap()
}

/// Begins to register a plugin.
fn registering(world: &World, server: &Server, plugin: &str) -> JoinHandle<(u16, String)> {
    let digest = sha256(&world.path("plugins").join(plugin));
    let body = format!("{{\"sha256\":{digest:?},\"command\":{plugin:?}}}");
    let path = format!("sys/plugins/catalog/secret/{plugin}");
    let (address, token) = (server.address.clone(), server.token.clone());
    std::thread::spawn(move || {
        let answer = Request::new("PUT", &path).token(&token).body(body).send(&address);
        (answer.status, format!("{answer:?}"))
    })
}

/// Returns the processes that a server has started and that have not ended.
fn children(server: &Server) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let listed = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    listed.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Waits until a server has started a compiler, and returns its process.
#[track_caller]
fn compiler(server: &Server) -> String {
    let until = Instant::now() + DEADLINE;
    loop {
        for child in children(server) {
            let arguments = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if arguments.split(|byte| *byte == 0).nth(1) == Some(b"compile") {
                return child;
            }
        }
        assert!(Instant::now() < until, "the server never started a compiler: {}", server.log());
        std::thread::yield_now();
    }
}

/// Asserts that a server has grown by no compiler, and has left none behind.
#[track_caller]
fn is_whole(server: &Server) {
    let peak = server.memory_peak();
    assert!(peak < SERVER_BYTES_MAX, "the server took {peak} bytes");
    assert_eq!(children(server), Vec::<String>::new(), "{}", server.log());
    assert_eq!(server.ask("GET", "sys/health", "").status, 200);
}

#[test]
fn a_compiler_ends_at_its_deadline_and_delays_nobody() {
    let world = world();
    // No limit but time: what the bomb takes until then is little.
    let server = server(&world, "load_deadline = \"30s\"\n  compile_memory = \"64GiB\"", "");
    let refused = registering(&world, &server, "bomb");
    compiler(&server);
    assert_eq!(server.ask("GET", "sys/health", "").status, 200);
    let (status, answer) = register(&world, &server, "passthrough-plugin");
    assert!(status < 300, "{answer}");
    let (status, answer) = refused.join().unwrap();
    assert!(status >= 400 && answer.contains("did not load within 30s"), "{status} {answer}");
    is_whole(&server);
}

#[test]
fn a_compiler_ends_at_its_memory_limit() {
    let world = world();
    let server = server(&world, "compile_memory = \"400MiB\"", "");
    let (status, answer) = register(&world, &server, "bomb");
    assert!(status == 400 && answer.contains("more than 419430400 bytes of memory to compile"), "{status} {answer}");
    assert!(answer.contains("raise compile_memory"), "{answer}");
    is_whole(&server);
    let (status, answer) = register(&world, &server, "passthrough-plugin");
    assert!(status < 300, "what is ordinary fits: {answer}");
}

#[test]
fn a_compiler_has_nothing_of_its_server() {
    let world = world();
    let configuration = world.configuration("limits {\n  compile_memory = \"64GiB\"\n}\n");
    // A descriptor and a variable that the server inherits, and would hand on.
    let mut command = world.program_after("exec 9</dev/null");
    command.env("SOME_SECRET", "hush").arg("server").arg(format!("-config={configuration}"));
    let server = Server::start(command);
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    let refused = registering(&world, &server, "bomb");
    let compiler = compiler(&server);
    let process = Path::new("/proc").join(&compiler);
    // It takes its own limits after it has closed what it inherited.
    let until = Instant::now() + DEADLINE;
    let limits = loop {
        let limits = std::fs::read_to_string(process.join("limits")).unwrap();
        let is_set = |line: &str| line.starts_with("Max file size") && !line.contains("unlimited");
        if limits.lines().any(is_set) {
            break limits;
        }
        assert!(Instant::now() < until, "{limits}");
        std::thread::yield_now();
    };
    let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert!(data.contains("68719476736"), "{data}");
    for entry in std::fs::read_dir(process.join("fd")).unwrap() {
        // One that the compiler opened itself may be closed by now.
        let entry = entry.unwrap();
        let Ok(file) = std::fs::read_link(entry.path()) else { continue };
        let is_standard = ["0", "1", "2"].iter().any(|standard| entry.file_name() == *standard);
        let is_pipe = is_standard && file.to_string_lossy().starts_with("pipe:");
        assert!(is_pipe || file.starts_with("/proc"), "{entry:?} is {file:?}");
    }
    let environment = std::fs::read_to_string(process.join("environ")).unwrap();
    let names: Vec<&str> =
        environment.split_terminator('\0').map(|variable| variable.split('=').next().unwrap()).collect();
    assert_eq!(
        names,
        ["MIMALLOC_ARENA_EAGER_COMMIT", "RAYON_NUM_THREADS"],
        "what says how to compile, and nothing else"
    );

    // It fails, and the server does not.
    let killed = Command::new("kill").args(["-ABRT", &compiler]).stdout(Stdio::null()).status().unwrap();
    assert!(killed.success());
    let (status, answer) = refused.join().unwrap();
    assert!(status == 400 && answer.contains("the compiler failed on this component"), "{status} {answer}");
    is_whole(&server);
}

#[test]
fn a_compiler_ends_with_its_server_however_that_ends() {
    let world = world();
    let server = server(&world, "compile_memory = \"64GiB\"", "");
    let unanswered = registering(&world, &server, "bomb");
    let compiler = compiler(&server);
    server.signal("KILL");
    // Nobody answers any more.
    let _ = unanswered.join();
    let until = Instant::now() + DEADLINE;
    // Whoever inherits it may be slow to look after it, so one that is only not reaped has ended.
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{compiler}/stat")).ok()?;
        (!stat.rsplit(')').next()?.starts_with(" Z")).then_some(stat)
    };
    while let Some(stat) = lives() {
        assert!(Instant::now() < until, "the compiler lives on: {stat}");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_answers_while_its_declared_plugins_compile() {
    let world = world();
    let block = |plugin: &str| {
        let digest = sha256(&world.path("plugins").join(plugin));
        format!("plugin \"secret\" {plugin:?} {{\n  command = {plugin:?}\n  sha256sum = {digest:?}\n}}\n")
    };
    let blocks = format!("{}{}", block("bomb"), block("passthrough-plugin"));
    let server = server(&world, "load_deadline = \"30s\"\n  compile_memory = \"64GiB\"", &blocks);
    let compiler = compiler(&server);
    assert_eq!(server.ask("GET", "sys/health", "").status, 200);
    assert!(Path::new("/proc").join(compiler).exists() && !server.log().contains("is left out"), "{}", server.log());
    server.logs("the plugins that the configuration declares were looked at", 1);
    server.logs("the declared plugin is left out: plugin \"secret\" \"bomb\"", 1);
    server.logs("did not load within 30s", 1);
    world.succeed(&server, &["secrets", "enable", "passthrough-plugin"]);
    world.succeed(&server, &["write", "passthrough-plugin/a", "b=c"]);
    is_whole(&server);
}
