//! What goes into a host's operations and what comes out, as an embedder or an edge writes it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::ident::{
    Accessor, Command, Digest, IdentError, MountPath, MountUuid, PluginKind, PluginName, PluginVersion,
};
use crate::plugin::{Found, InstanceLimits, InstancePolicy, Launchable, PluginKey, Source};
use crate::request::{Body, Lease, Login};

pub use crate::catalog::{DeprecationStatus, Pin};
pub use crate::mount::{MountConfig, MountSettings, MountState, TokenType};

// ------------------------------------------------------------------------------------------------------------------
// plugins

/// What to put in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Auth method or secrets engine; `None` takes what the plugin says of itself.
    pub kind: Option<PluginKind>,
    /// The name to mount it by.
    pub name: PluginName,
    /// `None` registers the version that the plugin reports, or the unversioned plugin of this name if it reports none.
    pub version: Option<PluginVersion>,
    /// What is started: a file in the plugin directory, and with what.
    pub launch: Launchable,
    /// How instances are kept.
    pub instances: InstancePolicy,
    /// How many, and for how long.
    pub instance_limits: InstanceLimits,
}

impl Registration {
    /// Returns the registration of a plugin that says itself what type and version it is of, with no arguments and no
    /// environment, and an instance for each mount.
    pub fn new(name: PluginName, command: Command, sha256: Digest) -> Self {
        Self {
            kind: None,
            name,
            version: None,
            launch: Launchable::new(Source::File { command, sha256 }),
            instances: InstancePolicy::default(),
            instance_limits: InstanceLimits::default(),
        }
    }
}

/// A catalog entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Type, name and version.
    pub key: PluginKey,
    /// What is started when it is.
    pub launch: Launchable,
    /// How instances are kept.
    pub instances: InstancePolicy,
    /// How many, and for how long.
    pub instance_limits: InstanceLimits,
    /// What was found in it when it was registered.
    pub found: Found,
    /// Whether it will go on being built in; `None` for a plugin that is not.
    pub deprecation_status: Option<DeprecationStatus>,
    /// Whether all mounts of the plugin are started with this version.
    pub pinned: bool,
    /// Whether it was declared, and can be changed by another declaration only; see
    /// [`Host::declare_plugins`](crate::Host::declare_plugins).
    pub declarative: bool,
}

// -------------------------------------------------------------------------------------------------------------------
// answers

/// What a request was answered with. It is settled: whoever words it for a client decides nothing any more.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The answer itself. A JSON object has no white space around it.
    pub body: Body,
    /// Makes the body a leased secret, with the time to live that holds.
    pub secret: Option<Lease>,
    /// A successful login, with the policies and the time to live that its token would have.
    pub login: Option<Login>,
    /// Shown to the person who asked.
    pub warnings: Vec<String>,
    /// Response headers, those alone that the mount passes on.
    pub headers: Vec<(String, String)>,
    /// What answered.
    pub by: AnsweredBy,
    /// Whether the path is open to everybody.
    pub is_open: bool,
    /// The HTTP status, from 200 to 599, where it does not follow from what was asked and what the body is. Only the
    /// host's own paths have one.
    pub status: Option<u16>,
    /// Whether the members of the body are shown once more beside it: Vault's older `sys/` paths promise both.
    pub repeats_data: bool,
}

/// The mount that answered, as it was at that moment.
#[derive(Debug, Clone)]
pub struct AnsweredBy {
    /// Where it is.
    pub path: MountPath,
    /// Auth method or secrets engine. The host's own count as one.
    pub kind: PluginKind,
    /// What tokens a login there asks for.
    pub token_type: TokenType,
}

// -------------------------------------------------------------------------------------------------------------------
// mounts

/// Where and how to mount a plugin.
#[derive(Debug, Clone)]
pub struct MountRequest {
    /// Where: below `auth/` for an auth method, anywhere else for a secrets engine.
    pub path: MountPath,
    /// What, and how.
    pub settings: MountSettings,
}

impl MountRequest {
    /// Returns the request to mount a secrets engine, in the version that is selected, with the system's settings.
    pub fn new(path: MountPath, plugin: PluginName) -> Self {
        Self { path, settings: MountSettings::new(PluginKind::Secret, plugin) }
    }

    /// Returns the request to mount an auth method likewise. The path is whole, such as `auth/userpass/`.
    pub fn auth(path: MountPath, plugin: PluginName) -> Self {
        Self { path, settings: MountSettings::new(PluginKind::Auth, plugin) }
    }
}

/// Changes to a mount: only what is `Some` changes.
#[derive(Debug, Clone, Default)]
pub struct Tune {
    /// For people.
    pub description: Option<String>,
    /// A new default TTL, or back to the system's.
    pub default_lease_ttl: Option<TtlChange>,
    /// A new maximum TTL, or back to the system's.
    pub max_lease_ttl: Option<TtlChange>,
    /// Options for the plugin: those named here change, an empty one goes, the others stay. `version` is turned back
    /// for nobody.
    pub options: Option<BTreeMap<String, String>>,
    /// `""`, `hidden` or `unauth`.
    pub listing_visibility: Option<String>,
    /// Request keys that an audit log may show.
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Response keys that an audit log may show.
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Request headers that the plugin may see.
    pub passthrough_request_headers: Option<Vec<String>>,
    /// Response headers that the plugin may set.
    pub allowed_response_headers: Option<Vec<String>>,
    /// What tokens an auth method's logins ask for.
    pub token_type: Option<TokenType>,
    /// The version to run from the next reload on; it must be in the catalog.
    pub plugin_version: Option<VersionChange>,
    /// How instances are kept, from now on.
    pub instances: Option<InstancePolicy>,
    /// How many, and for how long, from now on. A zero leaves a limit to the plugin's entry again.
    pub instance_limits: InstanceLimits,
}

/// Another version of a mount's plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionChange {
    /// The plugin that has none.
    Unversioned,
    /// What a mount gets that is enabled without naming one.
    Selected,
    /// This one.
    To(PluginVersion),
}

/// A version, the word `unversioned` for the plugin that has none, or nothing for what is selected. Vault has no way
/// back to either.
impl FromStr for VersionChange {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        match typed {
            "" => Ok(Self::Selected),
            "unversioned" => Ok(Self::Unversioned),
            version => version.parse().map(Self::To),
        }
    }
}

/// A new TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtlChange {
    /// Back to what the system has.
    System,
    /// This one.
    To(Duration),
}

/// A mount, as listings show it.
#[derive(Debug, Clone)]
pub struct MountInfo {
    /// Where it is, whole: an auth method's begins with `auth/`, which [`MountPath::name`] leaves out.
    pub path: MountPath,
    /// A short public name.
    pub accessor: Accessor,
    /// Identity and storage prefix.
    pub uuid: MountUuid,
    /// What is mounted, and how.
    pub settings: MountSettings,
    /// The version that answers now; `None` when none runs or it has none.
    pub running_version: Option<PluginVersion>,
    /// The digest of what answers now; `None` when the mount has not been started or could not be, and for a built-in
    /// plugin.
    pub running_sha256: Option<Digest>,
    /// Whether a plugin of this name will go on being built in; `None` if none is.
    pub deprecation_status: Option<DeprecationStatus>,
    /// How the instances are kept that answer now; `None` when none do.
    pub running_instances: Option<InstancePolicy>,
    /// Whether it answers.
    pub state: MountState,
}

/// The lease TTLs that hold for a mount, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveTtls {
    /// For leases that name none.
    pub default: Duration,
    /// At most.
    pub max: Duration,
}
