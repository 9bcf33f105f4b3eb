//! What may be typed: the commands.

use clap::{Parser, Subcommand};

use super::compile::CompileCommand;
use super::flags::{ConnectionFlags, OutputFlags, Positionals};
use super::logical::{DeleteCommand, ListCommand, PathHelpCommand, ReadCommand, WriteCommand};
use super::mounts::{AuthCommand, SecretsCommand};
use super::operator::OperatorCommand;
use super::plugin::PluginCommand;
use super::server::ServerArgs;

/// The whole command line.
#[derive(Parser)]
#[command(
    name = "cofferdam",
    about = "Secrets engines and auth methods as sandboxed plugins, driven as Vault is",
    // As in Go, a flag given twice means what it said last.
    args_override_self = true,
    disable_help_subcommand = true
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) connection: ConnectionFlags,
    #[command(flatten)]
    pub(super) output: OutputFlags,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Client(ClientCommand),
    /// Start a server
    Server(ServerArgs),
    /// Look after the storage of a server that is stopped
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Compile a component for a server, which hands it in
    #[command(hide = true)]
    Compile(CompileCommand),
    /// Print the version of this program
    Version,
}

/// The commands that talk to a server.
#[derive(Subcommand)]
pub(super) enum ClientCommand {
    /// Read data and retrieve secrets
    Read(ReadCommand),
    /// Write data, configuration, and secrets
    Write(WriteCommand),
    /// Patch data, configuration, and secrets
    Patch(WriteCommand),
    /// List data or secrets
    List(ListCommand),
    /// Delete secrets and configuration
    Delete(DeleteCommand),
    /// Retrieve API help for paths
    PathHelp(PathHelpCommand),
    /// Interact with plugins and the catalog
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Interact with secrets engines
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Interact with auth methods
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Print seal and HA status
    Status(Positionals),
}
