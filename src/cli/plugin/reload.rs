//! `plugin reload` and `plugin reload-status`.

use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::parse_kind;
use crate::cli::Session;
use crate::cli::client::{Call, during};
use crate::cli::console::{Ended, Exit};
use crate::cli::flags::Positionals;
use crate::cli::output::{go_text, warn};
use crate::cli::table::Table;

/// `plugin reload`
#[derive(Args, Serialize)]
#[command(override_usage = "cofferdam plugin reload [options]")]
pub(in crate::cli) struct ReloadCommand {
    /// Name of the plugin to reload
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    /// Paths of the mounts to reload, with commas between them; may be repeated
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<String>,
    /// `global` to reload on every node
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Type of the plugin to reload
    #[arg(long = "type")]
    #[serde(skip)]
    kind: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    arguments: Positionals,
}

impl ReloadCommand {
    pub(super) fn run(mut self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [] = std::mem::take(&mut self.arguments).exactly()?;
        self.plugin = self.plugin.take().filter(|plugin| !plugin.is_empty());
        let subject = match (&self.plugin, self.mounts.as_slice()) {
            (None, []) => return Err(Ended::local("Not enough arguments (expected 1, got 0)")),
            (Some(_), [_, ..]) => return Err(Ended::local("Too many arguments (expected 1, got 2)")),
            (Some(plugin), []) => format!("plugin: {plugin}"),
            (None, mounts) => format!("mounts: [{}]", mounts.join(" ")),
        };
        let is_global = match self.scope.as_deref() {
            None | Some("") => false,
            Some("global") => true,
            Some(scope) => return Err(Ended::local(format!("Invalid reload scope: {scope}"))),
        };
        let call = match (&self.kind, &self.plugin) {
            (Some(kind), Some(plugin)) => {
                let path = format!("sys/plugins/reload/{}/{plugin}", parse_kind(kind)?);
                Call::new(Method::PUT, path).with_body(json!({ "scope": self.scope.as_deref().unwrap_or_default() }))
            }
            _ => Call::new(Method::PUT, "sys/plugins/reload/backend").with_body(&self),
        };
        let answer = session.client.send(&call).and_then(|answer| answer.secret());
        let secret = answer.map_err(during("reloading plugin/mounts"))?.unwrap_or_default();
        warn(session.console, &secret);
        match secret.datum("reload_id").filter(|_| is_global) {
            Some(id) => session.console.line(format!("Success! Reloading {subject}, reload_id: {}", go_text(&id))),
            None => session.console.line(format!("Success! Reloaded {subject}")),
        }
        Ok(Exit::Success)
    }
}

/// `plugin reload-status RELOAD_ID`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin reload-status [options] RELOAD_ID")]
pub(in crate::cli) struct ReloadStatusCommand {
    #[command(flatten)]
    arguments: Positionals,
}

/// How a reload went on one node.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OnNode {
    timestamp: String,
    error: String,
}

impl ReloadStatusCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [id] = self.arguments.exactly()?;
        let call = Call::get("sys/plugins/reload/backend/status").with_query("reload_id", id.trim());
        let what = "retrieving plugin reload status";
        let answer = session.client.send(&call).and_then(|answer| answer.secret());
        let secret = answer.map_err(during(what))?.unwrap_or_default();
        warn(session.console, &secret);
        let data = secret.into_values().unwrap_or_default();
        let results = data.get("results").filter(|results| !results.is_null()).cloned().unwrap_or_else(|| json!({}));
        let results: Map<String, Value> =
            serde_json::from_value(results).map_err(|reason| Ended::remote(format!("Error {what}: {reason}")))?;
        let mut table = Table::new(&["Time", "Participant", "Success", "Message"]);
        for (node, result) in results {
            let result: OnNode =
                serde_json::from_value(result).map_err(|reason| Ended::remote(format!("Error {what}: {reason}")))?;
            // As Vault's, which shows a time of day and no date.
            let time = result.timestamp.parse::<Timestamp>().map(|time| time.strftime("%H:%M:%S").to_string());
            let time = time.unwrap_or(result.timestamp);
            table.row([time, node, result.error.is_empty().to_string(), result.error]);
        }
        session.view.table(session.console, table, &data)?;
        Ok(Exit::Success)
    }
}
