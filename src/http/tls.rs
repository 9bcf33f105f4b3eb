//! TLS settings for a listener, read and checked before anything is served, and a certificate that can be replaced
//! meanwhile.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

/// How a listener speaks TLS.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// A PEM file with the certificate, followed by the certificates that lead to its root.
    pub cert: PathBuf,
    /// A PEM file with the certificate's private key, unencrypted.
    pub key: PathBuf,
    /// The oldest version that clients may use.
    pub min_version: TlsVersion,
}

/// A version of TLS. Older ones are broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, Vault's default.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Why TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or does not hold what it should.
    #[error("failed to read {what} from {}: {source}", path.display())]
    Unreadable {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no PEM certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are not usable, or not with each other.
    #[error("certificate {} and key {} cannot be used: {source}", cert.display(), key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
}

/// How a listener speaks TLS, with the certificate that is in use. Clones are one and the same.
#[derive(Clone)]
pub struct CertificateStore {
    settings: Arc<TlsSettings>,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// The certificate and key that the next handshake uses.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl CertificateStore {
    /// Reads both files again; new connections get what they hold from then on, and those that are open keep what they
    /// have. Files that cannot be used change nothing. Blocks while it reads.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.0.store(Arc::new(self.settings.certified()?));
        Ok(())
    }

    /// Returns the file of the certificate, to name it.
    pub fn cert(&self) -> &Path {
        &self.settings.cert
    }

    /// Returns what a handshake needs.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl TlsSettings {
    /// Reads both files and returns what a [`Listener`](super::Listener) needs. Blocks while it reads.
    ///
    /// The cryptography is named here (aws-lc), not taken from a default of the process: a library owns no such
    /// default.
    pub fn load(&self) -> Result<CertificateStore, TlsError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(self.certified()?)));
        let versions: &[_] = match self.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_protocol_versions(versions);
        let config = config.map_err(|source| self.unusable(source))?.with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(CertificateStore { settings: Arc::new(self.clone()), current, config: Arc::new(config) })
    }

    /// Reads both files, which must belong together.
    fn certified(&self) -> Result<CertifiedKey, TlsError> {
        let chain = self.chain()?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|source| unreadable("a private key", &self.key, source))?;
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: rustls::Error) -> TlsError {
        TlsError::Unusable { cert: self.cert.clone(), key: self.key.clone(), source }
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates =
            CertificateDer::pem_file_iter(&self.cert).and_then(|found| found.collect::<Result<Vec<_>, _>>());
        let chain = certificates.map_err(|source| unreadable("a certificate", &self.cert, source))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { path: self.cert.clone() });
        }
        Ok(chain)
    }
}

fn unreadable(what: &'static str, path: &Path, source: pem::Error) -> TlsError {
    TlsError::Unreadable { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(directory: &Path, cert: &str, key: &str) -> TlsSettings {
        let (cert_path, key_path) = (directory.join("cert.pem"), directory.join("key.pem"));
        std::fs::write(&cert_path, cert).unwrap();
        std::fs::write(&key_path, key).unwrap();
        TlsSettings { cert: cert_path, key: key_path, min_version: TlsVersion::Tls13 }
    }

    #[test]
    fn bad_files_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let ada = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let eve = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (ada.cert.pem(), ada.signing_key.serialize_pem());
        assert!(settings(directory.path(), &cert, &key).load().is_ok());
        for (cert, key, because) in [
            ("", key.as_str(), "cert.pem holds no PEM certificate"),
            ("-----BEGIN CERTIFICATE-----\n!", key.as_str(), "a certificate from"),
            (cert.as_str(), "", "a private key from"),
            (cert.as_str(), &eve.signing_key.serialize_pem(), "cannot be used"),
        ] {
            let error = settings(directory.path(), cert, key).load().unwrap_err().to_string();
            assert!(error.contains(because), "{error}, expected {because:?}");
        }
    }

    #[test]
    fn a_certificate_is_replaced_by_a_good_one_only() {
        let directory = tempfile::tempdir().unwrap();
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (ada, eve) = (made(), made());
        let write = |cert: &str, key: &str| settings(directory.path(), cert, key);
        let store = write(&ada.cert.pem(), &ada.signing_key.serialize_pem()).load().unwrap();
        let in_use = || store.current.0.load().cert[0].clone();
        assert_eq!(in_use(), *ada.cert.der());
        write(&eve.cert.pem(), &ada.signing_key.serialize_pem());
        assert!(store.reload().unwrap_err().to_string().contains("cannot be used"));
        assert_eq!(in_use(), *ada.cert.der());
        write(&eve.cert.pem(), &eve.signing_key.serialize_pem());
        store.clone().reload().unwrap();
        assert_eq!(in_use(), *eve.cert.der());
    }
}
