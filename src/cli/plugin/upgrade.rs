//! `plugin upgrade`: the steps of an upgrade in one command, each told, and all taken back when one fails.
//!
//! Register the new version, tune every mount to it, reload them, and look whether version and digest agree on each. It
//! works with what the API offers: a server that Vault made takes the same requests.

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::{RegisterCommand, catalog_path, parse_kind};
use crate::cli::Session;
use crate::cli::client::{Call, during};
use crate::cli::console::{Ended, Exit};
use crate::cli::flags::mount_path;
use crate::cli::output::{Secret, warn};
use crate::ident::{PluginKind, PluginVersion};

/// The word that brings a mount back to a plugin without a version.
const UNVERSIONED: &str = "unversioned";

/// `plugin upgrade [TYPE] NAME`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin upgrade [options] [TYPE] NAME")]
pub(in crate::cli) struct UpgradeCommand {
    /// Type of the plugin [default: the one that is registered under the name]
    #[arg(long = "type")]
    kind: Option<String>,
    /// Paths of the mounts to upgrade, with commas between them; may be repeated [default: all of the plugin]
    #[arg(long, value_delimiter = ',')]
    mounts: Vec<String>,
    #[command(flatten)]
    registration: RegisterCommand,
}

/// One upgrade under way.
struct Upgrade {
    kind: PluginKind,
    name: String,
    version: PluginVersion,
    sha256: String,
    mounts: Vec<Mount>,
}

/// One mount of the plugin.
struct Mount {
    /// As listings show it.
    name: String,
    /// The version that it asked for before, empty for none.
    before: String,
}

/// What has to be taken back when a step fails.
#[derive(Default)]
struct Done {
    registered: bool,
    /// So many mounts, the first ones, were tuned.
    tuned: usize,
}

/// An entry in the catalog's listing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    version: String,
    sha256: String,
}

/// A mount in a listing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    #[serde(rename = "type")]
    plugin: String,
    plugin_version: String,
    running_plugin_version: String,
    running_sha256: String,
}

impl UpgradeCommand {
    pub(super) fn run(mut self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let (kind, name) = std::mem::take(&mut self.registration.arguments).type_and_name()?;
        let given = |flag: &Option<String>| flag.clone().filter(|value| !value.is_empty());
        let sha256 = given(&self.registration.sha256)
            .ok_or_else(|| Ended::local("SHA256 is required for all plugins, please provide -sha256"))?;
        let version = given(&self.registration.version)
            .ok_or_else(|| Ended::local("An upgrade is to a version, please provide -version"))?;
        let version: PluginVersion = version.parse().map_err(|reason| Ended::remote(format!("{reason}")))?;
        let kind = kind.or_else(|| given(&self.kind)).as_deref().map(parse_kind).transpose()?;

        let entries = entries(session)?;
        let kind = match kind {
            Some(kind) => kind,
            None => only_kind(&entries, &name)?,
        };
        let there = entries
            .iter()
            .find(|entry| entry.kind == kind.as_str() && entry.name == name && entry.version == version.to_string());
        if let Some(other) = there.filter(|entry| !entry.sha256.eq_ignore_ascii_case(&sha256)) {
            return Err(Ended::remote(format!(
                "Error upgrading plugin {name}: version {version} is registered already, with the SHA256 {}; an upgrade \
                 needs a version of its own",
                other.sha256
            )));
        }
        let is_there = there.is_some();
        let mounts = mounts(session, kind, &name, &self.mounts)?;
        let upgrade = Upgrade { kind, name, version, sha256: sha256.to_ascii_lowercase(), mounts };

        self.registration.kind = Some(kind);
        self.registration.version = Some(upgrade.version.to_string());
        self.registration.command.get_or_insert_with(|| upgrade.name.clone());
        self.registration.confine |=
            !self.registration.confine_read.is_empty() || !self.registration.confine_write.is_empty();
        let mut done = Done::default();
        let ran = upgrade.register(session, &self.registration, is_there, &mut done);
        match ran.and_then(|()| upgrade.switch(session, &mut done)) {
            Ok(()) => {
                let Upgrade { kind, name, version, mounts, .. } = upgrade;
                let count = mounts.len();
                let mounts = if count == 1 { "1 mount".to_owned() } else { format!("{count} mounts") };
                session
                    .console
                    .line(format!("Success! Upgraded {kind} plugin {name} to version {version} at {mounts}"));
                Ok(Exit::Success)
            }
            Err(Ended::Failed(exit, reason)) => {
                session.console.note(reason);
                upgrade.back_out(session, &done);
                Ok(exit)
            }
            Err(answered) => Err(answered),
        }
    }
}

impl Upgrade {
    fn register(
        &self,
        session: &mut Session<'_>,
        registration: &RegisterCommand,
        is_there: bool,
        done: &mut Done,
    ) -> Result<(), Ended> {
        let Self { kind, name, version, .. } = self;
        if is_there {
            session.console.line(format!("{kind} plugin {name} version {version} is registered already"));
            return Ok(());
        }
        let call = Call::new(Method::PUT, catalog_path(Some(*kind), name)).with_body(registration);
        send(session, &call, format!("registering plugin {name}"))?;
        done.registered = true;
        session.console.line(format!("Registered {kind} plugin {name} version {version}"));
        Ok(())
    }

    /// Brings the mounts to the version, and looks whether they are there.
    fn switch(&self, session: &mut Session<'_>, done: &mut Done) -> Result<(), Ended> {
        if self.mounts.is_empty() {
            session
                .console
                .line(format!("No mount runs {} plugin {}: there is nothing to reload", self.kind, self.name));
            return Ok(());
        }
        let version = self.version.to_string();
        for mount in &self.mounts {
            self.tune(session, mount, &version)?;
            done.tuned += 1;
            session.console.line(format!("Tuned {} from {} to {version}", mount.name, worded(&mount.before)));
        }
        self.reload(session, &self.mounts)?;
        session.console.line(format!("Reloaded {}", names(&self.mounts)));
        self.verify(session)
    }

    fn tune(&self, session: &mut Session<'_>, mount: &Mount, version: &str) -> Result<(), Ended> {
        let path = format!("sys/mounts/{}/tune", self.whole(mount));
        let call = Call::new(Method::POST, path).with_body(json!({ "plugin_version": version }));
        send(session, &call, format!("tuning {}", mount.name)).map(drop)
    }

    fn reload(&self, session: &mut Session<'_>, mounts: &[Mount]) -> Result<(), Ended> {
        let mounts: Vec<String> = mounts.iter().map(|mount| self.whole(mount)).collect();
        let call = Call::new(Method::PUT, "sys/plugins/reload/backend").with_body(json!({ "mounts": mounts }));
        send(session, &call, "reloading plugin/mounts".to_owned()).map(drop)
    }

    fn verify(&self, session: &mut Session<'_>) -> Result<(), Ended> {
        let listed = listed(session, self.kind)?;
        let version = self.version.to_string();
        for mount in &self.mounts {
            let seen = listed.get(&mount.name).cloned().map(serde_json::from_value::<Listed>);
            let Some(Ok(seen)) = seen else {
                return Err(Ended::remote(format!("Error verifying {}: it is not mounted any more", mount.name)));
            };
            let agrees = seen.plugin_version == version && seen.running_plugin_version == version;
            if !agrees || !seen.running_sha256.eq_ignore_ascii_case(&self.sha256) {
                let Listed { plugin_version, running_plugin_version, running_sha256, .. } = seen;
                return Err(Ended::remote(format!(
                    "Error verifying {}: it asks for {} and runs {} with the SHA256 {running_sha256}, expected {version} with {}",
                    mount.name,
                    worded(&plugin_version),
                    worded(&running_plugin_version),
                    self.sha256
                )));
            }
            session.console.line(format!("Verified {}: version {version}, SHA256 {}", mount.name, self.sha256));
        }
        Ok(())
    }

    /// Takes back what was done, as far as that goes, and says so.
    fn back_out(&self, session: &mut Session<'_>, done: &Done) {
        let tuned = &self.mounts[..done.tuned];
        for mount in tuned {
            let before = if mount.before.is_empty() { UNVERSIONED } else { &mount.before };
            match self.tune(session, mount, before) {
                Ok(()) => session.console.note(format!("Backing out: tuned {} back to {}", mount.name, worded(before))),
                Err(ended) => not_taken_back(session, ended),
            }
        }
        if !tuned.is_empty() {
            match self.reload(session, tuned) {
                Ok(()) => session.console.note(format!("Backing out: reloaded {}", names(tuned))),
                Err(ended) => not_taken_back(session, ended),
            }
        }
        if done.registered {
            let Self { kind, name, version, .. } = self;
            let call =
                Call::new(Method::DELETE, catalog_path(Some(*kind), name)).with_query("version", version.to_string());
            match send(session, &call, format!("deregistering plugin named {name}")) {
                Ok(_) => {
                    session.console.note(format!("Backing out: deregistered {kind} plugin {name} version {version}"));
                }
                Err(ended) => not_taken_back(session, ended),
            }
        }
    }

    /// Returns a mount's whole path, which tells auth methods from secrets engines.
    fn whole(&self, mount: &Mount) -> String {
        match self.kind {
            PluginKind::Auth => format!("auth/{}", mount.name),
            PluginKind::Secret => mount.name.clone(),
        }
    }
}

fn not_taken_back(session: &mut Session<'_>, ended: Ended) {
    if let Ended::Failed(_, reason) = ended {
        session.console.note(format!("Backing out failed in part: {reason}"));
    }
}

fn send(session: &mut Session<'_>, call: &Call, what: String) -> Result<Secret, Ended> {
    let answer = session.client.send(call).and_then(|answer| answer.secret());
    let secret = answer.map_err(during(what))?.unwrap_or_default();
    warn(session.console, &secret);
    Ok(secret)
}

fn entries(session: &mut Session<'_>) -> Result<Vec<Entry>, Ended> {
    let what = "listing available plugins";
    let secret = send(session, &Call::get("sys/plugins/catalog"), what.to_owned())?;
    let detailed = secret.datum("detailed").filter(|list| !list.is_null()).unwrap_or_else(|| json!([]));
    serde_json::from_value(detailed).map_err(|reason| Ended::remote(format!("Error {what}: {reason}")))
}

/// Returns the type that a name is registered under, if it is one.
fn only_kind(entries: &[Entry], name: &str) -> Result<PluginKind, Ended> {
    let registered = |kind: &PluginKind| entries.iter().any(|entry| entry.name == name && entry.kind == kind.as_str());
    let kinds: Vec<PluginKind> = PluginKind::ALL.into_iter().filter(registered).collect();
    match kinds.as_slice() {
        [kind] => Ok(*kind),
        [] => Err(Ended::remote(format!(
            "Error upgrading plugin {name}: it is not registered; give its TYPE before its name"
        ))),
        _ => Err(Ended::remote(format!(
            "Error upgrading plugin {name}: there are several types of it; give TYPE before its name"
        ))),
    }
}

fn listed(session: &mut Session<'_>, kind: PluginKind) -> Result<Map<String, Value>, Ended> {
    let (path, what) = match kind {
        PluginKind::Auth => ("sys/auth", "listing enabled authentications"),
        PluginKind::Secret => ("sys/mounts", "listing secrets engines"),
    };
    Ok(send(session, &Call::get(path), what.to_owned())?.into_values().unwrap_or_default())
}

/// Returns the plugin's mounts, or those of them that were named.
fn mounts(session: &mut Session<'_>, kind: PluginKind, name: &str, named: &[String]) -> Result<Vec<Mount>, Ended> {
    let mut mounts = Vec::new();
    for (path, listed) in listed(session, kind)? {
        let Ok(listed) = serde_json::from_value::<Listed>(listed) else { continue };
        if listed.plugin == name {
            mounts.push(Mount { name: path, before: listed.plugin_version });
        }
    }
    if named.is_empty() {
        return Ok(mounts);
    }
    let bare = |typed: &str| {
        let typed = typed.trim().trim_start_matches('/');
        let typed = if kind == PluginKind::Auth { typed.strip_prefix("auth/").unwrap_or(typed) } else { typed };
        mount_path(typed)
    };
    let named: Vec<String> = named.iter().map(|typed| bare(typed)).collect();
    if let Some(other) = named.iter().find(|named| !mounts.iter().any(|mount| mount.name == **named)) {
        return Err(Ended::remote(format!(
            "Error upgrading plugin {name}: {other} is no mount of {kind} plugin {name}"
        )));
    }
    mounts.retain(|mount| named.contains(&mount.name));
    Ok(mounts)
}

fn names(mounts: &[Mount]) -> String {
    let names: Vec<&str> = mounts.iter().map(|mount| mount.name.as_str()).collect();
    names.join(", ")
}

/// Returns a version as sentences name it.
fn worded(version: &str) -> &str {
    if version.is_empty() || version == UNVERSIONED { "no version" } else { version }
}
