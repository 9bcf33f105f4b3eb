//! The flags that commands share, and the arguments that are no flags.

use clap::Args;
use cofferdam_contract::GoDuration;
use serde::Serialize;

use super::console::Ended;

/// How to reach the server, and as whom.
#[derive(Args)]
#[command(next_help_heading = "HTTP Options")]
pub(super) struct ConnectionFlags {
    /// Address of the server [default: https://127.0.0.1:8200] [env: COFFERDAM_ADDR, VAULT_ADDR]
    #[arg(long, global = true)]
    pub(super) address: Option<String>,
    /// Address of an agent that stands before the server; wins over -address [env: VAULT_AGENT_ADDR]
    #[arg(long, global = true)]
    pub(super) agent_address: Option<String>,
    /// Follow no redirect; an answer that is one is then an error [env: VAULT_DISABLE_REDIRECTS]
    #[arg(long, global = true)]
    pub(super) disable_redirects: bool,
    /// PEM file with the CA certificates to trust [env: VAULT_CACERT]
    #[arg(long, global = true)]
    pub(super) ca_cert: Option<String>,
    /// PEM file with a certificate to authenticate with; needs -client-key [env: VAULT_CLIENT_CERT]
    #[arg(long, global = true)]
    pub(super) client_cert: Option<String>,
    /// PEM file with the key of -client-cert [env: VAULT_CLIENT_KEY]
    #[arg(long, global = true)]
    pub(super) client_key: Option<String>,
    /// Trust any certificate; anyone on the way can then read the token [env: VAULT_SKIP_VERIFY]
    #[arg(long, global = true)]
    pub(super) tls_skip_verify: bool,
    /// Namespace to work in [env: VAULT_NAMESPACE]
    #[arg(long, alias = "ns", global = true)]
    pub(super) namespace: Option<String>,
    /// Header to send along, as name=value; may be repeated
    #[arg(long, global = true, value_parser = pair)]
    pub(super) header: Vec<(String, String)>,
    /// Directory of PEM files with CA certificates to trust [env: VAULT_CAPATH]
    #[arg(long, global = true)]
    pub(super) ca_path: Option<String>,
    /// Name that the server's certificate must have; not supported, and refused [env: VAULT_TLS_SERVER_NAME]
    #[arg(long, global = true)]
    pub(super) tls_server_name: Option<String>,
    /// Have the server wrap its answer in a token that lives for this long [env: VAULT_WRAP_TTL]
    #[arg(long, global = true)]
    pub(super) wrap_ttl: Option<GoDuration>,
    /// Credential of a second factor, as method_id[:passcode]; may be repeated
    #[arg(long, global = true)]
    pub(super) mfa: Vec<String>,
    /// Override a policy that may be overridden
    #[arg(long, global = true)]
    pub(super) policy_override: bool,
    /// Ask nothing on the terminal; no command does
    #[arg(long, global = true)]
    pub(super) non_interactive: bool,
    /// Print the request as a curl command instead of sending it
    #[arg(long, global = true)]
    pub(super) output_curl_string: bool,
    /// Print the policy that the request needs instead of sending it
    #[arg(long, global = true)]
    pub(super) output_policy: bool,
}

/// How instances of a sandboxed plugin are kept. Sent only where they were given; a zero leaves a limit open.
#[derive(Args, Serialize)]
pub(super) struct InstanceFlags {
    /// How instances are kept: per-mount (the default), per-request for a fresh one each time, or pooled for mounts
    /// that share them
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<String>,
    /// Instances alive at a time, of the mount or of all that share them
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_instances: Option<u32>,
    /// Of these, how many stay while nobody calls them
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_idle: Option<u32>,
    /// For how long an instance stays that nobody calls, such as 10m
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<String>,
    /// Requests after which a fresh instance takes an instance's place
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_requests: Option<u64>,
    /// Requests at a time in one instance, where the plugin serves several
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<u32>,
}

/// How to print what the server answers.
#[derive(Args)]
#[command(next_help_heading = "Output Options")]
pub(super) struct OutputFlags {
    /// Print as table, json or yaml; read also raw, status pretty [default: table] [env: COFFERDAM_FORMAT,
    /// VAULT_FORMAT]
    #[arg(long, global = true)]
    pub(super) format: Option<String>,
    /// Print only this field, without a line end unless on a terminal
    #[arg(long, global = true)]
    pub(super) field: Option<String>,
}

/// The arguments that are no flags. Commands count them themselves, to complain in Vault's words.
#[derive(Args, Default)]
pub(super) struct Positionals {
    #[arg(value_name = "ARGUMENT", hide = true)]
    words: Vec<String>,
}

impl Positionals {
    /// Returns exactly this many.
    pub(super) fn exactly<const N: usize>(self) -> Result<[String; N], Ended> {
        let given = self.words.len();
        self.words.try_into().map_err(|_| miscounted(given, N, &N.to_string()))
    }

    /// Returns a plugin's name, and its type where it was given before the name.
    pub(super) fn type_and_name(self) -> Result<(Option<String>, String), Ended> {
        let given = self.words.len();
        let mut words = self.words.into_iter().map(|word| word.trim().to_owned());
        match (words.next(), words.next(), words.next()) {
            (Some(name), None, _) => Ok((None, name)),
            (Some(kind), Some(name), None) => Ok((Some(kind), name)),
            _ => Err(miscounted(given, 1, "1 or 2")),
        }
    }

    /// Returns the argument if there is one.
    pub(super) fn at_most_one(self) -> Result<Option<String>, Ended> {
        match self.words.len() {
            0 | 1 => Ok(self.words.into_iter().next()),
            given => Err(miscounted(given, 0, "0 or 1")),
        }
    }

    /// Returns the first argument and what follows it.
    pub(super) fn first_and_rest(mut self) -> Result<(String, Vec<String>), Ended> {
        if self.words.is_empty() {
            return Err(miscounted(0, 1, "1"));
        }
        let rest = self.words.split_off(1);
        Ok((self.words.remove(0), rest))
    }
}

fn miscounted(given: usize, fewest: usize, expected: &str) -> Ended {
    let problem = if given < fewest { "Not enough" } else { "Too many" };
    Ended::local(format!("{problem} arguments (expected {expected}, got {given})"))
}

/// Parses a flag's `name=value`.
pub(super) fn pair(typed: &str) -> Result<(String, String), String> {
    match typed.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("missing = in KV pair".to_owned()),
    }
}

/// Returns a path without slashes and blanks around it.
pub(super) fn bare_path(typed: &str) -> String {
    typed.trim().trim_matches('/').trim().to_owned()
}

/// Returns a path with one slash at its end, unless it is empty.
pub(super) fn mount_path(typed: &str) -> String {
    let typed = typed.trim();
    if typed.is_empty() || typed.ends_with('/') { typed.to_owned() } else { format!("{typed}/") }
}
