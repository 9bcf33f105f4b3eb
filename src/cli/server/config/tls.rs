//! Checks a listener's certificate and key before anything opens. The server reads them again when it listens.

use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::source::read_bounded;
use super::value::Read;

/// Largest certificate or key file, in bytes. A chain of ten certificates takes some 20 KB.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Returns what is wrong with the two files: the setting to blame, and a fragment that follows its name.
pub(super) fn problems(cert_file: &Path, key_file: &Path) -> Vec<(&'static str, String)> {
    let (chain, key) = match (read_chain(cert_file), read_key(key_file)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            let of_chain = chain.err().map(|fragment| ("tls_cert_file", fragment));
            let of_key = key.err().map(|fragment| ("tls_key_file", fragment));
            return of_chain.into_iter().chain(of_key).collect();
        }
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Vec::new(),
        Err(rustls::Error::InconsistentKeys(_)) => {
            vec![("tls_key_file", format!("is {key_file:?}, which is not the key of {cert_file:?}"))]
        }
        Err(error) => vec![("tls_cert_file", format!("is {cert_file:?}, unusable with {key_file:?}: {error}"))],
    }
}

fn read_chain(path: &Path) -> Read<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err(format!("is {path:?}, which holds no certificate in PEM")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("is {path:?}, which is not PEM: {error}")),
    }
}

fn read_key(path: &Path) -> Read<PrivateKeyDer<'static>> {
    // The reason for a key that is not PEM is left out: it may quote the file.
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| format!("is {path:?}, which holds no unencrypted private key in PEM"))
}

fn read(path: &Path) -> Read<Vec<u8>> {
    if !path.is_absolute() {
        return Err(format!("is {path:?}, expected a path that starts with '/'"));
    }
    read_bounded(path, PEM_BYTES_MAX).map_err(|why| format!("is {path:?}, which {why}"))
}
