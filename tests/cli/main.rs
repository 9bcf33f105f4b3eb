//! The program's client commands against a server of prepared answers: what each sends, prints and ends with, to the
//! byte.

use std::collections::VecDeque;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};

mod auth;
mod forms;
mod logical;
mod plugin;
mod secrets;
mod settings;
mod top;

/// One run of the program.
#[derive(Default)]
struct Case<'a> {
    /// What is typed, words apart.
    typed: &'a [&'a str],
    stdin: &'a str,
    environment: &'a [(&'a str, &'a str)],
    /// The answers in order: status and body.
    answers: &'a [(u16, &'a str)],
    /// What the server must get: `METHOD path?query body`.
    requests: &'a [&'a str],
    /// Headers that the first request must hold.
    headers: &'a [(&'a str, &'a str)],
    stdout: &'a str,
    /// `ADDRESS` stands for the server's.
    stderr: &'a str,
    exit: i32,
}

/// What a server is asked.
struct Asked {
    line: String,
    headers: HeaderMap,
}

/// A server that notes what it is asked and gives prepared answers.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Serves until it is dropped.
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(answers: &[(u16, &str)]) -> Self {
        let answers: VecDeque<_> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let answers = Arc::new(Mutex::new(answers));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let line = format!("{method} {uri} {}", String::from_utf8_lossy(&body));
            notes.lock().unwrap().push(Asked { line: line.trim_end().to_owned(), headers });
            let (status, body) = answers.lock().unwrap().pop_front().unwrap_or((599, "unexpected".to_owned()));
            async move {
                let location = if status == 307 { body.clone() } else { String::new() };
                (StatusCode::from_u16(status).unwrap(), [("location", location)], body)
            }
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { address, asked, _runtime: runtime }
    }
}

/// Returns the program with nothing of this process's environment.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn check(case: Case<'_>) {
    let server = Server::start(case.answers);
    let mut command = program();
    command.env("VAULT_ADDR", &server.address).env("VAULT_TOKEN", "hush").args(case.typed);
    command.envs(case.environment.iter().copied());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(case.stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();

    let stdout = String::from_utf8(output.stdout).unwrap().replace(&server.address, "ADDRESS");
    let stderr = String::from_utf8(output.stderr).unwrap().replace(&server.address, "ADDRESS");
    assert_eq!(stdout, case.stdout, "stdout of {:?}, whose stderr is {stderr}", case.typed);
    assert_eq!(stderr, case.stderr, "stderr of {:?}", case.typed);
    assert_eq!(output.status.code(), Some(case.exit), "exit code of {:?}", case.typed);
    assert!(!stdout.contains("hush") && !stderr.contains("hush"), "{:?} printed the token", case.typed);

    let asked = server.asked.lock().unwrap();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, case.requests, "requests of {:?}", case.typed);
    for asked in asked.iter() {
        assert_eq!(asked.headers["x-vault-request"], "true");
    }
    for (name, value) in case.headers {
        assert_eq!(asked[0].headers.get(*name).unwrap(), value, "header {name} of {:?}", case.typed);
    }
}
