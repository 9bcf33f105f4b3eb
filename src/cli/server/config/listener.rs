//! The stanzas `listener "tcp"` and `listener "unix"`: where the server listens, and with which certificate.

use std::net::SocketAddr;
use std::path::PathBuf;

use cofferdam_contract::GoDuration;

use super::document::Value;
use super::problem::Findings;
use super::stanza::Stanza;
use super::value::{count, duration, file_mode, listen_address, name_or_number, path, size, switch, text, word};
use super::{tls, vault};
use crate::http::ListenerLimits;
use crate::limits::Limits;

/// Where a listener of the type "unix" has its socket if it does not say: as in Vault.
const DEFAULT_SOCKET: &str = "/run/vault.sock";

/// Where the server listens, and what one connection may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerConfig {
    pub(crate) address: ListenAddress,
    /// The certificate, or `None` for plain HTTP.
    pub(crate) tls: Option<TlsConfig>,
    /// What its clients are granted: size and duration at most the host's.
    pub(crate) limits: ListenerLimits,
}

/// What a listener listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// An address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(SocketFileConfig),
}

/// A socket in the file system, and who may use it: by default, this process's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SocketFileConfig {
    pub(crate) path: PathBuf,
    /// The file's mode.
    pub(crate) mode: Option<u32>,
    /// The file's user, by name or number.
    pub(crate) user: Option<String>,
    /// The file's group, by name or number.
    pub(crate) group: Option<String>,
}

/// A listener's certificate. The files were readable and matched when the configuration was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// The certificate and its chain, in PEM; an absolute path.
    pub(crate) cert_file: PathBuf,
    /// The certificate's private key, in PEM; an absolute path.
    pub(crate) key_file: PathBuf,
    /// The oldest version that is on offer.
    pub(crate) version_min: TlsVersion,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    /// TLS 1.2, Vault's default minimum.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl ListenerConfig {
    /// Returns a listener without TLS that grants what the host grants.
    pub(crate) fn plain(address: SocketAddr, limits: &Limits) -> Self {
        Self { address: ListenAddress::Tcp(address), tls: None, limits: ListenerLimits::from(limits) }
    }
}

/// Reads every listener.
pub(super) fn read(root: &mut Stanza<'_>, limits: &Limits, findings: &mut Findings) -> Vec<ListenerConfig> {
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for (kind, stanza) in root.labelled("listener", findings) {
        let is_unix = match kind.to_ascii_lowercase().as_str() {
            "tcp" => false,
            "unix" => true,
            _ => {
                let message = format!("listener {kind:?} is not supported: there are \"tcp\" and \"unix\"");
                findings.problem(stanza.place(), message);
                continue;
            }
        };
        let listener = read_one(stanza, is_unix, &listeners, limits, findings);
        listeners.push(listener);
    }
    listeners
}

fn read_one(
    mut stanza: Stanza<'_>,
    is_unix: bool,
    before: &[ListenerConfig],
    limits: &Limits,
    findings: &mut Findings,
) -> ListenerConfig {
    let mut listener = ListenerConfig::plain(SocketAddr::from(([127, 0, 0, 1], 8200)), limits);
    let free = |address: ListenAddress, shown: String| {
        let is_taken = before.iter().any(|listener| match (&listener.address, &address) {
            (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => one == other && one.port() != 0,
            (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one.path == other.path,
            _ => false,
        });
        if is_taken { Err(format!("is {shown}, which another listener has")) } else { Ok(address) }
    };
    if is_unix {
        let mut file = SocketFileConfig { path: DEFAULT_SOCKET.into(), mode: None, user: None, group: None };
        file.mode = stanza.get("socket_mode", file_mode, findings);
        file.user = stanza.get("socket_user", name_or_number, findings);
        file.group = stanza.get("socket_group", name_or_number, findings);
        listener.address = ListenAddress::Unix(file.clone());
        let free_path = |value: &Value| {
            let path = path(value)?;
            let shown = path.display().to_string();
            free(ListenAddress::Unix(SocketFileConfig { path, ..file.clone() }), shown)
        };
        stanza.set("address", free_path, &mut listener.address, findings);
    } else {
        let free_address = |value: &Value| {
            let address = listen_address(value)?;
            free(ListenAddress::Tcp(address), address.to_string())
        };
        stanza.set("address", free_address, &mut listener.address, findings);
    }
    stanza.set("max_request_size", size, &mut listener.limits.request_body_bytes_max, findings);
    stanza.set("max_request_duration", duration, &mut listener.limits.request_deadline, findings);
    stanza.set("http_read_header_timeout", duration, &mut listener.limits.header_deadline, findings);

    let ListenerLimits { anonymous_body_bytes_max, json, .. } = &mut listener.limits;
    stanza.set("max_anonymous_request_size", size, anonymous_body_bytes_max, findings);
    stanza.set("max_json_depth", count, &mut json.depth_max, findings);
    stanza.set("max_json_object_entry_count", count, &mut json.members_max, findings);
    stanza.set("max_json_array_element_count", count, &mut json.elements_max, findings);
    stanza.set("max_json_string_value_length", size, &mut json.text_bytes_max, findings);
    stanza.set("max_json_token_count", count, &mut json.tokens_max, findings);

    if listener.limits.request_body_bytes_max > limits.request_body_bytes_max {
        let message = format!("\"max_request_size\" exceeds limits.request_body: {}", limits.request_body_bytes_max);
        findings.problem(stanza.place_of("max_request_size"), message);
    }
    if listener.limits.request_deadline > limits.request_deadline {
        let host = GoDuration::from_std(limits.request_deadline);
        let message = format!("\"max_request_duration\" exceeds limits.request_deadline: {host}");
        findings.problem(stanza.place_of("max_request_duration"), message);
    }
    // As in Vault: the file system decides who gets in.
    listener.tls = if is_unix { ignore_tls(&mut stanza, findings) } else { read_tls(&mut stanza, findings) };
    stanza.finish(vault::LISTENER, findings);
    listener
}

fn ignore_tls(stanza: &mut Stanza<'_>, findings: &mut Findings) -> Option<TlsConfig> {
    for name in ["tls_min_version", "tls_cert_file", "tls_key_file"] {
        if !stanza.has(name) {
            continue;
        }
        findings.warning(
            stanza.place_of(name),
            format!("{name:?} has no effect: a socket in the file system speaks no TLS"),
        );
        drop(stanza.get(name, text, findings));
    }
    let _ = stanza.get("tls_disable", switch, findings);
    None
}

fn read_tls(stanza: &mut Stanza<'_>, findings: &mut Findings) -> Option<TlsConfig> {
    const VERSIONS: &[(&str, TlsVersion)] = &[("tls12", TlsVersion::Tls12), ("tls13", TlsVersion::Tls13)];
    const FILES: [&str; 2] = ["tls_cert_file", "tls_key_file"];

    let version_min = stanza.get("tls_min_version", word(VERSIONS), findings).unwrap_or(TlsVersion::Tls12);
    let cert_file = stanza.get("tls_cert_file", path, findings);
    let key_file = stanza.get("tls_key_file", path, findings);
    match stanza.get("tls_disable", switch, findings) {
        Some(true) => {
            for name in FILES.into_iter().filter(|name| stanza.has(name)) {
                findings.warning(stanza.place_of(name), format!("{name:?} has no effect: TLS is disabled"));
            }
            return None;
        }
        // Whether files are needed is open until the switch is mended.
        None if stanza.has("tls_disable") => return None,
        Some(false) | None => {}
    }
    for name in FILES.into_iter().filter(|name| !stanza.has(name)) {
        stanza.missing(name, findings);
    }
    let (cert_file, key_file) = (cert_file?, key_file?);
    for (name, fragment) in tls::problems(&cert_file, &key_file) {
        findings.problem(stanza.place_of(name), format!("{name:?} {fragment}"));
    }
    Some(TlsConfig { cert_file, key_file, version_min })
}
