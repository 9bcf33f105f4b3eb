//! Compiling in a process of its own, so that what a component does to the compiler it does to nobody else.
//!
//! A compiler cannot be interrupted and its memory cannot be bounded inside a process that has other work. So the
//! server runs its own program again: the component goes in through a pipe, and machine code comes out through another.
//! The process has limits on memory and processor time that it sets before it reads a byte, and it is killed at the
//! deadline; it has no variable of its parent's, and nothing open but its pipes.
//!
//! It ends when the one who started it does, however that ends, because its input ends then. The kernel's signal at a
//! parent's death would not do: it is tied to the thread that started a process, and tokio's come and go.
//!
//! The code that comes out runs outside any sandbox. It is taken from a process that this one started, of a program
//! that the embedder named, over a pipe that nobody else holds.

#[cfg(feature = "cli")]
mod job;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::world::World;
use crate::limits::Limits;
use crate::runtime::LoadError;

#[cfg(feature = "cli")]
pub(crate) use job::{JobFailed, run};

/// The command that makes a program of ours compile.
const COMMAND: &str = "compile";

/// What a compiler is called among the processes of a machine, wherever its program lies.
const PROCESS_NAME: &str = "cofferdam";

/// A variable for a compiler's allocator, which is to take memory as it is used, and not a GiB at once, of which all
/// would count against the limit.
const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// A variable for how many threads it has.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Threads of one compiler, at most: one for each core until then. Each takes memory of its own, so without this a
/// machine of many cores would need another limit on memory than one of few.
const THREADS_MAX: usize = 4;

/// The exit code that says that the component is at fault.
const REFUSED: i32 = 2;

/// What is kept of what a compiler says, in bytes: one line, or how it panicked.
const MESSAGE_BYTES_MAX: u64 = 8 << 10;

/// What of it goes to the log when it fails otherwise than by refusing a component, in characters: its first line,
/// unless a component has put more there.
const LOGGED_CHARS_MAX: usize = 300;

/// What the standard library and our own job say when they get no more memory, or no thread for want of a stack.
const OUT_OF_MEMORY: [&str; 4] =
    ["memory allocation of", "out of memory", "Cannot allocate memory", "Resource temporarily unavailable"];

/// Where components are compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compiler {
    /// In the host's own process. A component that is made for it can keep the compiler busy for ever and take memory
    /// without bound: components are looked through before, which stops what is large but not what is intricate. For
    /// those who trust the components that they register.
    #[default]
    InProcess,
    /// In a process for each compilation, of this program: the `cofferdam` program of the same version as the host. It
    /// may take [`Limits::compile_memory_bytes_max`] of memory and [`Limits::load_deadline`] of time. Needs a tokio
    /// runtime with I/O.
    Program(PathBuf),
}

/// What a compiler is told on its command line.
#[derive(Serialize, Deserialize)]
struct Job {
    world: World,
    component_bytes: usize,
    memory_bytes_max: u64,
    cpu_seconds_max: u64,
}

/// Has a program compile a component, and returns its code: no more than so many bytes. Gives up when the last argument
/// is ready. Returns when the program's process is gone, and no earlier.
pub(super) async fn compile(
    program: &Path,
    limits: &Limits,
    world: World,
    component: &[u8],
    code_bytes_max: u64,
    abandoned: impl Future<Output = ()>,
) -> Result<Vec<u8>, LoadError> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX));
    let job = Job {
        world,
        component_bytes: component.len(),
        memory_bytes_max: limits.compile_memory_bytes_max,
        // All threads until the deadline: only one whose parent cannot kill it any more gets so far.
        cpu_seconds_max: limits.load_deadline.as_secs().saturating_add(1).saturating_mul(threads as u64),
    };
    let failed = |cause: &dyn std::fmt::Display| {
        LoadError::Host(format!("cannot compile with the program {}: {cause}", program.display()))
    };
    let job = serde_json::to_string(&job).map_err(|cause| failed(&cause))?;
    let mut command = Command::new(program);
    command.arg0(PROCESS_NAME).arg(COMMAND).arg(job);
    command.env_clear().env(ALLOCATOR.0, ALLOCATOR.1).env(THREADS, threads.to_string());
    drive(command, limits, component, code_bytes_max, abandoned).await.map_err(|cause| failed(&cause))?
}

/// Starts a compiler and sees it through to its end. Fails outside where it cannot be started or talked to.
async fn drive(
    mut command: Command,
    limits: &Limits,
    component: &[u8],
    code_bytes_max: u64,
    abandoned: impl Future<Output = ()>,
) -> io::Result<Result<Vec<u8>, LoadError>> {
    let mut child = command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let outcome = tokio::select! {
        outcome = timeout(limits.load_deadline, converse(&mut child, component, code_bytes_max)) => Some(outcome),
        () = abandoned => None,
    };
    if !matches!(outcome, Some(Ok(Ok(_)))) {
        // Until it is gone it takes memory, so its turn is kept as long.
        child.kill().await?;
    }
    Ok(match outcome {
        Some(Ok(ended)) => judge(ended?, limits, code_bytes_max),
        Some(Err(_)) => Err(LoadError::Deadline(limits.load_deadline)),
        None => Err(LoadError::Host("nobody waited for it any more".to_owned())),
    })
}

/// How a compiler ended, and what it left.
struct Ended {
    status: ExitStatus,
    /// One byte more than it may be, at most.
    code: Vec<u8>,
    message: String,
}

/// Hands a component over and takes what comes back.
async fn converse(child: &mut Child, component: &[u8], code_bytes_max: u64) -> io::Result<Ended> {
    let gone = || io::Error::other("it has no pipes");
    let (mut input, output, errors) = (
        child.stdin.take().ok_or_else(gone)?,
        child.stdout.take().ok_or_else(gone)?,
        child.stderr.take().ok_or_else(gone)?,
    );
    // What it does not read, because it ended or refused, nobody misses. The pipe stays open to the end: it would tell
    // the compiler that nobody waits.
    let (_, code, message) = tokio::join!(
        input.write_all(component),
        read(output, code_bytes_max.saturating_add(1)),
        hear(errors, MESSAGE_BYTES_MAX)
    );
    let (code, message) = (code?, message?);
    let status = child.wait().await?;
    drop(input);
    Ok(Ended { status, code, message: String::from_utf8_lossy(&message).trim().to_owned() })
}

/// Reads no more than this, and closes what it reads from: who has more to say fails to.
async fn read(from: impl AsyncRead + Unpin, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(bytes_max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Reads to the end and keeps no more than this: who has more to say goes on as if it were heard.
async fn hear(mut from: impl AsyncRead + Unpin, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(bytes_max).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

/// Says what a compiler's end means.
fn judge(ended: Ended, limits: &Limits, code_bytes_max: u64) -> Result<Vec<u8>, LoadError> {
    use std::os::unix::process::ExitStatusExt as _;
    let Ended { status, code, message } = ended;
    if code.len() as u64 > code_bytes_max {
        return Err(LoadError::Unfit(format!(
            "the component's machine code has more than {code_bytes_max} bytes, far more than its size accounts for; build \
             it smaller"
        )));
    }
    if status.success() {
        return Ok(code);
    }
    if status.code() == Some(REFUSED) {
        return Err(LoadError::Unfit(message));
    }
    let memory_max = limits.compile_memory_bytes_max;
    match status.signal().and_then(Signal::from_named_raw) {
        // Nobody else kills it but the system that has no memory left.
        Some(Signal::KILL) => {
            return Err(LoadError::Unfit(format!(
                "the system ended the compiler of this component, most likely because memory ran out. It may take {memory_max} \
                 bytes: give the server that much more, or lower compile_memory in its limits stanza \
                 (Limits::compile_memory_bytes_max)"
            )));
        }
        Some(Signal::XCPU) => return Err(LoadError::Deadline(limits.load_deadline)),
        _ => {}
    }
    if OUT_OF_MEMORY.iter().any(|said| message.contains(said)) {
        return Err(LoadError::Unfit(format!(
            "the component took more than {memory_max} bytes of memory to compile: raise compile_memory in the server's limits \
             stanza (Limits::compile_memory_bytes_max), or build it smaller"
        )));
    }
    // A component's names may be part of it, so it goes to the log quoted and short, and to nobody else.
    let said: String = message.lines().next().unwrap_or_default().chars().take(LOGGED_CHARS_MAX).collect();
    tracing::warn!(%status, ?said, "the compiler failed on a component");
    Err(LoadError::Unfit(format!(
        "the compiler failed on this component ({status}); build it with another version of its toolchain, or without \
         optimisation"
    )))
}
