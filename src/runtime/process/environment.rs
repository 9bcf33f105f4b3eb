//! The variables that a plugin's process begins with.
//!
//! Since Vault 1.16: what the host has, then what was registered with the plugin, then what the SDK says, then what
//! go-plugin says; of two values the later counts. Before, what the host has came after what the SDK says, and won over
//! it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use cofferdam_proto::names::{self, sdk, sdk_variable};

use super::settings::NativePlugins;
use crate::ident::PluginName;

/// The version of Vault whose plugin protocol this host speaks, for plugins that ask: 1.16 is where a plugin's
/// registered environment began to win over the server's. Plugins fall back to the protocol before gRPC below 0.9.4.
pub(super) const VAULT_VERSION: &str = "1.16.0";

/// go-plugin's range of TCP ports, which a plugin on a system with Unix sockets ignores.
const PORTS: [&str; 2] = ["10000", "25000"];

/// How a plugin comes by its certificate.
pub(super) enum Trust<'launch> {
    /// The host's certificate goes to the plugin, the plugin's comes back in the handshake.
    AutoMtls {
        /// The host's certificate.
        certificate_pem: &'launch str,
    },
    /// The plugin unwraps its certificate with this token.
    Unwrap {
        /// A response-wrapping token.
        token: &'launch str,
    },
    /// None: the plugin is only asked what it is.
    Metadata,
}

/// Returns a process's whole environment.
pub(super) fn environment(
    settings: &NativePlugins,
    registered: &[String],
    trust: &Trust<'_>,
    socket_directory: &Path,
) -> Vec<(OsString, OsString)> {
    let host = settings.environment.iter().map(|(name, value)| (name.clone(), value.clone()));
    let registered =
        registered.iter().filter_map(|pair| pair.split_once('=')).map(|(name, value)| pair_of(name, value));
    let sdk = sdk_variables(settings, trust);
    // What a host of this one's own was told is not for its plugins.
    let foreign = |(name, _): &(OsString, OsString)| !is_protocols_own(name);
    let (host, registered) = (host.filter(foreign), registered.filter(foreign));
    let mut all = BTreeMap::new();
    if settings.legacy_layering {
        all.extend(registered.chain(sdk).chain(host));
    } else {
        all.extend(host.chain(registered).chain(sdk));
    }
    all.extend(go_plugin_variables(trust, socket_directory));
    all.into_iter().collect()
}

/// Tells whether the protocol gives a variable its meaning, so that nobody else may set it.
fn is_protocols_own(name: &OsString) -> bool {
    let Some(name) = name.to_str() else { return false };
    let of_sdk = [sdk::UNWRAP_TOKEN, sdk::METADATA_MODE, sdk::AUTO_MTLS];
    names::GO_PLUGIN_VARIABLES.contains(&name)
        || of_sdk.iter().any(|variable| sdk_variable(variable).iter().any(|known| known == name))
}

fn sdk_variables(settings: &NativePlugins, trust: &Trust<'_>) -> Vec<(OsString, OsString)> {
    let is = |fact: bool| fact.to_string();
    let opt_out: Vec<&str> = settings.multiplexing_opt_out.iter().map(PluginName::as_str).collect();
    let mut variables = vec![
        (sdk::VERSION, VAULT_VERSION.to_owned()),
        (sdk::METADATA_MODE, is(matches!(trust, Trust::Metadata))),
        (sdk::AUTO_MTLS, is(matches!(trust, Trust::AutoMtls { .. }))),
        (sdk::MULTIPLEXING_OPT_OUT, opt_out.join(",")),
    ];
    if let Trust::Unwrap { token } = trust {
        variables.push((sdk::UNWRAP_TOKEN, (*token).to_owned()));
    }
    let both = |(name, value): (&str, String)| sdk_variable(name).map(|name| pair_of(&name, &value));
    variables.into_iter().flat_map(both).collect()
}

fn go_plugin_variables(trust: &Trust<'_>, socket_directory: &Path) -> Vec<(OsString, OsString)> {
    let versions = match trust {
        Trust::AutoMtls { .. } => names::PROTOCOL_AUTO_MTLS.to_string(),
        Trust::Unwrap { .. } | Trust::Metadata => names::PROTOCOLS_LEGACY.map(|version| version.to_string()).join(","),
    };
    let mut variables = vec![
        pair_of(names::COOKIE_NAME, names::COOKIE_VALUE),
        pair_of(names::MIN_PORT, PORTS[0]),
        pair_of(names::MAX_PORT, PORTS[1]),
        pair_of(names::PROTOCOL_VERSIONS, &versions),
        (names::UNIX_SOCKET_DIR.into(), socket_directory.into()),
    ];
    if let Trust::AutoMtls { certificate_pem } = trust {
        variables.push(pair_of(names::CLIENT_CERT, certificate_pem));
    }
    variables
}

fn pair_of(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_layer_wins() {
        let host = |name: &str| (OsString::from(name), OsString::from("host"));
        let settings = |legacy_layering| NativePlugins {
            environment: ["ONLY_HOST", "BOTH", "VAULT_VERSION", "BAO_VERSION", names::COOKIE_NAME].map(host).to_vec(),
            legacy_layering,
            ..NativePlugins::default()
        };
        let registered =
            ["BOTH=registered", "ONLY_REGISTERED=a=b", "VAULT_BACKEND_PLUGIN=registered"].map(str::to_owned);
        for (legacy, both, version) in [(false, "registered", VAULT_VERSION), (true, "host", "host")] {
            let trust = Trust::AutoMtls { certificate_pem: "PEM" };
            let all = environment(&settings(legacy), &registered, &trust, Path::new("/sockets"));
            let value = |name: &str| {
                let found = all.iter().filter(|(found, _)| found == name).collect::<Vec<_>>();
                assert!(found.len() <= 1, "{name} is there {} times", found.len());
                found.first().map(|(_, value)| value.to_str().expect("it is UTF-8"))
            };
            assert_eq!(value("ONLY_HOST"), Some("host"));
            assert_eq!(value("ONLY_REGISTERED"), Some("a=b"));
            assert_eq!(value("BOTH"), Some(both), "legacy: {legacy}");
            assert_eq!(value("VAULT_VERSION"), Some(version), "legacy: {legacy}");
            assert_eq!(value("BAO_VERSION"), Some(version), "legacy: {legacy}");
            assert_eq!(value(names::COOKIE_NAME), Some(names::COOKIE_VALUE), "the protocol's own always win");
            assert_eq!(value(names::CLIENT_CERT), Some("PEM"));
            assert_eq!(value(names::UNIX_SOCKET_DIR), Some("/sockets"));
        }
    }

    #[test]
    fn a_plugin_is_told_how_to_come_by_its_certificate() {
        for (trust, versions, metadata, token) in [
            (Trust::AutoMtls { certificate_pem: "PEM" }, "5", "false", None),
            (Trust::Unwrap { token: "jwt" }, "3,4", "false", Some("jwt")),
            (Trust::Metadata, "3,4", "true", None),
        ] {
            let all = environment(&NativePlugins::default(), &[], &trust, Path::new("/sockets"));
            let value = |name: &str| all.iter().find(|(found, _)| found == name).and_then(|(_, value)| value.to_str());
            assert_eq!(value(names::PROTOCOL_VERSIONS), Some(versions));
            for prefix in names::SDK_PREFIXES {
                assert_eq!(value(&format!("{prefix}PLUGIN_METADATA_MODE")), Some(metadata));
                assert_eq!(value(&format!("{prefix}UNWRAP_TOKEN")), token);
            }
        }
    }
}
