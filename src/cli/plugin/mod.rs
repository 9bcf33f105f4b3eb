//! `plugin register`, `deregister` and `info`; the other commands have files of their own.

mod list;
mod pin;
mod reload;
mod top;
mod upgrade;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::Session;
use super::client::{Call, during};
use super::console::{Ended, Exit};
use super::flags::{InstanceFlags, Positionals};
use super::output::{Secret, go_text, warn};
use crate::ident::{PluginKind, PluginVersion};
use list::ListCommand;
use pin::{PinCommand, PinsCommand, UnpinCommand};
use reload::{ReloadCommand, ReloadStatusCommand};
use top::TopCommand;
use upgrade::UpgradeCommand;

/// The commands about plugins.
#[derive(Subcommand)]
pub(super) enum PluginCommand {
    /// Register a new plugin in the catalog
    Register(Box<RegisterCommand>),
    /// Deregister an existing plugin in the catalog
    Deregister(DeregisterCommand),
    /// List the catalog's plugins
    List(ListCommand),
    /// Read information about a plugin in the catalog
    Info(InfoCommand),
    /// Reload mounted plugins
    Reload(ReloadCommand),
    /// Tell how a reload of every node went
    #[command(name = "reload-status")]
    ReloadStatus(ReloadStatusCommand),
    /// Have every mount of a plugin run one version
    Pin(PinCommand),
    /// Let every mount of a plugin run the version that it asks for
    Unpin(UnpinCommand),
    /// List the plugins that are pinned
    Pins(PinsCommand),
    /// Register a version and bring every mount to it, or leave all as it was
    Upgrade(Box<UpgradeCommand>),
    /// Watch what plugins and mounts do
    Top(TopCommand),
}

impl PluginCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        match self {
            Self::Register(command) => command.run(session),
            Self::Deregister(command) => command.run(session),
            Self::List(command) => command.run(session),
            Self::Info(command) => command.run(session),
            Self::Reload(command) => command.run(session),
            Self::ReloadStatus(command) => command.run(session),
            Self::Pin(command) => command.run(session),
            Self::Unpin(command) => command.run(session),
            Self::Pins(command) => command.run(session),
            Self::Upgrade(command) => command.run(session),
            Self::Top(command) => command.run(session),
        }
    }
}

// ------------------------------------------------------------------------------------------------------------------
// register

/// `plugin register [TYPE] NAME`. It is also the request's body.
#[derive(Args, Serialize)]
#[command(override_usage = "cofferdam plugin register [options] [TYPE] NAME")]
pub(super) struct RegisterCommand {
    #[arg(skip)]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<PluginKind>,
    /// Argument to start the plugin with; may be repeated
    #[arg(long)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    /// Name of the plugin's file in the plugin directory [default: the plugin's name]
    #[arg(long)]
    command: Option<String>,
    /// SHA-256 of the plugin's file, in hexadecimal; required
    #[arg(long)]
    sha256: Option<String>,
    /// Semantic version of the plugin
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Environment variable of the plugin, as NAME=value; may be repeated
    #[arg(long)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    instances: InstanceFlags,
    /// Confine a native plugin to the network, the system's programs and libraries, and the paths below
    #[arg(long)]
    #[serde(skip_serializing_if = "is_unset")]
    confine: bool,
    /// File or directory that a confined plugin may read; may be repeated. Implies -confine
    #[arg(long)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    confine_read: Vec<String>,
    /// File or directory that a confined plugin may change; may be repeated. Implies -confine
    #[arg(long)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    confine_write: Vec<String>,
    #[command(flatten)]
    #[serde(skip)]
    arguments: Positionals,
}

impl RegisterCommand {
    fn run(mut self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let (kind, name) = std::mem::take(&mut self.arguments).type_and_name()?;
        if self.sha256.as_deref().unwrap_or_default().is_empty() {
            return Err(Ended::local("SHA256 is required for all plugins, please provide -sha256"));
        }
        self.kind = kind.as_deref().map(parse_kind).transpose()?;
        self.command.get_or_insert_with(|| name.clone());
        self.confine |= !self.confine_read.is_empty() || !self.confine_write.is_empty();
        let call = Call::new(Method::PUT, catalog_path(self.kind, &name)).with_body(&self);
        let answer = session.client.send(&call).and_then(|answer| answer.secret());
        let answer = answer.map_err(during(format!("registering plugin {name}")))?;
        session.console.line(format!("Success! Registered plugin: {name}"));
        if let Some(secret) = answer {
            warn(session.console, &secret);
            show_reach(session, self.confine, &secret);
        }
        Ok(Exit::Success)
    }
}

fn is_unset(flag: &bool) -> bool {
    !flag
}

/// Tells what a plugin could reach, before anybody mounts it; `plugin info` has the whole list of its imports. On
/// standard error, since Vault's output has no such line.
fn show_reach(session: &mut Session<'_>, confined: bool, registered: &Secret) {
    let reach = match registered.datum("runtime").as_ref().and_then(Value::as_str) {
        Some("wasm") => match registered.datum("capabilities") {
            Some(Value::Array(items)) if !items.is_empty() => {
                let items: Vec<String> = items.iter().map(go_text).collect();
                format!("its own storage, and {}", items.join(", "))
            }
            _ => "nothing but its own storage".to_owned(),
        },
        Some("native") if confined => {
            "the network, the system's programs and libraries, and the paths given".to_owned()
        }
        Some("native") => "whatever the server's user may: it is a process, and not confined".to_owned(),
        _ => return,
    };
    session.console.note(format!("Reaches: {reach}"));
}

// -------------------------------------------------------------------------------------------------------- deregister
// and info

/// `plugin deregister [TYPE] NAME`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin deregister [options] [TYPE] NAME")]
pub(super) struct DeregisterCommand {
    /// Semantic version of the plugin
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    arguments: Positionals,
}

impl DeregisterCommand {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let (kind, name) = self.arguments.type_and_name()?;
        let kind = kind.as_deref().map(parse_kind).transpose()?;
        let version = self.version.unwrap_or_default();
        if !version.is_empty() {
            version.parse::<PluginVersion>().map_err(|reason| Ended::remote(reason.to_string()))?;
        }
        let call = Call::new(Method::DELETE, catalog_path(kind, &name)).with_query("version", version);
        let answer = session.client.send(&call).and_then(|answer| answer.secret());
        let secret = answer.map_err(during(format!("deregistering plugin named {name}")))?.unwrap_or_default();
        warn(session.console, &secret);
        // Then it says no more, as Vault's newest client. The second text is that of Vault's server.
        let kept = ["nothing was deregistered", "no version was specified"];
        let warnings = secret.warnings.unwrap_or_default();
        if !warnings.iter().any(|warning| kept.iter().any(|text| warning.contains(text))) {
            session.console.line(format!("Success! Deregistered plugin (if it was registered): {name}"));
        }
        Ok(Exit::Success)
    }
}

/// `plugin info [TYPE] NAME`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin info [options] [TYPE] NAME")]
pub(super) struct InfoCommand {
    /// Semantic version of the plugin
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    arguments: Positionals,
}

impl InfoCommand {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let (kind, name) = self.arguments.type_and_name()?;
        let kind = kind.as_deref().map(parse_kind).transpose()?;
        let mut call = Call::get(catalog_path(kind, &name));
        if let Some(version) = self.version.filter(|version| !version.is_empty()) {
            call = call.with_query("version", version);
        }
        let answer = session.client.send(&call).and_then(|answer| answer.secret());
        let secret = answer.map_err(during(format!("reading plugin named {name}")))?.unwrap_or_default();
        warn(session.console, &secret);
        let data = secret.into_values().ok_or_else(|| Ended::remote(format!("No value found for plugin {name:?}")))?;
        session.view.map(session.console, &with_every_row(data))?;
        Ok(Exit::Success)
    }
}

/// Returns a record with the members that Vault always shows, whether the server sent them or not.
fn with_every_row(mut record: Map<String, Value>) -> Map<String, Value> {
    if record.get("args").is_none_or(Value::is_null) {
        record.insert("args".to_owned(), json!([]));
    }
    record.entry("builtin").or_insert(Value::Bool(false));
    for member in ["command", "deprecation_status", "name", "sha256", "version"] {
        record.entry(member).or_insert_with(|| Value::String(String::new()));
    }
    record
}

// --------------------------------------------------------------------------------------------------------------------
// helpers

fn parse_kind(typed: &str) -> Result<PluginKind, Ended> {
    typed.parse().map_err(|reason| Ended::remote(format!("{reason}")))
}

fn catalog_path(kind: Option<PluginKind>, name: &str) -> String {
    match kind {
        Some(kind) => format!("sys/plugins/catalog/{kind}/{name}"),
        None => format!("sys/plugins/catalog/{name}"),
    }
}
