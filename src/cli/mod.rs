//! The `cofferdam` program: Vault's commands over Vault's HTTP API. The only module that prints.
//!
//! A command is a struct of what was typed; its `run` makes client calls, and prints what they answer. Each ends with
//! an exit code, or early with the reason.

mod arguments;
mod argv;
mod clean;
mod client;
mod compile;
mod console;
mod data;
mod duration;
mod environment;
mod flags;
mod json;
mod logical;
mod mounts;
mod operator;
mod output;
mod plugin;
mod server;
mod status;
mod table;
mod usage;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use arguments::{Arguments, ClientCommand, Command};
use client::Client;
use console::{Console, Ended, Exit};
pub use environment::Environment;
use output::{Format, View};

/// Runs the command that these arguments name, the program's own name first, and returns the code to exit with: 0, 1
/// for a failure on this side, 2 for one on the server's, 127 for no command.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> u8 {
    let mut console = Console::default();
    let exit = match parse(arguments).and_then(|arguments| dispatch(arguments, environment, &mut console)) {
        Ok(exit) => exit,
        Err(Ended::Answered(text)) => {
            console.line(text);
            Exit::Success
        }
        Err(Ended::Failed(exit, message)) => {
            console.note(message);
            exit
        }
    };
    console.finish(exit) as u8
}

/// What a command works with.
struct Session<'a> {
    client: Client,
    console: &'a mut Console,
    view: View,
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Ended> {
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(OsString::into_string)
        .collect::<Result<_, _>>()
        .map_err(|argument| Ended::local(format!("argument {} is not UTF-8", argument.display())))?;
    if let [_, flag] = arguments.as_slice()
        && matches!(flag.as_str(), "-v" | "-version" | "--version")
    {
        return Err(Ended::Answered(version()));
    }
    let arguments = argv::normalise(&Arguments::command(), arguments);
    Arguments::try_parse_from(&arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => Ended::Answered(error.render().to_string().trim_end().to_owned()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::InvalidSubcommand => without_command(&arguments),
        _ => Ended::local(usage::explain(&error)),
    })
}

/// Ends as Vault does: with the usage of what has commands, and with another code where not even the first word is one.
fn without_command(arguments: &[String]) -> Ended {
    let mut root = Arguments::command();
    root.build();
    let group = arguments.iter().skip(1).find(|word| !word.starts_with('-'));
    match group.and_then(|group| root.find_subcommand_mut(group)) {
        Some(group) => Ended::local(group.render_help().to_string().trim_end()),
        None => Ended::Failed(Exit::NoCommand, root.render_help().to_string().trim_end().to_owned()),
    }
}

fn dispatch(arguments: Arguments, environment: &Environment, console: &mut Console) -> Result<Exit, Ended> {
    let Arguments { connection, output, command } = arguments;
    // Commands that talk to no server come first: they need no client, and no setting of one can fail them.
    let command = match command {
        Command::Version => {
            console.line(version());
            return Ok(Exit::Success);
        }
        Command::Operator(command) => return operator::run(&command, console),
        Command::Compile(command) => return command.run(),
        Command::Server(arguments) => return server::run(arguments, environment, console),
        Command::Client(command) => command,
    };
    let format = output.format.or_else(|| environment.format.clone());
    let format = format.as_deref().unwrap_or("table").parse::<Format>()?;
    let is_status = matches!(command, ClientCommand::Status(_));
    match format {
        Format::Raw if !matches!(command, ClientCommand::Read(_)) => {
            return Err(Ended::local("Invalid output format: raw (it is for read alone)"));
        }
        Format::Pretty if !is_status => {
            return Err(Ended::local("Invalid output format: pretty (it is for status alone)"));
        }
        _ => {}
    }
    let client = Client::new(&connection, environment)
        .map_err(|ended| if is_status { ended.with_exit(Exit::Local) } else { ended })?;
    let session = &mut Session { client, console, view: View { format, field: output.field } };
    match command {
        ClientCommand::Read(command) => command.run(session),
        ClientCommand::Write(command) => command.run(session, logical::Writing::Whole),
        ClientCommand::Patch(command) => command.run(session, logical::Writing::Merge),
        ClientCommand::List(command) => command.run(session),
        ClientCommand::Delete(command) => command.run(session),
        ClientCommand::PathHelp(command) => command.run(session),
        ClientCommand::Plugin(command) => command.run(session),
        ClientCommand::Secrets(command) => command.run(session),
        ClientCommand::Auth(command) => command.run(session),
        ClientCommand::Status(arguments) => status::run(arguments, session),
    }
}

fn version() -> String {
    format!("Cofferdam v{}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Arguments::command().debug_assert();
    }
}
