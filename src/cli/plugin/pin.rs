//! `plugin pin`, `unpin` and `pins`: commands that Vault leaves to `write`, `delete` and `read`.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ureq::http::Method;

use super::parse_kind;
use crate::cli::Session;
use crate::cli::client::{Call, during};
use crate::cli::console::{Ended, Exit};
use crate::cli::flags::Positionals;
use crate::cli::output::warn;
use crate::cli::table::Table;
use crate::ident::PluginVersion;

/// `plugin pin TYPE NAME`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin pin [options] TYPE NAME")]
pub(in crate::cli) struct PinCommand {
    /// Version that every mount is started with from now on; required
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    arguments: Positionals,
}

impl PinCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [kind, name] = self.arguments.exactly()?;
        let (kind, name) = (parse_kind(kind.trim())?, name.trim());
        let version = self.version.filter(|version| !version.is_empty());
        let version = version.ok_or_else(|| Ended::local("Version is required, please provide -version"))?;
        let version: PluginVersion = version.parse().map_err(|reason| Ended::remote(format!("{reason}")))?;
        let call = Call::new(Method::PUT, format!("sys/plugins/pins/{kind}/{name}"))
            .with_body(json!({ "version": version.to_string() }));
        let answer = session.client.send(&call).and_then(|answer| answer.secret());
        let secret = answer.map_err(during(format!("pinning plugin {name}")))?.unwrap_or_default();
        warn(session.console, &secret);
        session.console.line(format!("Success! Pinned {kind} plugin {name} to version: {version}"));
        Ok(Exit::Success)
    }
}

/// `plugin unpin TYPE NAME`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin unpin [options] TYPE NAME")]
pub(in crate::cli) struct UnpinCommand {
    #[command(flatten)]
    arguments: Positionals,
}

impl UnpinCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [kind, name] = self.arguments.exactly()?;
        let (kind, name) = (parse_kind(kind.trim())?, name.trim());
        let call = Call::new(Method::DELETE, format!("sys/plugins/pins/{kind}/{name}"));
        let answer = session.client.send(&call).and_then(|answer| answer.secret());
        let secret = answer.map_err(during(format!("unpinning plugin {name}")))?.unwrap_or_default();
        warn(session.console, &secret);
        session.console.line(format!("Success! Unpinned {kind} plugin (if it was pinned): {name}"));
        Ok(Exit::Success)
    }
}

/// `plugin pins`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin pins [options]")]
pub(in crate::cli) struct PinsCommand {
    #[command(flatten)]
    arguments: Positionals,
}

/// One pin, as servers send and programs read it.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Pin {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    version: String,
}

impl PinsCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [] = self.arguments.exactly()?;
        let what = "listing pinned plugins";
        let answer = session.client.send(&Call::get("sys/plugins/pins")).and_then(|answer| answer.secret());
        let secret = answer.map_err(during(what))?.unwrap_or_default();
        warn(session.console, &secret);
        let pins = secret.datum("pinned_versions").filter(|pins| !pins.is_null()).unwrap_or_else(|| json!([]));
        let pins: Vec<Pin> =
            serde_json::from_value(pins).map_err(|reason| Ended::remote(format!("Error {what}: {reason}")))?;
        let mut table = Table::new(&["Name", "Type", "Version"]);
        pins.iter().for_each(|pin| table.row([pin.name.as_str(), &pin.kind, &pin.version]));
        session.view.table(session.console, table, &pins)?;
        Ok(Exit::Success)
    }
}
