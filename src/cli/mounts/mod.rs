//! `secrets` and `auth`: `enable`, `list`, `tune`, `move` and `disable`, and the help of auth methods.

mod configure;
mod help;
mod kind;
mod list;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use ureq::http::Method;

use super::Session;
use super::client::{Call, during};
use super::console::{Ended, Exit};
use super::flags::{Positionals, bare_path, mount_path};
use super::json::Json;
use super::output::warn;
use configure::{AuthEnableCommand, AuthTuneCommand, SecretsEnableCommand, SecretsTuneCommand};
use help::HelpCommand;
use kind::Kind;
use list::ListCommand;

/// The commands about secrets engines.
#[derive(Subcommand)]
pub(super) enum SecretsCommand {
    /// Enable a secrets engine
    #[command(override_usage = "cofferdam secrets enable [options] TYPE")]
    Enable(Box<SecretsEnableCommand>),
    /// List enabled secrets engines
    #[command(override_usage = "cofferdam secrets list [options]")]
    List(ListCommand),
    /// Tune a secrets engine configuration
    #[command(override_usage = "cofferdam secrets tune [options] PATH")]
    Tune(Box<SecretsTuneCommand>),
    /// Move a secrets engine to a new path
    #[command(override_usage = "cofferdam secrets move [options] SOURCE DESTINATION")]
    Move(MoveCommand),
    /// Disable a secrets engine
    #[command(override_usage = "cofferdam secrets disable [options] PATH")]
    Disable(DisableCommand),
}

impl SecretsCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        match self {
            Self::Enable(command) => command.run(session),
            Self::List(command) => command.run(session, Kind::Secrets),
            Self::Tune(command) => command.run(session),
            Self::Move(command) => command.run(session, Kind::Secrets),
            Self::Disable(command) => command.run(session, Kind::Secrets),
        }
    }
}

/// The commands about auth methods.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum AuthCommand {
    /// Enable a new auth method
    #[command(override_usage = "cofferdam auth enable [options] TYPE")]
    Enable(Box<AuthEnableCommand>),
    /// List enabled auth methods
    #[command(override_usage = "cofferdam auth list [options]")]
    List(ListCommand),
    /// Tune an auth method configuration
    #[command(override_usage = "cofferdam auth tune [options] PATH")]
    Tune(Box<AuthTuneCommand>),
    /// Move an auth method to a new path
    #[command(override_usage = "cofferdam auth move [options] SOURCE DESTINATION")]
    Move(MoveCommand),
    /// Disable an auth method
    #[command(override_usage = "cofferdam auth disable [options] PATH")]
    Disable(DisableCommand),
    /// Print what an auth method says of its use
    #[command(override_usage = "cofferdam auth help [options] TYPE | PATH")]
    Help(HelpCommand),
}

impl AuthCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        match self {
            Self::Enable(command) => command.run(session),
            Self::List(command) => command.run(session, Kind::Auth),
            Self::Tune(command) => command.run(session),
            Self::Move(command) => command.run(session, Kind::Auth),
            Self::Disable(command) => command.run(session, Kind::Auth),
            Self::Help(command) => command.run(session),
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- move and
// disable

/// `secrets move SOURCE DESTINATION` and `auth move SOURCE DESTINATION`
#[derive(Args)]
pub(super) struct MoveCommand {
    #[command(flatten)]
    arguments: Positionals,
}

/// Between two looks at a move that is not over. A move takes no time of its own; it waits for the requests in flight.
const MOVE_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl MoveCommand {
    fn run(self, session: &mut Session<'_>, kind: Kind) -> Result<Exit, Ended> {
        let [source, destination] = self.arguments.exactly()?;
        let (source, destination) = (mount_path(&source), mount_path(&destination));
        let body = json!({"from": kind.whole(&source), "to": kind.whole(&destination)});
        let move_call = Call::new(Method::POST, "sys/remount").with_body(body);
        let answer = session.client.send(&move_call).and_then(|answer| answer.secret());
        let failed = format!("moving {} {source} to {destination}", kind.noun());
        let started = answer.map_err(during(&failed))?.unwrap_or_default();
        let Some(id) = started.member("migration_id").and_then(Json::as_str) else {
            return Err(Ended::remote(format!("Error {failed}: the answer holds no migration ID")));
        };
        let subject = format!("{} {source} to {destination}, with migration ID {id}", kind.noun());
        session.console.line(format!("Started moving {subject}"));
        let status_call = Call::get(format!("sys/remount/status/{id}"));
        loop {
            let what = format!("checking migration status of {} {source} to {destination}", kind.noun());
            let answer = session.client.send(&status_call).and_then(|answer| answer.secret());
            let secret = answer.map_err(during(what))?.unwrap_or_default();
            let info = secret.datum("migration_info").unwrap_or_default();
            match info["status"].as_str() {
                Some("success") => {
                    session.console.line(format!("Success! Finished moving {subject}"));
                    return Ok(Exit::Success);
                }
                Some("failure") => {
                    // Where the server says why: a status has no room for it.
                    warn(session.console, &started);
                    return Err(Ended::remote(format!("Failure! Error encountered moving {subject}")));
                }
                _ => session.console.line(format!("Waiting for terminal status in migration of {subject}")),
            }
            std::thread::sleep(MOVE_POLL_INTERVAL);
        }
    }
}

/// `secrets disable PATH` and `auth disable PATH`
#[derive(Args)]
pub(super) struct DisableCommand {
    #[command(flatten)]
    arguments: Positionals,
}

impl DisableCommand {
    fn run(self, session: &mut Session<'_>, kind: Kind) -> Result<Exit, Ended> {
        let [typed] = self.arguments.exactly()?;
        let (noun, path) = (kind.noun(), mount_path(&bare_path(&typed)));
        let call = Call::new(Method::DELETE, format!("{}/{path}", kind.table()));
        send_change(session, &call, format!("disabling {noun} at {path}"))?;
        session.console.line(format!("Success! Disabled the {noun} (if it existed) at: {path}"));
        Ok(Exit::Success)
    }
}

/// Sends a call whose answer holds warnings at most.
fn send_change(session: &mut Session<'_>, call: &Call, what: String) -> Result<(), Ended> {
    let answer = session.client.send(call).and_then(|answer| answer.secret()).map_err(during(what))?;
    answer.iter().for_each(|secret| warn(session.console, secret));
    Ok(())
}
