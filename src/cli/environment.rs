//! What the process was started with: its environment is read here, once, and handed in to everything else.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use cofferdam_proto::names::sdk;

/// The settings that Vault's clients and server take from the environment. Flags win over them.
#[derive(Default)]
pub struct Environment {
    /// Where the server is.
    pub address: Option<String>,
    /// Where an agent is that stands before the server; it wins over the server's address.
    pub agent_address: Option<String>,
    /// Whether to follow no redirect, as `true` or `false`.
    pub disable_redirects: Option<String>,
    /// The token, where it is not in a file.
    pub token: Option<String>,
    /// The namespace to work in.
    pub namespace: Option<String>,
    /// The format to print in.
    pub format: Option<String>,
    /// The PEM file with the certificates to trust.
    pub ca_cert: Option<String>,
    /// The certificates to trust themselves, as PEM; the file wins over them.
    pub ca_cert_bytes: Option<String>,
    /// The PEM file with this client's certificate.
    pub client_cert: Option<String>,
    /// The PEM file with the certificate's key.
    pub client_key: Option<String>,
    /// Whether to trust any certificate, as `true` or `false`.
    pub skip_verify: Option<String>,
    /// The directory of PEM files with the certificates to trust.
    pub ca_path: Option<String>,
    /// How often a request is sent again that failed on the server's side.
    pub max_retries: Option<String>,
    /// For how long the token lives that the server wraps an answer in.
    pub wrap_ttl: Option<String>,
    /// Vault's variables that are set and that this program does not know how to honour.
    pub unsupported: Vec<String>,
    /// How long a request may take.
    pub client_timeout: Option<String>,
    /// How much the server logs.
    pub log_level: Option<String>,
    /// How the server logs.
    pub log_format: Option<String>,
    /// Where the server logs besides standard error.
    pub log_file: Option<PathBuf>,
    /// Where the service manager wants to be told how the server is getting on.
    pub notify_socket: Option<OsString>,
    /// The development server's root token.
    pub dev_root_token_id: Option<String>,
    /// Where the development server listens.
    pub dev_listen_address: Option<String>,
    /// Where clients and plugins reach the server.
    pub api_addr: Option<String>,
    /// Native plugins that get a process for each mount, with commas between their names.
    pub plugin_multiplexing_opt_out: Option<String>,
    /// Whether native plugins get what they inherit in place of what is registered with them, as `true` or `false`.
    pub plugin_legacy_env_layering: Option<String>,
    /// What native plugins may inherit: all that this process was given, but for its own secrets.
    pub inheritable: Vec<(OsString, OsString)>,
    /// The system's directory for temporary files.
    pub temporary_directory: Option<PathBuf>,
    /// Where the token files lie.
    pub home: Option<PathBuf>,
    /// The proxy on the way to the server, unless it is on this machine.
    pub proxy: Option<ureq::Proxy>,
}

/// The files that may hold a token, best first: ours, then the one that `vault login` writes.
pub(super) const TOKEN_FILES: [&str; 2] = [".cofferdam-token", ".vault-token"];

impl Environment {
    /// Returns the environment of this process.
    pub fn read() -> Self {
        Self {
            address: variable("ADDR"),
            agent_address: variable("AGENT_ADDR"),
            disable_redirects: variable("DISABLE_REDIRECTS"),
            token: variable("TOKEN"),
            namespace: variable("NAMESPACE"),
            format: variable("FORMAT"),
            ca_cert: variable("CACERT"),
            ca_cert_bytes: variable("CACERT_BYTES"),
            client_cert: variable("CLIENT_CERT"),
            client_key: variable("CLIENT_KEY"),
            skip_verify: variable("SKIP_VERIFY"),
            client_timeout: variable("CLIENT_TIMEOUT"),
            ca_path: variable("CAPATH"),
            max_retries: variable("MAX_RETRIES"),
            wrap_ttl: variable("WRAP_TTL"),
            unsupported: UNSUPPORTED.into_iter().filter(|name| variable(name).is_some()).map(str::to_owned).collect(),
            log_level: variable("LOG_LEVEL"),
            log_format: variable("LOG_FORMAT"),
            log_file: variable("LOG_FILE").map(PathBuf::from),
            notify_socket: std::env::var_os(NOTIFY_SOCKET).filter(|socket| !socket.is_empty()),
            dev_root_token_id: variable("DEV_ROOT_TOKEN_ID"),
            dev_listen_address: variable("DEV_LISTEN_ADDRESS"),
            api_addr: server_variable("API_ADDR"),
            plugin_multiplexing_opt_out: server_variable(sdk::MULTIPLEXING_OPT_OUT),
            plugin_legacy_env_layering: server_variable(sdk::LEGACY_ENV_LAYERING),
            inheritable: std::env::vars_os().filter(|(name, _)| !is_own(name)).collect(),
            temporary_directory: Some(std::env::temp_dir()),
            home: std::env::var_os("HOME").map(PathBuf::from),
            proxy: ureq::Proxy::try_from_env(),
        }
    }

    /// Returns the token from the environment, else from the first token file that holds one.
    pub(super) fn find_token(&self) -> io::Result<Option<String>> {
        if let Some(token) = &self.token {
            return Ok(Some(token.clone()));
        }
        let Some(home) = &self.home else { return Ok(None) };
        for file in TOKEN_FILES {
            match std::fs::read_to_string(home.join(file)) {
                Ok(text) if !text.trim().is_empty() => return Ok(Some(text.trim().to_owned())),
                Ok(_) => {}
                Err(reason) if reason.kind() == io::ErrorKind::NotFound => {}
                Err(reason) => return Err(io::Error::new(reason.kind(), format!("{file}: {reason}"))),
            }
        }
        Ok(None)
    }
}

/// Variables of Vault's client that would change where a request goes or whom it trusts. To ignore one could do harm.
const UNSUPPORTED: [&str; 5] = ["HTTP_PROXY", "PROXY_ADDR", "RATE_LIMIT", "SRV_LOOKUP", "TLS_SERVER_NAME"];

/// What may stand before a variable's name, the one that wins first.
const PREFIXES: [&str; 3] = ["COFFERDAM_", "BAO_", "VAULT_"];

/// Variables that hold what only this process is meant to know: whoever has one of these may do anything.
const OWN_SECRETS: [&str; 2] = ["TOKEN", "DEV_ROOT_TOKEN_ID"];

/// Where a service manager wants to be told.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Variables that a service manager means for this process alone: whoever has them can speak, listen or be watched in
/// its place.
const OWN_CHANNELS: [&str; 6] =
    [NOTIFY_SOCKET, "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Whether a variable is this process's and nobody else's.
fn is_own(name: &OsStr) -> bool {
    is_own_secret(name) || OWN_CHANNELS.iter().any(|own| name == *own)
}

/// Whether a variable holds a secret of this process. Vault's plugins inherit these, too.
fn is_own_secret(name: &OsStr) -> bool {
    let bare = |name: &str| PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).map(str::to_owned);
    name.to_str().and_then(bare).is_some_and(|bare| OWN_SECRETS.contains(&bare.as_str()))
}

/// Reads `COFFERDAM_<name>`, else `VAULT_<name>`. An empty variable counts as unset.
fn variable(name: &str) -> Option<String> {
    first_of(&["COFFERDAM_", "VAULT_"], name)
}

/// Reads `COFFERDAM_<name>`, else `BAO_<name>`, else `VAULT_<name>`: what is the same setting in both servers.
fn server_variable(name: &str) -> Option<String> {
    first_of(&PREFIXES, name)
}

fn first_of(prefixes: &[&str], name: &str) -> Option<String> {
    prefixes.iter().find_map(|prefix| std::env::var(format!("{prefix}{name}")).ok().filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_inherit_no_token_and_no_channel() {
        for (name, is_secret) in [
            ("VAULT_TOKEN", true),
            ("BAO_TOKEN", true),
            ("COFFERDAM_TOKEN", true),
            ("VAULT_DEV_ROOT_TOKEN_ID", true),
            ("BAO_DEV_ROOT_TOKEN_ID", true),
            ("TOKEN", false),
            ("MY_VAULT_TOKEN", false),
            ("VAULT_TOKEN_FILE", false),
            ("VAULT_ADDR", false),
            ("NOTIFY_SOCKET", true),
            ("LISTEN_FDS", true),
            ("PATH", false),
        ] {
            assert_eq!(is_own(OsStr::new(name)), is_secret, "{name}");
        }
    }

    #[test]
    fn our_token_file_wins_over_vaults_and_the_environment_over_both() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
        assert_eq!(environment.find_token().unwrap(), None);
        for (file, token) in [(".vault-token", "vaults"), (".cofferdam-token", "ours")] {
            std::fs::write(home.path().join(file), format!("{token}\n")).unwrap();
            assert_eq!(environment.find_token().unwrap().as_deref(), Some(token));
        }
        environment.token = Some("set".to_owned());
        assert_eq!(environment.find_token().unwrap().as_deref(), Some("set"));
    }
}
