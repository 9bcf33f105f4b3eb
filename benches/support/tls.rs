//! TLS for the measurements: one certificate, which both servers show and the client trusts, and axum behind it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::http::{CertificateStore, TlsSettings, TlsVersion};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate for this machine, with its key.
pub struct Certificate {
    der: CertificateDer<'static>,
    key: Vec<u8>,
    files: TempDir,
}

impl Certificate {
    /// Makes one that signs itself, for the address of this machine.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("the address is one");
        let certificate = params.self_signed(&key).expect("the certificate can be signed");
        let files = tempfile::tempdir().expect("a directory can be made");
        std::fs::write(files.path().join("cert.pem"), certificate.pem()).expect("it can be written");
        std::fs::write(files.path().join("key.pem"), key.serialize_pem()).expect("it can be written");
        Self { der: certificate.der().clone(), key: key.serialize_der(), files }
    }

    /// Returns what a listener of ours takes.
    pub fn store(&self) -> CertificateStore {
        let file = |name: &str| -> PathBuf { self.files.path().join(name) };
        let settings = TlsSettings { cert: file("cert.pem"), key: file("key.pem"), min_version: TlsVersion::default() };
        settings.load().expect("the certificate can be used")
    }

    /// Returns what a listener of axum's takes.
    pub fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![self.der.clone()], key);
        TlsAcceptor::from(Arc::new(config.expect("the certificate can be used")))
    }

    /// Returns what a client trusts.
    pub fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("the certificate can be trusted");
        TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }
}

/// A listener that axum serves, behind TLS.
pub struct TlsListener {
    pub listener: TcpListener,
    pub acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.listener.accept().await.expect("a connection comes");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
