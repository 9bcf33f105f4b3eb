//! `cofferdam operator`: what an operator does to a storage that no server has open.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio::runtime::Runtime;

use super::console::{Console, Ended, Exit};
use super::server;
use crate::host::{check_storage, replace_root_token};
use crate::storage::DurableStorage;

/// The commands.
#[derive(Subcommand)]
pub(super) enum OperatorCommand {
    /// Make a new root token in place of the one that was lost; the server must be stopped
    GenerateRoot(StorageArgs),
    /// Read everything that is stored, and say what is damaged; the server must be stopped
    CheckStorage(StorageArgs),
}

/// Which storage.
#[derive(Args)]
pub(super) struct StorageArgs {
    /// The server's configuration file or directory; may be repeated
    #[arg(long, required = true)]
    config: Vec<PathBuf>,
}

/// Runs one of them.
pub(super) fn run(command: &OperatorCommand, console: &mut Console) -> Result<Exit, Ended> {
    let (OperatorCommand::GenerateRoot(arguments) | OperatorCommand::CheckStorage(arguments)) = command;
    let file = server::storage_file(&arguments.config)?;
    if !file.exists() {
        return Err(Ended::local(format!("there is no storage {} yet", file.display())));
    }
    let runtime = Runtime::new().map_err(|cause| Ended::local(format!("Error starting: {cause}")))?;
    let failed = |error: &dyn std::fmt::Display| Ended::local(error.to_string());
    match command {
        OperatorCommand::GenerateRoot(_) => {
            let storage = DurableStorage::open(&file).map_err(|error| failed(&error))?;
            let shown = |token: &str| console.line_now(format_args!("Root Token: {token}"));
            runtime.block_on(replace_root_token(&storage, shown)).map_err(|error| failed(&error.detail()))?;
            console.note("It replaces the one before. It is shown this once and kept nowhere.");
            Ok(Exit::Success)
        }
        OperatorCommand::CheckStorage(_) => {
            let checked = DurableStorage::check(&file).map_err(|error| failed(&error))?;
            let storage = DurableStorage::open(&file).map_err(|error| failed(&error))?;
            let report = runtime.block_on(check_storage(&storage)).map_err(|error| failed(&error.detail()))?;
            console.line(format_args!("{}: {} records", file.display(), report.records));
            for (place, keys) in &report.mounts {
                console.line(format_args!("{place}: {keys} keys"));
            }
            for problem in &report.problems {
                console.line(problem);
            }
            if !checked.whole {
                console.line("the file was damaged and has been repaired; what was stored last may be missing");
            }
            if checked.whole && report.problems.is_empty() {
                console.line("Success! The storage is whole");
                return Ok(Exit::Success);
            }
            Err(Ended::local("the storage is damaged: restore it from a backup, or go on with what is left"))
        }
    }
}
