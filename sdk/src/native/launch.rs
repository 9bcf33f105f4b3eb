//! What the host asks for when it starts a plugin, all of it in variables.

use std::fmt;
use std::path::PathBuf;

use cofferdam_proto::names;
use cofferdam_proto::tls::{Certificate, certificate_from_pem};

/// The versions of the backend protocol that this server speaks, newest first. On its side they differ in nothing.
const VERSIONS: [u32; 3] = [names::PROTOCOL_AUTO_MTLS, names::PROTOCOLS_LEGACY[1], names::PROTOCOLS_LEGACY[0]];

/// How to serve.
#[derive(Debug)]
pub(super) struct Launch {
    /// The version of the backend protocol.
    pub(super) version: u32,
    /// The host's certificate, which only it can present. There is always one but in metadata mode.
    pub(super) host: Option<Certificate>,
    pub(super) mode: Mode,
    /// Where the socket goes.
    pub(super) sockets: PathBuf,
    /// The group that owns the socket.
    pub(super) group: Option<String>,
}

/// What the process is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// Serving mounts.
    Serving,
    /// Saying what the plugin is, and nothing else.
    Metadata,
}

/// Why there is nothing to serve.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// A person started it.
    NoHost,
    /// The host speaks only other versions.
    Versions(String),
    /// The host sends no certificate: it expects the plugin to fetch one with a token.
    NoCertificate,
    /// The host's certificate is not one.
    Certificate(String),
}

impl Launch {
    /// Reads the variables.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Refusal> {
        if variable(names::COOKIE_NAME).as_deref() != Some(names::COOKIE_VALUE) {
            return Err(Refusal::NoHost);
        }
        let version = negotiate(&variable(names::PROTOCOL_VERSIONS).unwrap_or_default())?;
        let says = |name| names::sdk_variable(name).iter().any(|name| variable(name).as_deref() == Some("true"));
        let mode = if says(names::sdk::METADATA_MODE) { Mode::Metadata } else { Mode::Serving };
        let host = match variable(names::CLIENT_CERT).filter(|pem| !pem.is_empty()) {
            Some(pem) => Some(certificate_from_pem(&pem).map_err(|error| Refusal::Certificate(error.to_string()))?),
            None if mode == Mode::Metadata => None,
            None => return Err(Refusal::NoCertificate),
        };
        let sockets = variable(names::UNIX_SOCKET_DIR).filter(|directory| !directory.is_empty());
        Ok(Self {
            version,
            host,
            mode,
            sockets: sockets.map_or_else(std::env::temp_dir, PathBuf::from),
            group: variable(names::UNIX_SOCKET_GROUP).filter(|group| !group.is_empty()),
        })
    }
}

/// Returns the highest version that both speak. A host that names none is older than the list, and speaks the lowest.
fn negotiate(offered: &str) -> Result<u32, Refusal> {
    let offers: Vec<u32> = offered.split(',').filter_map(|version| version.trim().parse().ok()).collect();
    let common = VERSIONS.into_iter().find(|version| offers.contains(version));
    match common {
        Some(version) => Ok(version),
        None if offered.is_empty() => Ok(VERSIONS[VERSIONS.len() - 1]),
        None => Err(Refusal::Versions(offered.to_owned())),
    }
}

/// For whoever reads standard error.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str(
                "This binary is a plugin. These are not meant to be executed directly.\nPlease register it with a server, \
                 which will start it when it is needed:\n\n  cofferdam plugin register -sha256=<its SHA-256> -command=<its file \
                 name> secret <a name>\n\n(with `auth` instead of `secret` for an auth method; `vault` and `bao` take the \
                 same arguments).",
            ),
            Self::Versions(offered) => write!(
                f,
                "this plugin speaks versions 3 to 5 of the backend protocol, and the host offers {offered:?}; a newer \
                 cofferdam-sdk may speak them"
            ),
            Self::NoCertificate => f.write_str(
                "the host sent no certificate, so it wants the plugin to fetch one with a wrapping token, which cofferdam-sdk \
                 does not do; a host with automatic mutual TLS (Vault since 1.12, OpenBao, Cofferdam) can run this plugin",
            ),
            Self::Certificate(why) => write!(f, "the host's certificate in {} is useless: {why}", names::CLIENT_CERT),
        }
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_proto::tls::{Identity, LOCALHOST};

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Launch, Refusal> {
        Launch::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        let rows = [("5", Ok(5)), ("3,4,5,6", Ok(5)), ("4, 3", Ok(4)), ("3", Ok(3)), ("", Ok(3))];
        let refused = ["6", "6,7", "five"].map(|offered| (offered, Err(Refusal::Versions(offered.to_owned()))));
        for (offered, expected) in rows.into_iter().chain(refused) {
            assert_eq!(negotiate(offered), expected, "{offered:?}");
        }
    }

    #[test]
    fn only_metadata_mode_does_without_a_certificate() {
        let identity = Identity::generate(LOCALHOST).unwrap();
        let cookie = (names::COOKIE_NAME, names::COOKIE_VALUE);
        let versions = (names::PROTOCOL_VERSIONS, "5,4,3");
        assert_eq!(read(&[versions]).unwrap_err(), Refusal::NoHost);
        assert_eq!(read(&[(names::COOKIE_NAME, "another"), versions]).unwrap_err(), Refusal::NoHost);
        assert_eq!(read(&[cookie, versions]).unwrap_err(), Refusal::NoCertificate);
        assert!(matches!(read(&[cookie, versions, (names::CLIENT_CERT, "x")]), Err(Refusal::Certificate(_))));

        let serving = read(&[cookie, versions, (names::CLIENT_CERT, identity.certificate_pem())]).unwrap();
        assert_eq!((serving.version, serving.mode), (5, Mode::Serving));
        assert_eq!(serving.host.as_ref(), Some(identity.certificate()));
        for name in ["VAULT_PLUGIN_METADATA_MODE", "BAO_PLUGIN_METADATA_MODE"] {
            let metadata = read(&[cookie, (names::PROTOCOL_VERSIONS, "4"), (name, "true")]).unwrap();
            assert_eq!((metadata.version, metadata.mode, metadata.host), (4, Mode::Metadata, None));
        }
    }
}
