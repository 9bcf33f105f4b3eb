//! Compilers that do not behave, played by a shell: whatever one does, its caller is told something, and it is gone
//! then.

use std::future::{pending, ready};
use std::time::Duration;

use super::*;

/// What a compiler may say of machine code here, in bytes.
const CODE_BYTES_MAX: u64 = 1 << 20;

/// A component that no pipe takes whole: who does not read it is not waited for.
static COMPONENT: [u8; 1 << 20] = [7; 1 << 20];

/// Runs a script as the compiler, and returns what comes of it.
async fn compiled_by(script: &str, limits: &Limits) -> Result<Vec<u8>, LoadError> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script);
    drive(command, limits, &COMPONENT, CODE_BYTES_MAX, pending()).await.expect("a shell can be started")
}

async fn refused_by(script: &str) -> String {
    match compiled_by(script, &Limits::default()).await {
        Err(LoadError::Unfit(why)) => why,
        other => panic!("{script}: {other:?}"),
    }
}

#[tokio::test]
async fn what_a_compiler_writes_is_bounded() {
    assert_eq!(compiled_by("printf code", &Limits::default()).await.expect("it is code"), b"code");
    let why = refused_by("while :; do echo and more and more and more code; done").await;
    assert!(why.contains("more than 1048576 bytes"), "{why}");

    // One that talks without end is heard to its end, and what is kept of it is little.
    let talk = "i=0; while [ $i -lt 20000 ]; do echo 'too much talk' >&2; i=$((i+1)); done; exit 2";
    let why = refused_by(talk).await;
    assert!(why.len() as u64 <= MESSAGE_BYTES_MAX && why.starts_with("too much talk"), "{}", why.len());
}

#[tokio::test]
async fn an_end_that_says_nothing_is_told_with_the_limit_and_the_setting() {
    for (script, phrases) in [
        ("kill -KILL $$", ["the system ended the compiler", "2147483648 bytes", "compile_memory"]),
        (
            "echo memory allocation of 64 bytes failed >&2; kill -ABRT $$",
            ["took more than 2147483648 bytes", "raise", "compile_memory"],
        ),
        (
            "echo cannot compile: out of memory >&2; exit 1",
            ["took more than 2147483648 bytes", "raise", "compile_memory"],
        ),
        ("kill -SEGV $$", ["the compiler failed on this component", "SIGSEGV", "another version of its toolchain"]),
        ("echo a secret name >&2; exit 101", ["the compiler failed on this component", "101", "toolchain"]),
        ("echo 'not valid: out of memory' >&2; exit 2", ["not valid: out of memory", "not", "valid"]),
    ] {
        let why = refused_by(script).await;
        assert!(phrases.iter().all(|phrase| why.contains(phrase)), "{script}: {why}");
        assert!(!why.contains("secret"), "{why}");
    }
    let late = compiled_by("kill -XCPU $$", &Limits::default()).await;
    assert!(matches!(late, Err(LoadError::Deadline(_))), "{late:?}");
}

/// Starts a compiler that never ends and that nothing but a kill ends, and returns its result and its process.
async fn hang(limits: &Limits, abandoned: impl Future<Output = ()>) -> (Result<Vec<u8>, LoadError>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("process");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg("trap '' TERM PIPE; echo $$ > \"$0\"; while :; do :; done").arg(&path);
    let told = async {
        while std::fs::read_to_string(&path).unwrap_or_default().trim().is_empty() {
            tokio::task::yield_now().await;
        }
        abandoned.await;
    };
    let result = drive(command, limits, &COMPONENT, CODE_BYTES_MAX, told).await.expect("a shell can be started");
    (result, std::fs::read_to_string(&path).expect("it has begun").trim().to_owned())
}

#[tokio::test]
async fn a_compiler_is_gone_when_its_caller_is_told() {
    let short = Limits { load_deadline: Duration::from_secs(2), ..Limits::default() };
    let (late, process) = hang(&short, pending()).await;
    assert!(matches!(late, Err(LoadError::Deadline(_))), "{late:?}");
    assert!(!Path::new("/proc").join(&process).exists(), "{process} is still there");

    let (unheard, process) = hang(&Limits::default(), ready(())).await;
    assert!(matches!(unheard, Err(LoadError::Host(_))), "{unheard:?}");
    assert!(!Path::new("/proc").join(&process).exists(), "{process} is still there");
}
