//! `read`, `write`, `patch`, `list`, `delete` and `path-help`: requests to any path.

use clap::Args;
use ureq::http::Method;

use super::Session;
use super::client::{Answer, Call, during};
use super::console::{Ended, Exit};
use super::data;
use super::flags::{Positionals, bare_path};
use super::json::Json;
use super::output::{Format, Secret};

/// `read PATH [K=V…]`
#[derive(Args)]
#[command(override_usage = "cofferdam read [options] PATH [K=V...]")]
pub(super) struct ReadCommand {
    #[command(flatten)]
    arguments: Positionals,
}

impl ReadCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let (path, pairs) = self.arguments.first_and_rest()?;
        let path = bare_path(&path);
        let call = with_query(Call::get(&path), &pairs)?;
        let secret = session.client.find(&call).map_err(during(format!("reading {path}")))?;
        let secret = secret.ok_or_else(|| nothing_at(&path))?;
        session.view.secret(session.console, &secret)?;
        Ok(Exit::Success)
    }
}

/// `write PATH [K=V…]` and `patch PATH [K=V…]`
#[derive(Args)]
#[command(override_usage = "cofferdam write [options] PATH [K=V... | K=@FILE | K=- | @FILE | -]")]
pub(super) struct WriteCommand {
    /// Write even without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    arguments: Positionals,
}

/// What becomes of the members that a write does not name.
#[derive(Clone, Copy)]
pub(super) enum Writing {
    /// The plugin decides.
    Whole,
    /// They stay (RFC 7396).
    Merge,
}

impl WriteCommand {
    pub(super) fn run(self, session: &mut Session<'_>, writing: Writing) -> Result<Exit, Ended> {
        let (path, pairs) = self.arguments.first_and_rest()?;
        if pairs.is_empty() && !self.force {
            return Err(Ended::local("Must supply data or use -force"));
        }
        let path = bare_path(&path);
        let data = data::parse(&pairs, &mut std::io::stdin().lock()).map_err(unparsed)?;
        let method = match writing {
            Writing::Whole => Method::PUT,
            Writing::Merge => Method::PATCH,
        };
        let call = Call::new(method, &path).with_body(data);
        let answer = session.client.send(&call).map_err(during(format!("writing data to {path}")))?;
        show_change(session, &answer, format!("Success! Data written to: {path}"))
    }
}

/// `list PATH`
#[derive(Args)]
#[command(override_usage = "cofferdam list [options] PATH")]
pub(super) struct ListCommand {
    #[command(flatten)]
    arguments: Positionals,
}

impl ListCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [path] = self.arguments.exactly()?;
        let path = bare_path(&path);
        let call = Call::get(&path).with_query("list", "true");
        let secret = session.client.find(&call).map_err(during(format!("listing {path}")))?;
        match secret.as_ref().and_then(|secret| secret.member("keys")) {
            Some(Json::List(keys)) => {
                session.view.keys(session.console, secret.as_ref().unwrap_or(&Secret::default()), keys)?;
                Ok(Exit::Success)
            }
            // Programs get an empty object, and learn from the exit code that it is none of the server's.
            _ if session.view.format != Format::Table => {
                session.view.map(session.console, &serde_json::Map::new())?;
                Ok(Exit::Remote)
            }
            _ => match secret {
                None => Err(nothing_at(&path)),
                Some(Secret { data: Some(_), .. }) => Err(Ended::remote(format!("No entries found at {path}"))),
                Some(secret) => session.view.secret(session.console, &secret).map(|()| Exit::Success),
            },
        }
    }
}

/// `delete PATH [K=V…]`
#[derive(Args)]
#[command(override_usage = "cofferdam delete [options] PATH [K=V...]")]
pub(super) struct DeleteCommand {
    #[command(flatten)]
    arguments: Positionals,
}

impl DeleteCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let (path, pairs) = self.arguments.first_and_rest()?;
        let path = bare_path(&path);
        let call = with_query(Call::new(Method::DELETE, &path), &pairs)?;
        let answer = session.client.send(&call).map_err(during(format!("deleting {path}")))?;
        show_change(session, &answer, format!("Success! Data deleted (if it existed) at: {path}"))
    }
}

/// `path-help PATH`
#[derive(Args)]
#[command(override_usage = "cofferdam path-help [options] PATH")]
pub(super) struct PathHelpCommand {
    #[command(flatten)]
    arguments: Positionals,
}

impl PathHelpCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [path] = self.arguments.exactly()?;
        let call = Call::get(bare_path(&path)).with_query("help", "1");
        let answer = session.client.send(&call).and_then(|answer| answer.document());
        let Json::Object(answer) = answer.map_err(during("retrieving help"))? else {
            return Err(Ended::remote("Error retrieving help: the answer is no JSON object"));
        };
        match session.view.format {
            Format::Json => session.view.whole(session.console, answer.get("openapi").unwrap_or(&Json::Null))?,
            _ => session.console.line(answer.get("help").and_then(Json::as_str).unwrap_or_default()),
        }
        Ok(Exit::Success)
    }
}

/// Prints what a change answered; if it answered nothing, people are told that it was made.
fn show_change(session: &mut Session<'_>, answer: &Answer, done: String) -> Result<Exit, Ended> {
    match answer.secret().map_err(during("reading the answer"))? {
        Some(secret) => session.view.secret(session.console, &secret)?,
        None if session.view.format == Format::Table => session.console.line(done),
        None => {}
    }
    Ok(Exit::Success)
}

fn with_query(call: Call, pairs: &[String]) -> Result<Call, Ended> {
    let query = data::parse_query(pairs, &mut std::io::stdin().lock()).map_err(unparsed)?;
    Ok(query.into_iter().fold(call, |call, (name, value)| call.with_query(name, value)))
}

fn unparsed(reason: String) -> Ended {
    Ended::local(format!("Failed to parse K=V data: {reason}"))
}

fn nothing_at(path: &str) -> Ended {
    Ended::remote(format!("No value found at {path}"))
}
