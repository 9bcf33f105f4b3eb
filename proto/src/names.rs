//! The names and numbers that both sides know.

/// The variable that tells a plugin that a host started it, and not a person.
pub const COOKIE_NAME: &str = "VAULT_BACKEND_PLUGIN";
/// Its value, for backends: secrets engines and auth methods.
pub const COOKIE_VALUE: &str = "6669da05-b1c8-4f49-97d9-c8e5bed98e20";

/// go-plugin's own version, the first part of a handshake line.
pub const CORE_VERSION: u32 = 1;
/// The newest version of the backend protocol: gRPC with automatic mutual TLS.
pub const PROTOCOL_AUTO_MTLS: u32 = 5;
/// Versions without it: a plugin unwraps its certificate with a token, or runs without TLS in metadata mode.
pub const PROTOCOLS_LEGACY: [u32; 2] = [3, 4];

/// Comma-separated protocol versions that the host speaks, in any order.
pub const PROTOCOL_VERSIONS: &str = "PLUGIN_PROTOCOL_VERSIONS";
/// The host's certificate as PEM: asks for automatic mutual TLS.
pub const CLIENT_CERT: &str = "PLUGIN_CLIENT_CERT";
/// The directory for a plugin's sockets. Plugins that do not know it use the system's temporary directory.
pub const UNIX_SOCKET_DIR: &str = "PLUGIN_UNIX_SOCKET_DIR";
/// The group that owns a plugin's sockets, by name or number.
pub const UNIX_SOCKET_GROUP: &str = "PLUGIN_UNIX_SOCKET_GROUP";
/// The range of TCP ports for a plugin that has no Unix sockets. Set, as go-plugin's host does, and never used.
pub const MIN_PORT: &str = "PLUGIN_MIN_PORT";
/// See [`MIN_PORT`].
pub const MAX_PORT: &str = "PLUGIN_MAX_PORT";

/// Asks a plugin to broker connections over its one connection, which this host does not do.
pub const MULTIPLEX_GRPC: &str = "PLUGIN_MULTIPLEX_GRPC";

/// All of go-plugin's variables that say something of one launch.
pub const GO_PLUGIN_VARIABLES: [&str; 7] =
    [PROTOCOL_VERSIONS, CLIENT_CERT, UNIX_SOCKET_DIR, UNIX_SOCKET_GROUP, MIN_PORT, MAX_PORT, MULTIPLEX_GRPC];

/// The SDKs' variables, without the `VAULT_` or `BAO_` in front: [`sdk_variable`].
pub mod sdk {
    /// The server's version; a plugin knows by it that a server started it.
    pub const VERSION: &str = "VERSION";
    /// `true` where the plugin is only asked what it is.
    pub const METADATA_MODE: &str = "PLUGIN_METADATA_MODE";
    /// `true` with automatic mutual TLS.
    pub const AUTO_MTLS: &str = "PLUGIN_AUTOMTLS_ENABLED";
    /// A response-wrapping token for the plugin's certificate, before automatic mutual TLS.
    pub const UNWRAP_TOKEN: &str = "UNWRAP_TOKEN";
    /// Comma-separated names of plugins that get a process for each mount whatever they support.
    pub const MULTIPLEXING_OPT_OUT: &str = "PLUGIN_MULTIPLEXING_OPT_OUT";
    /// `true` lets the host's environment win over what was registered with the plugin, as before Vault 1.16.
    pub const LEGACY_ENV_LAYERING: &str = "PLUGIN_USE_LEGACY_ENV_LAYERING";
}

/// What servers call themselves in the SDKs' variables: Vault's name is known to every plugin, OpenBao's to its own.
pub const SDK_PREFIXES: [&str; 2] = ["VAULT_", "BAO_"];

/// Returns both names of one of the [`sdk`] variables.
pub fn sdk_variable(name: &str) -> [String; 2] {
    SDK_PREFIXES.map(|prefix| format!("{prefix}{name}"))
}

/// gRPC metadata that says which mount a call is for, in every call of the backend service.
pub const MULTIPLEX_ID: &str = "multiplex_id";
/// gRPC metadata, ours: the mount's path. Vault sends it with requests only, as `mount_point`.
pub const MOUNT_PATH: &str = "cofferdam-mount-path";
/// gRPC metadata, ours: where the request came from, as `address:port`. Vault's SDK loses the port.
pub const REMOTE_ADDRESS: &str = "cofferdam-remote-address";
/// gRPC metadata, ours, once for each: the caller's policies. Vault's protocol has no place for them.
pub const POLICIES: &str = "cofferdam-policies";

/// Keys in the configuration that `Setup` passes on, beside the mount's own options.
pub const CONFIG_PLUGIN: [&str; 3] = ["plugin_name", "plugin_type", "plugin_version"];

/// Keys in a response's data that make it a raw answer.
pub mod raw {
    /// The HTTP status: a number or a text.
    pub const STATUS: &str = "http_status_code";
    /// The `Content-Type`.
    pub const CONTENT_TYPE: &str = "http_content_type";
    /// The bytes: text, or base64 of anything.
    pub const BODY: &str = "http_raw_body";
}

/// The kinds of `ProtoError`.
pub mod error_type {
    #![allow(missing_docs)]

    pub const UNKNOWN: u32 = 0;
    pub const USER: u32 = 1;
    pub const INTERNAL: u32 = 2;
    pub const CODED: u32 = 3;
    pub const STATUS_BAD_REQUEST: u32 = 4;
    pub const UNSUPPORTED_OPERATION: u32 = 5;
    pub const UNSUPPORTED_PATH: u32 = 6;
    pub const INVALID_REQUEST: u32 = 7;
    pub const PERMISSION_DENIED: u32 = 8;
    pub const MULTI_AUTHORIZATION_PENDING: u32 = 9;
    pub const UNRECOVERABLE: u32 = 10;
}

/// What a plugin in metadata mode says to calls that need a mount.
pub const METADATA_MODE_REFUSAL: &str = "plugin server can not perform action while in metadata mode";
/// What a plugin says to calls for a mount that was not set up.
pub const NO_INSTANCE: &str = "no backend instance found";
/// How a host's answer begins where a plugin reads storage and there is no mount: the host only asks what the plugin
/// is.
pub const NO_STORAGE: &str = "missing storage implementation";

/// The name under which a plugin's health is asked for.
pub const HEALTH_SERVICE: &str = "plugin";

/// What `Type` answers: nothing that is known.
pub const TYPE_UNKNOWN: u32 = 0;
/// What `Type` answers: a secrets engine.
pub const TYPE_SECRET: u32 = 1;
/// What `Type` answers: an auth method.
pub const TYPE_AUTH: u32 = 2;
