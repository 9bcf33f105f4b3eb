//! The line that a plugin prints first: `1|5|unix|/tmp/plugin123|grpc|<certificate>`.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::names::CORE_VERSION;

/// Longest handshake line, in bytes. The longest part, a P-521 certificate in base64, has some 800.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// go-plugin takes a certificate for one only if it is longer than this.
const CERTIFICATE_TEXT_MIN: usize = 50;

/// How many bytes of a line that makes no sense are shown.
const SHOWN_MAX: usize = 200;

/// Where a plugin listens, and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The version of the backend protocol that the plugin chose.
    pub version: u32,
    /// The path of its Unix socket.
    pub address: PathBuf,
    /// The certificate that it will present, with automatic mutual TLS.
    pub certificate: Option<CertificateDer<'static>>,
}

/// Why a line is not a handshake that this protocol allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// It is something else, such as text that was printed too early.
    #[error("Unrecognized remote plugin message: {0:?}. A plugin prints its handshake before anything else")]
    Unrecognized(String),
    /// Another version of go-plugin.
    #[error(
        "incompatible core API version with plugin. Plugin version: {0}, Core version: {CORE_VERSION}; the plugin was built with \
         another go-plugin"
    )]
    Core(String),
    /// The protocol before gRPC.
    #[error(
        "unsupported plugin protocol {0:?}. Supported: [grpc]; rebuild the plugin with a current SDK, which serves gRPC"
    )]
    Protocol(String),
    /// A network other than Unix sockets.
    #[error("the plugin listens on {network:?} at {address:?}, and this host takes Unix sockets only")]
    Network {
        /// What the plugin names.
        network: String,
        /// Where it says that it listens.
        address: String,
    },
    /// The certificate is not one.
    #[error("error parsing server cert: {0}")]
    Certificate(String),
}

impl Handshake {
    /// Reads a line, without its line break.
    pub fn parse(line: &str) -> Result<Self, HandshakeError> {
        let unrecognized = || HandshakeError::Unrecognized(shown(line));
        let parts: Vec<&str> = line.trim().split('|').collect();
        let [core, version, network, address, rest @ ..] = parts.as_slice() else { return Err(unrecognized()) };
        let core: u32 = core.parse().map_err(|_| unrecognized())?;
        if core != CORE_VERSION {
            return Err(HandshakeError::Core(core.to_string()));
        }
        let version = version.parse().map_err(|_| unrecognized())?;
        // Without a fifth part it is from before gRPC.
        match rest.first().copied().unwrap_or("netrpc") {
            "grpc" => {}
            other => return Err(HandshakeError::Protocol(shown(other))),
        }
        if *network != "unix" {
            return Err(HandshakeError::Network { network: shown(network), address: shown(address) });
        }
        let certificate = match rest.get(1) {
            Some(text) if text.len() > CERTIFICATE_TEXT_MIN => {
                let der = STANDARD_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text));
                Some(der.map_err(|error| HandshakeError::Certificate(error.to_string()))?.into())
            }
            _ => None,
        };
        Ok(Self { version, address: PathBuf::from(address), certificate })
    }
}

/// The line, as a plugin prints it.
impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.certificate.as_ref().map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
        write!(f, "{CORE_VERSION}|{}|unix|{}|grpc|{certificate}", self.version, self.address.display())
    }
}

fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_MAX);
    if end < text.len() { format!("{}…", &text[..end]) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back() {
        let certificate = Some(CertificateDer::from(vec![7; 100]));
        for certificate in [None, certificate] {
            let handshake = Handshake { version: 5, address: "/tmp/plugin1".into(), certificate };
            assert_eq!(Handshake::parse(&handshake.to_string()), Ok(handshake));
        }
    }

    #[test]
    fn what_is_no_handshake_is_named() {
        for (line, expected) in [
            ("hello", "Unrecognized remote plugin message: \"hello\""),
            ("", "Unrecognized remote plugin message: \"\""),
            ("one|5|unix|/a|grpc", "Unrecognized remote plugin message"),
            ("1|five|unix|/a|grpc", "Unrecognized remote plugin message"),
            ("2|5|unix|/a|grpc", "Plugin version: 2, Core version: 1"),
            ("1|5|unix|/a", "unsupported plugin protocol \"netrpc\""),
            ("1|5|unix|/a|netrpc", "unsupported plugin protocol \"netrpc\""),
            ("1|5|tcp|127.0.0.1:1234|grpc", "\"tcp\" at \"127.0.0.1:1234\""),
        ] {
            let error = Handshake::parse(line).expect_err(line).to_string();
            assert!(error.contains(expected), "{line:?}: {error}");
        }
        let garbled = format!("1|5|unix|/a|grpc|{}", "*".repeat(60));
        assert!(matches!(Handshake::parse(&garbled), Err(HandshakeError::Certificate(_))));
        let endless = Handshake::parse(&"x".repeat(10_000)).expect_err("it makes no sense").to_string();
        assert!(endless.len() < 500, "{} bytes", endless.len());
    }
}
