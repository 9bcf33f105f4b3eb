//! `enable` and `tune`, of secrets engines and of auth methods: what a mount is made of.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use cofferdam_contract::{DurationError, GoDuration};
use serde::Serialize;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::kind::Kind;
use super::send_change;
use crate::cli::Session;
use crate::cli::client::Call;
use crate::cli::console::{Ended, Exit};
use crate::cli::duration;
use crate::cli::flags::{InstanceFlags, Positionals, bare_path, mount_path, pair};

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
    #[command(flatten)]
    #[serde(flatten)]
    instances: InstanceFlags,
}

/// A lifetime as a flag says it.
#[derive(Debug, Clone, Copy)]
enum Ttl {
    /// The server's own: `system`, or a flag with nothing after its `=`.
    System,
    /// This one; a negative one is the server's own when it is tuned, and zero leaves what is there.
    Of(GoDuration),
}

impl FromStr for Ttl {
    type Err = DurationError;

    fn from_str(typed: &str) -> Result<Self, DurationError> {
        match typed.trim() {
            "" | "system" => Ok(Self::System),
            typed => typed.parse().map(Self::Of),
        }
    }
}

impl Ttl {
    /// Returns it for a new mount, which has the server's own unless told otherwise.
    fn to_enable(self) -> String {
        match self {
            Self::System => GoDuration::default().to_string(),
            Self::Of(ttl) => ttl.to_string(),
        }
    }

    /// Returns it for a mount that has one.
    fn to_tune(self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Of(ttl) => duration::tuned_ttl(ttl),
        }
    }
}

/// The flags that `enable` and `tune` share, sent in different places.
#[derive(Args)]
struct CommonFlags {
    /// For people: what the mount is for
    #[arg(long)]
    description: Option<String>,
    /// Default lease duration, such as 30m; `system` or nothing for the server's own
    #[arg(long, default_value = "0", hide_default_value = true)]
    default_lease_ttl: Ttl,
    /// Longest lease duration, such as 768h; `system` or nothing for the server's own
    #[arg(long, default_value = "0", hide_default_value = true)]
    max_lease_ttl: Ttl,
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

/// The flags of auth methods alone.
#[derive(Args, Default, Serialize)]
struct AuthFlags {
    /// Type of the tokens that logins ask for: default-service, default-batch, service or batch
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<String>,
}

/// When users who fail to log in are locked out.
#[derive(Args, Default)]
struct LockoutFlags {
    /// Failed logins before a user is locked out
    #[arg(long)]
    user_lockout_threshold: Option<u64>,
    /// How long a user is locked out, such as 15m
    #[arg(long)]
    user_lockout_duration: Option<Ttl>,
    /// After which time failed logins no longer count
    #[arg(long)]
    user_lockout_counter_reset_duration: Option<Ttl>,
    /// Lock nobody out
    #[arg(long)]
    user_lockout_disable: bool,
}

impl LockoutFlags {
    /// Returns what the flags say, with the names that the API has; nothing where nothing was given.
    fn config(&self) -> Option<Map<String, Value>> {
        let ttl = |ttl: Ttl| Value::from(ttl.to_tune());
        let members = [
            ("lockout_threshold", self.user_lockout_threshold.map(|count| count.to_string().into())),
            ("lockout_duration", self.user_lockout_duration.map(ttl)),
            ("lockout_counter_reset_duration", self.user_lockout_counter_reset_duration.map(ttl)),
            ("lockout_disable", self.user_lockout_disable.then_some(true.into())),
        ];
        let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Some(given.collect()).filter(|config: &Map<_, _>| !config.is_empty())
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
    #[serde(flatten)]
    auth: &'a AuthFlags,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_lockout_config: Option<Map<String, Value>>,
}

// ---------------------------------------------------------------------------------------------------------------------
// enable

/// What both kinds of mounts are enabled with.
#[derive(Args)]
struct EnableFlags {
    /// Where to mount it [default: the type]
    #[arg(long)]
    path: Option<String>,
    /// Name of the plugin, where TYPE is `plugin`
    #[arg(long)]
    plugin_name: Option<String>,
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

/// `secrets enable TYPE`
#[derive(Args)]
pub(in crate::cli) struct SecretsEnableCommand {
    /// Do not cache
    #[arg(long)]
    force_no_cache: bool,
    #[command(flatten)]
    flags: EnableFlags,
}

/// `auth enable TYPE`
#[derive(Args)]
pub(in crate::cli) struct AuthEnableCommand {
    #[command(flatten)]
    auth: AuthFlags,
    #[command(flatten)]
    flags: EnableFlags,
}

impl SecretsEnableCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        self.flags.run(session, Kind::Secrets, self.force_no_cache, &AuthFlags::default())
    }
}

impl AuthEnableCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        self.flags.run(session, Kind::Auth, false, &self.auth)
    }
}

impl EnableFlags {
    fn run(
        mut self,
        session: &mut Session<'_>,
        kind: Kind,
        force_no_cache: bool,
        auth: &AuthFlags,
    ) -> Result<Exit, Ended> {
        let noun = kind.noun();
        let [typed] = std::mem::take(&mut self.common.arguments).exactly()?;
        let plugin = match (typed.trim(), self.plugin_name) {
            ("plugin", Some(name)) => name,
            ("plugin", None) => {
                let what = if kind == Kind::Auth { "auth method" } else { "engine" };
                return Err(Ended::local(format!("Must supply -plugin-name for an {what} of type plugin")));
            }
            (plugin, _) => plugin.to_owned(),
        };
        let path = mount_path(self.path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&plugin));
        let config = MountConfig {
            options: None,
            description: None,
            default_lease_ttl: self.common.default_lease_ttl.to_enable(),
            max_lease_ttl: self.common.max_lease_ttl.to_enable(),
            force_no_cache,
            flags: &self.common.config,
            auth,
            user_lockout_config: None,
        };
        let call = Call::new(Method::POST, format!("{}/{path}", kind.table())).with_body(json!({
            "type": plugin,
            "description": self.common.description.as_deref().unwrap_or_default(),
            "config": config,
            "local": self.local,
            "seal_wrap": self.seal_wrap,
            "external_entropy_access": self.external_entropy_access,
            "options": self.common.options(),
        }));
        let what = match kind {
            Kind::Auth => format!("enabling {plugin} auth"),
            Kind::Secrets => "enabling".to_owned(),
        };
        send_change(session, &call, what)?;
        let version = self.common.config.plugin_version.as_deref().filter(|version| !version.is_empty());
        let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
        let the = if kind == Kind::Secrets { "the " } else { "" };
        session.console.line(format!("Success! Enabled {the}{plugin} {noun}{version} at: {path}"));
        Ok(Exit::Success)
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// tune

/// `secrets tune PATH`
#[derive(Args)]
pub(in crate::cli) struct SecretsTuneCommand {
    #[command(flatten)]
    common: CommonFlags,
}

/// `auth tune PATH`
#[derive(Args)]
pub(in crate::cli) struct AuthTuneCommand {
    #[command(flatten)]
    auth: AuthFlags,
    #[command(flatten)]
    lockout: LockoutFlags,
    #[command(flatten)]
    common: CommonFlags,
}

impl SecretsTuneCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        self.common.tune(session, Kind::Secrets, &AuthFlags::default(), &LockoutFlags::default())
    }
}

impl AuthTuneCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        self.common.tune(session, Kind::Auth, &self.auth, &self.lockout)
    }
}

impl CommonFlags {
    fn tune(
        mut self,
        session: &mut Session<'_>,
        kind: Kind,
        auth: &AuthFlags,
        lockout: &LockoutFlags,
    ) -> Result<Exit, Ended> {
        let [typed] = std::mem::take(&mut self.arguments).exactly()?;
        let (noun, path) = (kind.noun(), mount_path(&bare_path(&typed)));
        let call = Call::new(Method::POST, format!("sys/mounts/{}/tune", kind.whole(&path))).with_body(MountConfig {
            options: self.options(),
            description: self.description.as_deref(),
            default_lease_ttl: self.default_lease_ttl.to_tune(),
            max_lease_ttl: self.max_lease_ttl.to_tune(),
            force_no_cache: false,
            flags: &self.config,
            auth,
            user_lockout_config: lockout.config(),
        });
        send_change(session, &call, format!("tuning {noun} {path}"))?;
        session.console.line(format!("Success! Tuned the {noun} at: {path}"));
        Ok(Exit::Success)
    }
}
