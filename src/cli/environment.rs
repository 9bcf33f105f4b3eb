//! What the process was started with: its environment is read here, once, and handed in to everything else.

use std::io;
use std::path::PathBuf;

/// The settings that Vault's clients and server take from the environment. Flags win over them.
#[derive(Default)]
pub struct Environment {
    /// Where the server is.
    pub address: Option<String>,
    /// The token, where it is not in a file.
    pub token: Option<String>,
    /// The namespace to work in.
    pub namespace: Option<String>,
    /// The format to print in.
    pub format: Option<String>,
    /// The PEM file with the certificates to trust.
    pub ca_cert: Option<String>,
    /// The PEM file with this client's certificate.
    pub client_cert: Option<String>,
    /// The PEM file with the certificate's key.
    pub client_key: Option<String>,
    /// Whether to trust any certificate, as `true` or `false`.
    pub skip_verify: Option<String>,
    /// How long a request may take.
    pub client_timeout: Option<String>,
    /// How much the server logs.
    pub log_level: Option<String>,
    /// How the server logs.
    pub log_format: Option<String>,
    /// The development server's root token.
    pub dev_root_token_id: Option<String>,
    /// Where the development server listens.
    pub dev_listen_address: Option<String>,
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
            token: variable("TOKEN"),
            namespace: variable("NAMESPACE"),
            format: variable("FORMAT"),
            ca_cert: variable("CACERT"),
            client_cert: variable("CLIENT_CERT"),
            client_key: variable("CLIENT_KEY"),
            skip_verify: variable("SKIP_VERIFY"),
            client_timeout: variable("CLIENT_TIMEOUT"),
            log_level: variable("LOG_LEVEL"),
            log_format: variable("LOG_FORMAT"),
            dev_root_token_id: variable("DEV_ROOT_TOKEN_ID"),
            dev_listen_address: variable("DEV_LISTEN_ADDRESS"),
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

/// Reads `COFFERDAM_<name>`, else `VAULT_<name>`. An empty variable counts as unset.
fn variable(name: &str) -> Option<String> {
    ["COFFERDAM", "VAULT"]
        .into_iter()
        .find_map(|prefix| std::env::var(format!("{prefix}_{name}")).ok().filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
