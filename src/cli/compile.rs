//! `cofferdam compile`: what a server starts to have a component compiled. Not for people: it reads and writes pipes.

use clap::Args;

use super::console::{Ended, Exit};
use crate::runtime::process::close_inherited;
use crate::runtime::wasm::{JobFailed, run_compile_job};

/// What `cofferdam compile` takes.
#[derive(Args)]
pub(super) struct CompileCommand {
    /// What is to be compiled and within which limits, as the server says it
    job: String,
}

impl CompileCommand {
    /// Compiles what comes on standard input to standard output.
    pub(super) fn run(self) -> Result<Exit, Ended> {
        // First of all: nothing of who started this may be in reach of what a component makes the compiler do.
        close_inherited().map_err(|cause| Ended::local(format!("cannot close what was inherited: {cause}")))?;
        match run_compile_job(&self.job, std::io::stdin(), std::io::stdout()) {
            Ok(()) => Ok(Exit::Success),
            // The code is part of what the server understands.
            Err(failed @ JobFailed::Component(_)) => Err(Ended::remote(failed.to_string())),
            Err(failed @ JobFailed::Process(_)) => Err(Ended::local(failed.to_string())),
        }
    }
}
