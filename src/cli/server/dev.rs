//! The development server: in memory, with a known token, and with the plugins of a directory.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use super::config::{ListenerConfig, ServerConfig};
use super::{DEV_ADDRESS, ServerArgs};
use crate::artifact::PluginDirectory;
use crate::cli::console::Ended;
use crate::cli::environment::Environment;
use crate::host::{Host, MountRequest, Registration};
use crate::ident::{Command, IdentError, MountPath, PluginName};

/// What the development flags say.
pub(super) struct Settings {
    pub(super) root_token: String,
    pub(super) stores_token: TokenFile,
    address: SocketAddr,
    plugin_directory: Option<PathBuf>,
    plugins: Plugins,
    kv: Kv,
}

/// Whether the root token goes into the file that client commands look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenFile {
    Written,
    LeftAlone,
}

/// Whether the plugins in the directory are registered at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugins {
    Registered,
    LeftAlone,
}

/// Whether there is a key-value engine at `secret/` from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kv {
    Mounted,
    LeftOut,
}

/// The plugins that were found at start.
#[derive(Default)]
pub(super) struct Registered {
    pub(super) names: Vec<String>,
    /// Files that are no plugins, and why.
    pub(super) failures: Vec<(String, String)>,
}

impl Settings {
    /// Returns the settings; `None` without `-dev`. A flag wins over the environment.
    pub(super) fn gather(arguments: &ServerArgs, environment: &Environment) -> Result<Option<Self>, Ended> {
        let given = [
            ("-dev-root-token-id", arguments.dev_root_token_id.is_some()),
            ("-dev-listen-address", arguments.dev_listen_address.is_some()),
            ("-dev-plugin-dir", arguments.dev_plugin_dir.is_some()),
        ];
        if !arguments.dev {
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Ended::local(format!("{flag} needs -dev"))),
                None => Ok(None),
            };
        }
        let pick = |flag: &Option<String>, variable: &Option<String>| flag.clone().or_else(|| variable.clone());
        let typed = pick(&arguments.dev_listen_address, &environment.dev_listen_address);
        let typed = typed.unwrap_or_else(|| DEV_ADDRESS.to_owned());
        let address = typed.to_socket_addrs().ok().and_then(|mut found| found.next());
        let address = address
            .ok_or_else(|| Ended::local(format!("{typed:?} is not an address to listen on, such as {DEV_ADDRESS}")))?;
        let root_token = pick(&arguments.dev_root_token_id, &environment.dev_root_token_id);
        Ok(Some(Self {
            root_token: root_token.unwrap_or_else(|| format!("s.{}", uuid::Uuid::new_v4().simple())),
            stores_token: if arguments.dev_no_store_token { TokenFile::LeftAlone } else { TokenFile::Written },
            address,
            plugin_directory: arguments.dev_plugin_dir.clone(),
            plugins: if arguments.dev_no_plugin_init { Plugins::LeftAlone } else { Plugins::Registered },
            kv: if arguments.dev_no_kv { Kv::LeftOut } else { Kv::Mounted },
        }))
    }

    /// Puts what the flags say in place of what the configuration says.
    pub(super) fn apply(&self, config: &mut ServerConfig) -> Result<(), Ended> {
        config.listeners.insert(0, ListenerConfig::plain(self.address, &config.limits));
        if let Some(directory) = &self.plugin_directory {
            if !directory.is_dir() {
                return Err(Ended::local(format!("-dev-plugin-dir {} is not a directory", directory.display())));
            }
            config.plugin_directory = Some(directory.clone());
        }
        Ok(())
    }

    /// Mounts the key-value engine at `secret/`, in its version 2, as Vault's development server does. What is there
    /// already stays.
    pub(super) async fn mount_kv(&self, host: &Host) -> Result<(), Ended> {
        let failed = |what: String| Ended::local(format!("Error mounting a default KV store: {what}"));
        let path: MountPath = "secret".parse().map_err(|error: IdentError| failed(error.to_string()))?;
        let plugin = "kv".parse().map_err(|error: IdentError| failed(error.to_string()))?;
        if self.kv == Kv::LeftOut || host.mount(&path).is_some() {
            return Ok(());
        }
        let mut request = MountRequest::new(path, plugin);
        request.settings.description = "key/value secret storage".to_owned();
        request.settings.options = [("version".to_owned(), "2".to_owned())].into();
        host.enable(request).await.map(drop).map_err(|error| failed(error.to_string()))
    }

    /// Registers every file in the directory under its name, `.wasm` left out, as the type that it says it is of.
    pub(super) async fn register_plugins(&self, host: &Host, directory: &Path) -> Registered {
        let mut registered = Registered::default();
        if self.plugins == Plugins::LeftAlone {
            return registered;
        }
        let found = match PluginDirectory::open(directory).and_then(|directory| directory.look()) {
            Ok(found) => found,
            Err(cause) => {
                registered.failures.push((directory.display().to_string(), cause.to_string()));
                return registered;
            }
        };
        for (link, why) in found.left_out {
            tracing::warn!("{link} in -dev-plugin-dir is left out: {why}");
            registered.failures.push((link, why));
        }
        for file in found.files {
            match register(host, directory, &file).await {
                Ok(name) => registered.names.push(name),
                Err(why) => registered.failures.push((file, why)),
            }
        }
        registered
    }
}

/// Registers one file with the digest that it has: in development there is nobody who could know a better one.
async fn register(host: &Host, directory: &Path, file: &str) -> Result<String, String> {
    let command: Command = file.parse().map_err(|error| format!("{error}"))?;
    let name: PluginName = file.strip_suffix(".wasm").unwrap_or(file).parse().map_err(|error| format!("{error}"))?;
    let opened = PluginDirectory::open(directory).map_err(|cause| cause.to_string())?;
    let (reading, bytes_max) = (command.clone(), host.limits().artifact_bytes_max);
    let artifact = tokio::task::spawn_blocking(move || opened.read(&reading, bytes_max)).await;
    let artifact = artifact.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let registration = Registration::new(name, command, artifact.digest);
    let registered = host.register_plugin(registration).await;
    registered.map(|plugin| plugin.key.name.to_string()).map_err(|error| error.to_string())
}
