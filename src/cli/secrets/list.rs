//! `secrets list`: the mount table, for people or programs.

use std::collections::BTreeMap;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::Session;
use crate::cli::client::{Call, during};
use crate::cli::console::{Ended, Exit};
use crate::cli::flags::Positionals;
use crate::cli::output::{go_text, warn};
use crate::cli::table::Table;

/// `secrets list`
#[derive(Args)]
#[command(override_usage = "cofferdam secrets list [options]")]
pub(in crate::cli) struct ListCommand {
    /// Print more about each mount
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    arguments: Positionals,
}

/// One mount, in the order in which Vault prints its members.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Mount {
    uuid: String,
    #[serde(rename = "type")]
    kind: String,
    description: String,
    accessor: String,
    config: Config,
    options: Option<Map<String, Value>>,
    local: bool,
    seal_wrap: bool,
    external_entropy_access: bool,
    plugin_version: String,
    running_plugin_version: String,
    running_sha256: String,
    deprecation_status: String,
    /// What newer servers add, and ours: whether the mount answers.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Config {
    default_lease_ttl: i64,
    max_lease_ttl: i64,
    force_no_cache: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ListCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [] = self.arguments.exactly()?;
        let what = "listing secrets engines";
        let answer = session.client.send(&Call::get("sys/mounts")).and_then(|answer| answer.secret());
        let secret = answer.map_err(during(what))?.unwrap_or_default();
        warn(session.console, &secret);
        let data =
            secret.data.ok_or_else(|| Ended::remote(format!("Error {what}: data from server response is empty")))?;
        let mounts: BTreeMap<String, Mount> = serde_json::from_value(Value::Object(data))
            .map_err(|reason| Ended::remote(format!("Error {what}: {reason}")))?;
        let table = if self.detailed { detailed(&mounts) } else { simple(&mounts) };
        session.view.table(session.console, table, &mounts)?;
        Ok(Exit::Success)
    }
}

impl Mount {
    /// Returns why a mount does not answer; nothing if it does, or if the server does not say.
    fn trouble(&self) -> Option<String> {
        let member = |name| self.rest.get(name).and_then(Value::as_str);
        let state = member("state").filter(|state| *state != "running")?;
        Some(match member("state_reason") {
            Some(reason) => format!("{state}: {}", reason.replace('\n', " ")),
            None => state.to_owned(),
        })
    }
}

fn simple(mounts: &BTreeMap<String, Mount>) -> Table {
    let mut table = Table::new(&["Path", "Type", "Accessor", "Description"]);
    for (path, mount) in mounts {
        table.row([path, &mount.kind, &mount.accessor, &mount.description]);
    }
    table
}

/// Vault's columns; and when a mount does not answer, one more that says why.
fn detailed(mounts: &BTreeMap<String, Mount>) -> Table {
    let mut titles = vec![
        "Path",
        "Plugin",
        "Accessor",
        "Default TTL",
        "Max TTL",
        "Force No Cache",
        "Replication",
        "Seal Wrap",
        "External Entropy Access",
        "Options",
        "Description",
        "UUID",
        "Version",
        "Running Version",
        "Running SHA256",
        "Deprecation Status",
    ];
    let has_trouble = mounts.values().any(|mount| mount.trouble().is_some());
    titles.extend(has_trouble.then_some("State"));
    let mut table = Table::new(&titles);
    for (path, mount) in mounts {
        let ttl = |seconds: i64| match (mount.kind.as_str(), seconds) {
            ("system" | "cubbyhole", _) => String::new(),
            (_, 0) => "system".to_owned(),
            (_, seconds) => seconds.to_string(),
        };
        let mut cells = vec![
            path.clone(),
            mount.kind.clone(),
            mount.accessor.clone(),
            ttl(mount.config.default_lease_ttl),
            ttl(mount.config.max_lease_ttl),
            mount.config.force_no_cache.to_string(),
            if mount.local { "local" } else { "replicated" }.to_owned(),
            mount.seal_wrap.to_string(),
            mount.external_entropy_access.to_string(),
            go_text(&Value::Object(mount.options.clone().unwrap_or_default())),
            mount.description.clone(),
            mount.uuid.clone(),
            mount.plugin_version.clone(),
            mount.running_plugin_version.clone(),
            mount.running_sha256.clone(),
            mount.deprecation_status.clone(),
        ];
        cells.extend(has_trouble.then(|| mount.trouble().unwrap_or_else(|| "running".to_owned())));
        table.row(cells);
    }
    table
}
