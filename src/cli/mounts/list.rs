//! `secrets list` and `auth list`: the mount tables, for people or programs.

use std::collections::BTreeMap;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kind::Kind;
use crate::cli::Session;
use crate::cli::client::{Call, during};
use crate::cli::console::{Ended, Exit};
use crate::cli::flags::Positionals;
use crate::cli::output::{go_text, warn};
use crate::cli::table::Table;

/// `secrets list` and `auth list`
#[derive(Args)]
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
pub(super) struct Mount {
    uuid: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
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
    pub(super) fn run(self, session: &mut Session<'_>, kind: Kind) -> Result<Exit, Ended> {
        let [] = self.arguments.exactly()?;
        let what = match kind {
            Kind::Auth => "listing enabled authentications",
            Kind::Secrets => "listing secrets engines",
        };
        let mounts = mounts(session, kind, what)?;
        let table = if self.detailed { detailed(&mounts, kind) } else { simple(&mounts, kind) };
        session.view.table(session.console, table, &mounts)?;
        Ok(Exit::Success)
    }
}

/// Asks for all mounts of a kind.
pub(super) fn mounts(session: &mut Session<'_>, kind: Kind, what: &str) -> Result<BTreeMap<String, Mount>, Ended> {
    let answer = session.client.send(&Call::get(kind.table())).and_then(|answer| answer.secret());
    let secret = answer.map_err(during(what))?.unwrap_or_default();
    warn(session.console, &secret);
    let data = secret
        .into_values()
        .ok_or_else(|| Ended::remote(format!("Error {what}: data from server response is empty")))?;
    serde_json::from_value(Value::Object(data)).map_err(|reason| Ended::remote(format!("Error {what}: {reason}")))
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

/// Vault shows versions of auth methods, and not of secrets engines.
fn simple(mounts: &BTreeMap<String, Mount>, kind: Kind) -> Table {
    let titles = ["Path", "Type", "Accessor", "Description", "Version"];
    let shown = if kind == Kind::Auth { titles.len() } else { titles.len() - 1 };
    let mut table = Table::new(&titles[..shown]);
    for (path, mount) in mounts {
        let cells = [path, &mount.kind, &mount.accessor, &mount.description, &mount.plugin_version];
        table.row(cells.into_iter().take(shown));
    }
    table
}

/// Vault's columns; and when a mount does not answer, one more that says why.
fn detailed(mounts: &BTreeMap<String, Mount>, kind: Kind) -> Table {
    let mut titles = vec![
        "Path",
        "Plugin",
        "Accessor",
        "Default TTL",
        "Max TTL",
        match kind {
            Kind::Auth => "Token Type",
            Kind::Secrets => "Force No Cache",
        },
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
            match kind {
                Kind::Auth => mount.config.rest.get("token_type").map(go_text).unwrap_or_default(),
                Kind::Secrets => mount.config.force_no_cache.to_string(),
            },
            if mount.local { "local" } else { "replicated" }.to_owned(),
            mount.seal_wrap.to_string(),
            mount.external_entropy_access.to_string(),
            go_text(Value::Object(mount.options.clone().unwrap_or_default())),
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
