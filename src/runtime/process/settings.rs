//! What an embedder decides about native plugins.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::ident::PluginName;

/// How native plugins are started. The core reads no environment and no directory of its own: all of it is handed in.
#[derive(Clone)]
pub struct NativePlugins {
    /// What a plugin inherits. What is registered with it comes before, or after where `legacy_layering` is set; the
    /// protocol's own variables always win. Empty for a clean environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Lets `environment` win over what is registered with a plugin, as Vault did before 1.16.
    pub legacy_layering: bool,
    /// Plugins that get a process for each mount even if they support multiplexing.
    pub multiplexing_opt_out: Vec<PluginName>,
    /// Where plugins reach this server's HTTP API, such as `https://10.0.0.1:8200`. Only plugins from before automatic
    /// mutual TLS need it, to unwrap their certificate; without it they are refused.
    pub api_address: Option<String>,
    /// Where each process gets a directory of its own for its sockets, which nobody else can enter. Its path must be
    /// short: a socket's whole path has at most 107 bytes.
    pub socket_directory: PathBuf,
}

impl Default for NativePlugins {
    fn default() -> Self {
        Self {
            environment: Vec::new(),
            legacy_layering: false,
            multiplexing_opt_out: Vec::new(),
            api_address: None,
            socket_directory: PathBuf::from("/tmp"),
        }
    }
}

/// Leaves the environment out, which may hold secrets.
impl fmt::Debug for NativePlugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativePlugins")
            .field("legacy_layering", &self.legacy_layering)
            .field("multiplexing_opt_out", &self.multiplexing_opt_out)
            .field("api_address", &self.api_address)
            .field("socket_directory", &self.socket_directory)
            .finish_non_exhaustive()
    }
}
