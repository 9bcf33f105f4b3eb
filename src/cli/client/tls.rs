//! TLS settings: whom to trust, and as whom to come.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::call::shell_quoted;
use crate::cli::environment::Environment;
use crate::cli::flags::ConnectionFlags;

/// What flags and environment say about TLS.
pub(super) struct Settings {
    ca_cert: Option<String>,
    ca_cert_bytes: Option<String>,
    ca_path: Option<String>,
    client: Option<(String, String)>,
    trust: Trust,
}

/// Which servers to talk to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Verified,
    Anyone,
}

impl Settings {
    /// Returns the settings, a flag before a variable of the environment.
    pub(super) fn gather(flags: &ConnectionFlags, environment: &Environment) -> Result<Self, String> {
        let pick = |flag: &Option<String>, variable: &Option<String>| flag.clone().or_else(|| variable.clone());
        let client_cert = pick(&flags.client_cert, &environment.client_cert);
        let client = match (client_cert, pick(&flags.client_key, &environment.client_key)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("both client cert and client key must be provided".to_owned()),
        };
        let skips = switched_on("VAULT_SKIP_VERIFY", environment.skip_verify.as_deref())?;
        let trust = if flags.tls_skip_verify || skips { Trust::Anyone } else { Trust::Verified };
        Ok(Self {
            ca_cert: pick(&flags.ca_cert, &environment.ca_cert),
            ca_cert_bytes: environment.ca_cert_bytes.clone(),
            ca_path: pick(&flags.ca_path, &environment.ca_path),
            client,
            trust,
        })
    }

    /// Reads the files and returns the configuration. Without a CA file, whom the machine trusts is trusted.
    pub(super) fn load(&self) -> Result<TlsConfig, String> {
        // As in Vault, the file wins over the bytes, and they over the directory.
        let roots = match (&self.ca_cert, &self.ca_cert_bytes, &self.ca_path) {
            (None, None, None) => RootCerts::PlatformVerifier,
            (Some(path), ..) => RootCerts::new_with_certs(&read_certificates(path)?),
            (None, Some(pem), _) => RootCerts::new_with_certs(&certificates("VAULT_CACERT_BYTES", pem.as_bytes())?),
            (None, None, Some(directory)) => RootCerts::new_with_certs(&read_directory(directory)?),
        };
        let client = self.client.as_ref().map(|(cert, key)| read_identity(cert, key)).transpose()?;
        Ok(TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(roots)
            .client_cert(client)
            .disable_verification(self.trust == Trust::Anyone)
            .build())
    }

    /// Returns the same settings for curl.
    pub(super) fn as_curl_options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if self.trust == Trust::Anyone {
            options.push("--insecure".to_owned());
        }
        options.extend(self.ca_cert.iter().map(|path| format!("--cacert {}", shell_quoted(path))));
        // curl takes no certificate from its command line; a shell hands it over as a file.
        let bytes = self.ca_cert_bytes.as_ref().filter(|_| self.ca_cert.is_none());
        options.extend(bytes.map(|_| r#"--cacert <(printf %s "$VAULT_CACERT_BYTES")"#.to_owned()));
        options.extend(self.ca_path.iter().map(|path| format!("--capath {}", shell_quoted(path))));
        if let Some((cert, key)) = &self.client {
            options.push(format!("--cert {} --key {}", shell_quoted(cert), shell_quoted(key)));
        }
        options
    }
}

/// Reads a variable that is `true` or `false` in one of the spellings that Go takes.
pub(super) fn switched_on(variable: &str, typed: Option<&str>) -> Result<bool, String> {
    match typed.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "f" | "0") => Ok(false),
        Some("true" | "t" | "1") => Ok(true),
        Some(_) => Err(format!("could not parse {variable}")),
    }
}

fn read_certificates(path: &str) -> Result<Vec<Certificate<'static>>, String> {
    certificates(path, &read(path)?)
}

/// Returns the certificates of PEM that came from here.
fn certificates(from: &str, pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let certificates: Vec<_> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(format!("{from} holds no PEM certificate"));
    }
    Ok(certificates)
}

/// Reads every file of a directory.
fn read_directory(directory: &str) -> Result<Vec<Certificate<'static>>, String> {
    let failed = |reason: std::io::Error| format!("{directory}: {reason}");
    let mut certificates = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            certificates.extend(read_certificates(&path.to_string_lossy())?);
        }
    }
    if certificates.is_empty() {
        return Err(format!("{directory} holds no PEM certificate"));
    }
    Ok(certificates)
}

/// Reads a certificate and its key. ureq panics on a pair that does not match, so that is found out here.
fn read_identity(cert_path: &str, key_path: &str) -> Result<ClientCert, String> {
    let certificates = read_certificates(cert_path)?;
    let pem = read(key_path)?;
    let refused = |reason: &dyn std::fmt::Display| format!("{cert_path} and {key_path} cannot be used: {reason}");
    let chain = certificates.iter().map(|certificate| certificate.der().to_vec().into()).collect();
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|reason| refused(&reason))?;
    rustls::sign::CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|reason| refused(&reason))?;
    let key = PrivateKey::from_pem(&pem).map_err(|reason| refused(&reason))?;
    Ok(ClientCert::new_with_certs(&certificates, key))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|reason| format!("{path}: {reason}"))
}
