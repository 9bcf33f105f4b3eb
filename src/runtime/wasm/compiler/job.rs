//! The other side: a process that compiles one component and ends.

use std::io::{Read, Write};

use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, nice, setrlimit};

use super::Job;
use crate::runtime::wasm::engine;

/// How much a compiler gives way to those who serve.
const NICENESS: i32 = 10;

/// Between the signal that ends a process and says why, and the one that says nothing, in seconds of processor time.
const CPU_GRACE_SECONDS: u64 = 5;

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobFailed {
    /// The component is at fault.
    #[error("the file is not a valid WebAssembly component: {0}")]
    Component(String),
    /// This process is, or who started it.
    #[error("cannot compile: {0}")]
    Process(String),
}

impl JobFailed {
    fn of(cause: impl std::fmt::Display) -> Self {
        Self::Process(cause.to_string())
    }
}

/// Does a job: reads a component and writes its code, within the job's limits on this process. The process is to do
/// nothing else.
pub(crate) fn run(job: &str, mut input: impl Read + Send + 'static, mut output: impl Write) -> Result<(), JobFailed> {
    let job: Job = serde_json::from_str(job).map_err(JobFailed::of)?;
    confine(&job).map_err(JobFailed::of)?;
    let mut component = Vec::new();
    let wanted = job.component_bytes as u64;
    let read = (&mut input).take(wanted).read_to_end(&mut component).map_err(JobFailed::of)?;
    if read != job.component_bytes {
        return Err(JobFailed::of("the component ends early"));
    }
    std::thread::Builder::new()
        .name("cofferdam-parent".to_owned())
        .spawn(move || {
            // The end of the input, or an error: either way nobody waits for the code any more. Nothing is left to be
            // tidied up, and no lock of a thread that compiles can hold a kill up.
            drop(input.read(&mut [0]));
            let _ = kill_process(getpid(), Signal::KILL);
        })
        .map_err(JobFailed::of)?;
    let code = engine::precompile(job.world, &component).map_err(|cause| {
        let is_out_of_memory = cause.is::<wasmtime::OutOfMemory>()
            || cause.root_cause().downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM);
        if is_out_of_memory { JobFailed::of("out of memory") } else { JobFailed::Component(format!("{cause:#}")) }
    })?;
    output.write_all(&code).and_then(|()| output.flush()).map_err(JobFailed::of)
}

/// Takes from this process what the job does not need.
fn confine(job: &Job) -> rustix::io::Result<()> {
    let at_most = |resource: Resource, current: u64, maximum: u64| {
        let before = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Rlimit { current: Some(current.min(before)), maximum: Some(maximum.min(before)) };
        setrlimit(resource, limit)
    };
    // Memory that a machine must have. RLIMIT_AS would count what is only reserved: by the allocator, 64 MiB for each
    // thread.
    at_most(Resource::Data, job.memory_bytes_max, job.memory_bytes_max)?;
    at_most(Resource::Cpu, job.cpu_seconds_max, job.cpu_seconds_max.saturating_add(CPU_GRACE_SECONDS))?;
    at_most(Resource::Core, 0, 0)?;
    at_most(Resource::Fsize, 0, 0)?;
    // It is for the others' sake; where it cannot be done they wait a little longer.
    let _ = nice(NICENESS);
    Ok(())
}
