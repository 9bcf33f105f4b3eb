//! `plugin list`: the catalog, for people or programs.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::parse_kind;
use crate::cli::Session;
use crate::cli::client::{Call, during};
use crate::cli::console::{Ended, Exit};
use crate::cli::flags::Positionals;
use crate::cli::output::warn;
use crate::cli::table::Table;

/// `plugin list [TYPE]`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin list [options] [TYPE]")]
pub(in crate::cli) struct ListCommand {
    /// Print more about each plugin
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    arguments: Positionals,
}

/// One line of the list, in the order in which Vault prints its members.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Details {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    builtin: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    deprecation_status: String,
    /// What newer servers add.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ListCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let typed = self.arguments.at_most_one()?;
        let kind = typed.as_deref().map(str::trim).filter(|typed| !typed.is_empty()).map(parse_kind).transpose()?;
        let answer = session.client.send(&Call::get("sys/plugins/catalog")).and_then(|answer| answer.secret());
        let what = "listing available plugins";
        let secret = answer.map_err(during(what))?.unwrap_or_default();
        warn(session.console, &secret);
        let mut catalog =
            secret.into_values().ok_or_else(|| Ended::remote("No response from server when listing plugins"))?;
        let details = catalog.remove("detailed").filter(|details| !details.is_null()).unwrap_or_else(|| json!([]));
        let mut details: Vec<Details> =
            serde_json::from_value(details).map_err(|reason| Ended::remote(format!("Error {what}: {reason}")))?;
        if let Some(kind) = kind {
            details.retain(|plugin| plugin.kind == kind.as_str());
            catalog.retain(|member, _| member == kind.as_str());
        }
        #[derive(Serialize)]
        struct List<'a> {
            #[serde(flatten)]
            names: &'a Map<String, Value>,
            details: &'a [Details],
        }
        let columns: &[Column] = match (self.detailed, kind) {
            (true, _) => &[NAME, TYPE, VERSION, STATUS],
            (false, None) => &[NAME, TYPE, VERSION],
            (false, Some(_)) => &[NAME, VERSION],
        };
        let table = tabulate(columns, &details);
        session.view.table(session.console, table, &List { names: &catalog, details: &details })?;
        Ok(Exit::Success)
    }
}

/// A column's title, and where its cells come from.
type Column = (&'static str, fn(&Details) -> &str);

const NAME: Column = ("Name", |plugin| &plugin.name);
const TYPE: Column = ("Type", |plugin| &plugin.kind);
const VERSION: Column = ("Version", |plugin| &plugin.version);
const STATUS: Column = ("Deprecation Status", |plugin| &plugin.deprecation_status);

fn tabulate(columns: &[Column], details: &[Details]) -> Table {
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let mut table = Table::new(&titles);
    details.iter().for_each(|plugin| table.row(columns.iter().map(|(_, cell)| cell(plugin))));
    table
}
