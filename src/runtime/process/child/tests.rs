//! Real processes: scripts, system programs, and this test program in a role.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::executable::unrunnable;
use super::*;
use crate::confinement::Confinement;

/// Longer than any of this takes, so that a test fails and does not hang.
const LONG: Duration = Duration::from_secs(60);

/// Starts something that lives long, and says when it has.
const LINGER: &str = "#!/bin/sh\nsleep 1000 & echo ready; wait";

fn settings() -> ChildSettings {
    ChildSettings {
        args: Vec::new(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        memory_bytes_max: None,
        open_files_max: None,
        cpu_seconds_max: None,
        tasks_max: 500,
        confinement: None,
        socket_directory: "/nonexistent".into(),
    }
}

fn confined(socket_directory: &Path, confinement: Confinement) -> ChildSettings {
    ChildSettings { confinement: Some(confinement), socket_directory: socket_directory.to_owned(), ..settings() }
}

async fn spawn(bytes: impl AsRef<[u8]>, settings: ChildSettings) -> Child {
    let executable = Executable::seal("the-plugin", bytes.as_ref()).unwrap();
    Spawner::new().unwrap().spawn(&executable, settings).await.unwrap()
}

/// Runs something to its end. Returns what it printed, errors last, and how it ended.
async fn run(bytes: impl AsRef<[u8]>, settings: ChildSettings) -> (String, Exit) {
    let mut child = spawn(bytes, settings).await;
    let (mut printed, mut errors) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut printed).await.unwrap();
    child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
    let exit = tokio::time::timeout(LONG, child.exited()).await.expect("it ends");
    assert_eq!(child.has_exited(), Some(exit));
    (printed + &errors, exit)
}

/// Returns the lines of a process that says "ready", once it has.
async fn ready(child: &mut Child) -> tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>> {
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
    lines
}

/// Waits until nobody has the output open any more.
async fn closed(mut lines: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>) {
    let end =
        tokio::time::timeout(LONG, lines.next_line()).await.expect("all that have the output open should be dead");
    assert_eq!(end.unwrap(), None);
}

const KILLED: Exit = Exit { code: None, signal: Some(libc::SIGKILL) };

#[tokio::test]
async fn exits_are_seen() {
    let exit = async |script: &str| run(format!("#!/bin/sh\n{script}"), settings()).await.1;
    assert_eq!(exit("exit 0").await, Exit { code: Some(0), signal: None });
    assert_eq!(exit("exit 3").await, Exit { code: Some(3), signal: None });
    assert_eq!(exit("kill -KILL $$").await, KILLED);
    assert_eq!(exit("kill -TERM $$").await, Exit { code: None, signal: Some(libc::SIGTERM) });
}

#[tokio::test]
async fn binaries_and_scripts_get_their_name_arguments_and_environment_and_nothing_else() {
    let shell = std::fs::read("/bin/sh").unwrap();
    let args = ["-c", "echo $0 $1 $2; read line || echo no input", "name", "a b"].map(String::from).to_vec();
    assert_eq!(run(&shell, ChildSettings { args, ..settings() }).await.0, "name a b\nno input\n");
    let args = ["-c", "echo $0"].map(String::from).to_vec();
    assert_eq!(run(&shell, ChildSettings { args, ..settings() }).await.0, "the-plugin\n");

    let environment = std::fs::read("/usr/bin/env").unwrap();
    let env = vec![("B".into(), "2=3".into()), ("A".into(), "".into())];
    assert_eq!(run(environment, ChildSettings { env, ..settings() }).await.0, "B=2=3\nA=\n");

    let args = vec!["x".to_owned()];
    assert_eq!(run("#!/bin/sh -e\necho $1; false; echo no", ChildSettings { args, ..settings() }).await.0, "x\n");
}

#[tokio::test]
async fn what_the_leader_leaves_behind_ends_with_it() {
    let mut child = spawn("#!/bin/sh\nsleep 1000 & echo ready; exit 5", settings()).await;
    let lines = ready(&mut child).await;
    assert_eq!(child.exited().await, Exit { code: Some(5), signal: None });
    closed(lines).await;
}

#[tokio::test]
async fn who_does_not_go_is_killed_after_the_grace() {
    let mut child = spawn("#!/bin/sh\ntrap '' TERM; sleep 1000 & echo ready; wait; wait", settings()).await;
    let lines = ready(&mut child).await;
    rustix::process::kill_process(Pid::from_raw(child.pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(child.has_exited(), None);
    assert_eq!(child.end(Duration::from_millis(1)).await, KILLED);
    closed(lines).await;

    let child = spawn("#!/bin/sh\nexit 7", settings()).await;
    assert_eq!(child.end(LONG).await, Exit { code: Some(7), signal: None });
}

#[tokio::test]
async fn killing_and_dropping_end_the_whole_group() {
    let mut child = spawn(LINGER, settings()).await;
    let lines = ready(&mut child).await;
    assert!(!child.is_killed());
    child.kill();
    assert!(child.is_killed(), "at once, and not when it is reaped");
    let waiters = tokio::join!(child.exited(), child.exited());
    assert_eq!(waiters, (KILLED, KILLED));
    closed(lines).await;

    let mut child = spawn(LINGER, settings()).await;
    let lines = ready(&mut child).await;
    drop(child);
    closed(lines).await;
}

#[test]
fn what_runs_ends_with_its_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (child, output) = runtime.block_on(async {
        let mut child = spawn(LINGER, settings()).await;
        let output = ready(&mut child).await.into_inner().into_inner().into_owned_fd().unwrap();
        (child, output)
    });
    drop(runtime);
    rustix::io::ioctl_fionbio(&output, false).unwrap();
    assert_eq!(std::fs::File::from(output).read(&mut [0]).unwrap(), 0);
    drop(child);
}

#[tokio::test]
async fn what_was_sealed_runs_and_cannot_be_changed() {
    let executable = Executable::seal("the-plugin", b"#!/bin/sh\necho checked").unwrap();
    let reopened = std::fs::OpenOptions::new().write(true).open(executable.path());
    let changed = reopened.and_then(|mut file| file.write_all(b"#!/bin/sh\necho another"));
    assert_eq!(changed.unwrap_err().raw_os_error(), Some(libc::EPERM));
    let spawner = Spawner::new().unwrap();
    for _ in 0..2 {
        let mut child = spawner.spawn(&executable, settings()).await.unwrap();
        let mut printed = String::new();
        child.stdout.take().unwrap().read_to_string(&mut printed).await.unwrap();
        assert_eq!(printed, "checked\n");
    }
}

#[tokio::test]
async fn limits_are_the_process_own() {
    let limits = ChildSettings {
        memory_bytes_max: Some(64 << 20),
        open_files_max: Some(50),
        cpu_seconds_max: Some(7),
        ..settings()
    };
    let script = "#!/bin/sh\nulimit -d; ulimit -n; ulimit -St; ulimit -Ht; ulimit -c; ulimit -Hc";
    assert_eq!(run(script, limits).await.0, "65536\n50\n7\n12\n0\n0\n");
    let script = "#!/bin/sh\nwhile :; do :; done";
    let (_, exit) = run(script, ChildSettings { cpu_seconds_max: Some(1), ..settings() }).await;
    assert_eq!(exit.signal, Some(libc::SIGXCPU), "{exit}");
}

#[tokio::test]
async fn many_are_started_at_once() {
    const MANY: usize = 100;
    let spawner = Spawner::new().unwrap();
    let executable = Executable::seal("the-plugin", b"#!/bin/sh\necho $1").unwrap();
    let runs = (0..MANY).map(|number| {
        let (spawner, executable) = (&spawner, &executable);
        async move {
            let settings = ChildSettings { args: vec![number.to_string()], ..settings() };
            let mut child = spawner.spawn(executable, settings).await.unwrap();
            let mut printed = String::new();
            child.stdout.take().unwrap().read_to_string(&mut printed).await.unwrap();
            assert_eq!((printed, child.exited().await.code), (format!("{number}\n"), Some(0)));
        }
    });
    futures_util::future::join_all(runs).await;
}

#[test]
fn what_cannot_run_says_why() {
    let program = std::fs::read("/bin/true").unwrap();
    let changed = |at: usize, bytes: &[u8]| {
        let mut program = program.clone();
        program[at..at + bytes.len()].copy_from_slice(bytes);
        program
    };
    let loader = b"/ld-linux";
    let at = program.windows(loader.len()).position(|found| found == loader).expect("the program has a loader");
    let check = |bytes: &[u8], expected: &str| {
        let error = Executable::seal("the-plugin", bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    };
    check(&changed(at, b"/ld-other"), "/ld-other");
    check(&changed(4, &[1]), "32-bit");
    check(&changed(5, &[2]), "another byte order");
    check(&changed(18, &[243, 0]), "RISC-V");
    check(&changed(16, &[1, 0]), "an object file");
    check(&changed(16, &[4, 0]), "not a program");
    check(&program[..40], "cut off");
    check(&program[..100], "cut off");
    check(b"", "neither a binary nor a script");
    check(b"echo", "neither a binary nor a script");
    check(b"#!/no/such/shell -e\n", "needs the interpreter /no/such/shell,");
    check(b"#!/bin/sh\r\n", "as on Windows");
    check(b"#! sh\n", "not a whole path");
    assert_eq!(unrunnable(&program), None);
    assert_eq!(unrunnable(b"#!/no/such/shell"), None);
}

/// Two descriptors that somebody left open for all: the child has neither, be it confined or not.
#[tokio::test]
async fn a_child_has_no_descriptor_of_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let secret = std::fs::File::create(directory.path().join("secret")).unwrap();
    let inherited = [rustix::io::dup(&secret).unwrap(), rustix::io::dup(&secret).unwrap()];
    let script = "#!/bin/sh\nfor fd in /proc/self/fd/*; do [ ! -e $fd ] || readlink $fd; done";
    for settings in
        [settings(), confined(directory.path(), Confinement { read: vec!["/proc".into()], ..Default::default() })]
    {
        let (printed, _) = run(script, settings).await;
        assert!(printed.contains("/dev/null") && !printed.contains("secret"), "{printed}");
        assert!(!printed.contains("pagemap") && !printed.contains("socket:"), "{printed}");
    }
    drop(inherited);
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let spawner = Spawner::new().unwrap();
    let check = async |bytes: &[u8], settings, expected: &str| {
        let executable = Executable::seal("the-plugin", bytes).unwrap();
        let error = spawner.spawn(&executable, settings).await.unwrap_err();
        assert!(matches!(error, SpawnError::Unfit(_)) && error.to_string().contains(expected), "{error}");
    };
    let script = b"#!/bin/sh\n";
    check(script, ChildSettings { args: vec!["a\0b".to_owned()], ..settings() }, "NUL byte").await;
    check(script, ChildSettings { args: vec!["a".repeat(1 << 20)], ..settings() }, "longer than this system").await;
    check(b"#!/etc/passwd\n", settings(), "its interpreter /etc/passwd is not executable").await;
    check(script, confined(Path::new("/nonexistent"), Confinement::default()), "grants /nonexistent").await;
    // A binary without segments has sound headers, and yet the kernel refuses it. No shell is asked to try.
    let mut program = std::fs::read("/bin/true").unwrap();
    program[56..58].fill(0);
    check(&program, settings(), "does not take the file as a program").await;
}

#[tokio::test]
async fn the_confined_reach_what_they_are_granted_and_nothing_else() {
    assert_eq!(confinement_support().lacks(), None, "this needs a kernel that has it all");
    let directory = tempfile::tempdir().unwrap();
    for name in ["sockets", "read", "write", "other"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
        std::fs::write(directory.path().join(name).join("file"), name).unwrap();
    }
    let path = |name: &str| directory.path().join(name);
    let script = format!(
        "#!/bin/sh\ncd /; top={}\nfor name in sockets read write other; do
            cat $top/$name/file >/dev/null 2>&1 && echo reads $name
            (echo more >>$top/$name/file) 2>/dev/null && echo writes $name
            mkdir $top/$name/new 2>/dev/null && echo makes $name
        done
        for file in /etc/passwd /etc/resolv.conf /etc/ssl/openssl.cnf; do [ ! -f $file ] || cat $file >/dev/null; done
        for file in /etc/shadow /proc/1/environ /proc/{}/environ; do cat $file 2>/dev/null && echo reads $file; done
        ls / /root /home 2>/dev/null && echo lists
        kill -0 {} 2>/dev/null && echo signals the host
        true",
        directory.path().display(),
        std::process::id(),
        std::process::id(),
    );
    let confinement = Confinement { read: vec![path("read")], write: vec![path("write")] };
    let (printed, exit) = run(&script, confined(&path("sockets"), confinement)).await;
    let granted = "reads sockets\nwrites sockets\nmakes sockets\nreads read\nreads write\nwrites write\nmakes write\n";
    assert_eq!((printed.as_str(), exit.code), (granted, Some(0)));

    let shell = std::fs::read("/bin/sh").unwrap();
    let args = vec!["-c".to_owned(), format!("cat {}/file", path("other").display())];
    let settings = confined(&path("sockets"), Confinement::default());
    let (printed, _) = run(shell, ChildSettings { args, ..settings }).await;
    assert!(printed.ends_with("Permission denied\n"), "{printed}");

    // Processes and threads, which POSIX has no way to ask for: shells differ.
    let script = "#!/bin/sh\nulimit -u 2>/dev/null || ulimit -p";
    let (printed, _) = run(script, confined(&path("sockets"), Confinement::default())).await;
    assert_eq!(printed, "500\n");
    let (printed, _) = run(script, self::settings()).await;
    assert_ne!(printed, "500\n", "others could leave, and count for everybody");

    let (printed, _) =
        run("#!/bin/sh\nunshare --user true; echo done", confined(&path("sockets"), Confinement::default())).await;
    assert!(printed.starts_with("done\n") && printed.contains("Operation not permitted"), "{printed}");
}

const ROLE: &str = "COFFERDAM_TEST_ROLE";
/// Names the fifo that what a host starts writes to.
const OUTPUT: &str = "COFFERDAM_TEST_OUTPUT";

fn role(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running test knows its own program"));
    command.args(["runtime::process::child::tests::play", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Plays the role that the parent asked for. In the parent itself there is nothing to do.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.as_str() {
        "host" => host(None),
        "confining host" => host(Some(Confinement::default())),
        "refused" => refused(),
        unknown => panic!("there is no role {unknown:?}"),
    }
}

/// A host that is killed at its best.
#[tokio::main(flavor = "current_thread")]
async fn host(confinement: Option<Confinement>) {
    let output = std::path::PathBuf::from(std::env::var_os(OUTPUT).expect("the parent names it"));
    let socket_directory = output.parent().unwrap().to_owned();
    // Should nobody below open it, it ends with this process.
    let _open = std::fs::OpenOptions::new().write(true).open(&output).unwrap();
    let args = vec![output.to_str().unwrap().to_owned()];
    // A wrapper whose plugin has a child of its own. All of them have the output open.
    let script = "#!/bin/sh\nexec 9>$1; sh -c 'sleep 1000 & sleep 1000 & echo ready >&9; wait' & wait";
    let settings = ChildSettings { args, confinement, socket_directory, ..settings() };
    let _child = spawn(script, settings).await;
    std::future::pending::<()>().await;
}

#[test]
fn nothing_outlives_a_killed_host() {
    for name in ["host", "confining host"] {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("output");
        assert!(Command::new("mkfifo").arg(&output).status().unwrap().success());
        let mut host = role(name).env(OUTPUT, &output).spawn().unwrap();
        let mut lines = BufReader::new(std::fs::File::open(&output).unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("ready")), "{name} got its plugin ready");
        host.kill().unwrap();
        host.wait().unwrap();
        // The output ends when all that have it open are dead.
        assert_eq!(lines.map_while(Result::ok).count(), 0);
    }
}

/// Makes calls under the filters.
fn refused() {
    for filter in super::syscalls::filters().unwrap() {
        seccompiler::apply_filter(&filter).unwrap();
    }
    // SAFETY: none of these calls does anything with such arguments, refused or not.
    #[allow(unsafe_code, reason = "the calls have no safe form")]
    let error = |call, first: libc::c_int| unsafe {
        assert_eq!(libc::syscall(call, first, 0, 0, 0, 0, 0), -1);
        std::io::Error::last_os_error().raw_os_error()
    };
    assert_eq!(error(libc::SYS_unshare, 0), Some(libc::EPERM));
    assert_eq!(error(libc::SYS_io_uring_setup, 0), Some(libc::EPERM));
    assert_eq!(error(libc::SYS_clone, libc::CLONE_NEWUSER), Some(libc::EPERM));
    assert_eq!(error(libc::SYS_clone3, 0), Some(libc::ENOSYS));
    assert_eq!(error(libc::SYS_setsid, 0), Some(libc::EPERM));
    assert_eq!(error(libc::SYS_setpgid, 0), Some(libc::EPERM));
    std::thread::spawn(|| ()).join().unwrap();
    assert!(Command::new("/bin/true").status().unwrap().success());
    println!("\nrefused as expected");
}

#[test]
fn calls_that_no_plugin_needs_are_refused() {
    let output = role("refused").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("\nrefused as expected\n"), "{printed}");
}
