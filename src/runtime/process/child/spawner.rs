//! The thread that forks.
//!
//! `PR_SET_PDEATHSIG` is sent when the *thread* that forked ends, and the threads of an async runtime come and go. So
//! all children are made by one thread that lives as long as anybody may still need it.

use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::confine::Confined;
use super::executable::{Executable, Interpretation};
use super::leader::{Child, Leader};
use super::setup::{Setup, Step};
use super::{ChildSettings, SpawnError};

/// The thread that forks. Clones share it, and every living child holds one; it ends with the last.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
}

/// How many of them wait is limited by how many processes there may be.
struct Request {
    executable: Executable,
    settings: ChildSettings,
    /// For the child to hold.
    spawner: Spawner,
    answer: oneshot::Sender<Result<Leader, SpawnError>>,
}

impl Spawner {
    /// Starts the thread.
    pub(crate) fn new() -> io::Result<Self> {
        let (requests, queue) = mpsc::channel::<Request>();
        thread::Builder::new().name("plugin-spawner".to_owned()).spawn(move || {
            for Request { executable, settings, spawner, answer } in queue {
                // Where nobody waits any more, the answer comes back and is dropped, which kills the process.
                let _ = answer.send(fork(&executable, &settings, spawner));
            }
        })?;
        Ok(Self { requests })
    }

    /// Makes a process of the executable. Returns when it executes, or could not.
    ///
    /// Needs a runtime with I/O, on which the process is watched.
    pub(crate) async fn spawn(&self, executable: &Executable, settings: ChildSettings) -> Result<Child, SpawnError> {
        let ended = |_| SpawnError::System("the thread that starts plugins has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let request = Request { executable: executable.clone(), settings, spawner: self.clone(), answer };
        self.requests.send(request).map_err(|_| ()).map_err(ended)?;
        answered.await.map_err(|_| ()).map_err(ended)??.watched()
    }
}

fn fork(executable: &Executable, settings: &ChildSettings, spawner: Spawner) -> Result<Leader, SpawnError> {
    let mut confined = match &settings.confinement {
        Some(confinement) => Confined::new(confinement, &settings.socket_directory, executable)?,
        None => Confined::default(),
    };
    let unconfined = confined.left_off.take();
    let (setup, guard) = Setup::new(executable, settings, confined)?;
    // Only its pipes, its process group and its report of errors are used: the set-up executes the program itself.
    let mut command = Command::new(executable.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: the closure makes system calls only and allocates nothing; all that it uses was made before.
    #[allow(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
    unsafe {
        command.pre_exec(move || Err(setup.run()));
    }
    let process = start(&mut command).map_err(|error| explained(error, executable))?;
    Leader::new(process, guard, unconfined, spawner)
}

/// Starts the process, waiting for whoever else keeps its file busy.
///
/// While another thread seals an executable, a process that is forked by somebody else in the host has the writable
/// descriptor of it, until it executes its own program a moment later. Until then that file is busy (ETXTBSY).
fn start(command: &mut Command) -> io::Result<std::process::Child> {
    const ATTEMPTS_MAX: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 1..ATTEMPTS_MAX {
        match command.spawn() {
            Err(error) if Step::of(&error).1.kind() == ErrorKind::ExecutableFileBusy => thread::sleep(PAUSE),
            other => return other,
        }
    }
    command.spawn()
}

/// Says in an operator's words why a process did not start.
fn explained(error: io::Error, executable: &Executable) -> SpawnError {
    let (step, error) = Step::of(&error);
    let unfit = |why: String| SpawnError::Unfit(why);
    let needs = match executable.interpretation() {
        Interpretation::Binary { loader: Some(loader) } => format!("its loader {}", loader.display()),
        Interpretation::Binary { loader: None } => "/proc".to_owned(),
        Interpretation::Script { interpreter } => format!("its interpreter {}", interpreter.display()),
    };
    match (step, error.raw_os_error()) {
        (Step::Execute, Some(libc::ENOENT)) => unfit(format!("the plugin cannot be executed: {needs} is not there")),
        (Step::Execute, Some(libc::ENOEXEC)) => unfit(
            "the kernel does not take the file as a program: it is damaged, or for another kind of machine; build the plugin \
             for this machine"
                .to_owned(),
        ),
        (Step::Execute, Some(libc::EACCES | libc::EPERM)) => unfit(format!(
            "the plugin may not be executed: {needs} is not executable or not granted, or a security module of this system \
             forbids executing files in memory: {error}"
        )),
        (Step::Execute, Some(libc::E2BIG)) => {
            unfit("the plugin's arguments and environment are longer than this system allows".to_owned())
        }
        (Step::Fork, Some(libc::EAGAIN)) => SpawnError::System(
            "this system grants no more processes; see `ulimit -u`, and the limits of the service or container".to_owned(),
        ),
        _ => SpawnError::of_system(step.what(), error),
    }
}
