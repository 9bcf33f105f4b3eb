//! `secrets enable` and `secrets tune`: what a mount is made of.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use ureq::http::Method;

use super::send_change;
use crate::cli::Session;
use crate::cli::client::Call;
use crate::cli::console::{Ended, Exit};
use crate::cli::duration::GoDuration;
use crate::cli::flags::{Positionals, bare_path, mount_path, pair};

/// The flags that `enable` and `tune` share, sent only where they were given.
#[derive(Args, Serialize)]
struct ConfigFlags {
    /// Request field that audit logs show in the clear; may be repeated
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Response field that audit logs show in the clear; may be repeated
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Whether the mount shows before a login: unauth or hidden
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    listing_visibility: Option<String>,
    /// Request header that the plugin gets to see; may be repeated
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    passthrough_request_headers: Option<Vec<String>>,
    /// Response header that the plugin may set; may be repeated
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_response_headers: Option<Vec<String>>,
    /// Version of the plugin to run
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_version: Option<String>,
}

/// The flags that `enable` and `tune` share, sent in different places.
#[derive(Args)]
struct CommonFlags {
    /// For people: what the mount is for
    #[arg(long)]
    description: Option<String>,
    /// Default lease duration, such as 30m
    #[arg(long, default_value = "0", hide_default_value = true)]
    default_lease_ttl: GoDuration,
    /// Longest lease duration, such as 768h
    #[arg(long, default_value = "0", hide_default_value = true)]
    max_lease_ttl: GoDuration,
    /// Option of the plugin, as name=value; may be repeated
    #[arg(long, value_parser = pair)]
    options: Vec<(String, String)>,
    /// Version of the engine, for engines that have several; short for -options=version=N
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    version: u32,
    #[command(flatten)]
    config: ConfigFlags,
    #[command(flatten)]
    arguments: Positionals,
}

impl CommonFlags {
    /// Returns the options, none if there are none, which Vault sends as null.
    fn options(&self) -> Option<BTreeMap<String, String>> {
        let version = (self.version > 0).then(|| ("version".to_owned(), self.version.to_string()));
        let options: BTreeMap<_, _> = self.options.iter().cloned().chain(version).collect();
        (!options.is_empty()).then_some(options)
    }
}

/// A mount's configuration as both requests hold it.
#[derive(Serialize)]
struct MountConfig<'a> {
    options: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    default_lease_ttl: String,
    max_lease_ttl: String,
    force_no_cache: bool,
    #[serde(flatten)]
    flags: &'a ConfigFlags,
}

/// `secrets enable TYPE`
#[derive(Args)]
#[command(override_usage = "cofferdam secrets enable [options] TYPE")]
pub(in crate::cli) struct EnableCommand {
    /// Where to mount it [default: the type]
    #[arg(long)]
    path: Option<String>,
    /// Name of the plugin, where TYPE is `plugin`
    #[arg(long)]
    plugin_name: Option<String>,
    /// Do not cache
    #[arg(long)]
    force_no_cache: bool,
    /// Do not replicate to other clusters
    #[arg(long)]
    local: bool,
    /// Wrap what is stored with the seal
    #[arg(long)]
    seal_wrap: bool,
    /// Let the plugin use the server's source of entropy
    #[arg(long)]
    external_entropy_access: bool,
    #[command(flatten)]
    common: CommonFlags,
}

impl EnableCommand {
    pub(super) fn run(mut self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [typed] = std::mem::take(&mut self.common.arguments).exactly()?;
        let kind = match (typed.trim(), &self.plugin_name) {
            ("plugin", Some(name)) => name.clone(),
            ("plugin", None) => return Err(Ended::local("Must supply -plugin-name for an engine of type plugin")),
            (kind, _) => kind.to_owned(),
        };
        let path = mount_path(self.path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&kind));
        let config = MountConfig {
            options: None,
            description: None,
            default_lease_ttl: self.common.default_lease_ttl.to_string(),
            max_lease_ttl: self.common.max_lease_ttl.to_string(),
            force_no_cache: self.force_no_cache,
            flags: &self.common.config,
        };
        let call = Call::new(Method::POST, format!("sys/mounts/{path}")).with_body(json!({
            "type": kind,
            "description": self.common.description.as_deref().unwrap_or_default(),
            "config": config,
            "local": self.local,
            "seal_wrap": self.seal_wrap,
            "external_entropy_access": self.external_entropy_access,
            "options": self.common.options(),
        }));
        send_change(session, &call, "enabling".to_owned())?;
        let version = self.common.config.plugin_version.as_deref().filter(|version| !version.is_empty());
        let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
        session.console.line(format!("Success! Enabled the {kind} secrets engine{version} at: {path}"));
        Ok(Exit::Success)
    }
}

/// `secrets tune PATH`
#[derive(Args)]
#[command(override_usage = "cofferdam secrets tune [options] PATH")]
pub(in crate::cli) struct TuneCommand {
    #[command(flatten)]
    common: CommonFlags,
}

impl TuneCommand {
    pub(super) fn run(mut self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [typed] = std::mem::take(&mut self.common.arguments).exactly()?;
        let path = mount_path(&bare_path(&typed));
        let call = Call::new(Method::POST, format!("sys/mounts/{path}/tune")).with_body(MountConfig {
            options: self.common.options(),
            description: self.common.description.as_deref(),
            default_lease_ttl: self.common.default_lease_ttl.as_tuned_ttl(),
            max_lease_ttl: self.common.max_lease_ttl.as_tuned_ttl(),
            force_no_cache: false,
            flags: &self.common.config,
        });
        send_change(session, &call, format!("tuning secrets engine {path}"))?;
        session.console.line(format!("Success! Tuned the secrets engine at: {path}"));
        Ok(Exit::Success)
    }
}
