//! `cofferdam server`: settings first, then the listeners' sockets, then the host, then requests, until a signal. The
//! plugins that the configuration declares are loaded while it serves.
//!
//! Nothing is opened before every setting has been checked, and nothing answers before everything is open.

mod banner;
mod caution;
mod config;
mod declared;
mod dev;
mod log;
mod memory;
mod native;
mod notify;
mod signals;
mod socket;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::config::{ListenerConfig, Mode, ServerConfig, StorageConfig, TlsVersion};
use self::socket::SocketFile;
use super::console::{Console, Ended, Exit};
use super::environment::Environment;
use crate::artifact::PluginDirectory;
use crate::host::{Host, HostBuilder};
use crate::http::{self, Listener, TlsSettings};
use crate::runtime::process::{adopt_orphans, kill_orphans};
use crate::runtime::wasm::Compiler;
use crate::storage::{DurableStorage, MemoryStorage};
use crate::system::{ServerInfo, SystemApi};

/// Where the development server listens: Vault's port.
const DEV_ADDRESS: &str = "127.0.0.1:8200";

/// How long the process waits for threads of its own once everything is closed: a compiler that is still at work cannot
/// be interrupted, and there is nothing of it to lose.
const RUNTIME_SHUTDOWN_DEADLINE: Duration = Duration::from_millis(100);

/// This program, also when its file was replaced by a newer one meanwhile: that one's compiler would not fit.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What `cofferdam server` takes.
#[derive(Args)]
pub(super) struct ServerArgs {
    /// Configuration file or directory, HCL or JSON; may be repeated
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Log this much: trace, debug, info, warn or error [env: VAULT_LOG_LEVEL]
    #[arg(long)]
    log_level: Option<String>,
    /// Log as standard or json [env: VAULT_LOG_FORMAT]
    #[arg(long)]
    log_format: Option<String>,
    /// Log to this file, too; SIGHUP opens it again [env: VAULT_LOG_FILE]
    #[arg(long)]
    log_file: Option<PathBuf>,
    /// Serve for development: in memory, with a known root token. Nothing is kept
    #[arg(long)]
    dev: bool,
    /// Root token of the development server [env: VAULT_DEV_ROOT_TOKEN_ID]
    #[arg(long)]
    dev_root_token_id: Option<String>,
    /// Address of the development server [default: 127.0.0.1:8200] [env: VAULT_DEV_LISTEN_ADDRESS]
    #[arg(long)]
    dev_listen_address: Option<String>,
    /// Plugin directory of the development server; every plugin in it is registered at start
    #[arg(long)]
    dev_plugin_dir: Option<PathBuf>,
    /// Leave the plugins in -dev-plugin-dir unregistered
    #[arg(long)]
    dev_no_plugin_init: bool,
    /// Mount no key-value engine at secret/
    #[arg(long)]
    dev_no_kv: bool,
    /// Leave the root token out of ~/.cofferdam-token
    #[arg(long)]
    dev_no_store_token: bool,
}

/// A server whose every part is open.
struct Opened {
    host: Host,
    listeners: Vec<Listener>,
    /// Removed when the server ends.
    socket_files: Vec<SocketFile>,
    info: ServerInfo,
    config: ServerConfig,
}

/// What is needed to read the configuration again.
struct Upkeep {
    paths: Vec<PathBuf>,
    mode: Mode,
    log: log::Log,
    /// What goes before the configuration.
    typed: log::Typed,
    manager: notify::Manager,
    /// `None` where they cannot be waited for.
    hangups: Option<Signal>,
}

/// Serves until the process is told to stop.
pub(super) fn run(arguments: ServerArgs, environment: &Environment, console: &mut Console) -> Result<Exit, Ended> {
    let dev = dev::Settings::gather(&arguments, environment)?;
    let mode = if dev.is_some() { Mode::Dev } else { Mode::Production };
    if dev.is_none() && arguments.config.is_empty() {
        return Err(Ended::local("Must specify at least one config path using -config, or -dev"));
    }
    let (mut config, warnings) =
        config::load(&arguments.config, mode).map_err(|error| Ended::local(error.to_string()))?;
    let typed = log::Typed::gather(&arguments, environment)?;
    let settings = typed.with(&config);
    if let Some(typed) = &environment.api_addr {
        // As in Vault, the environment goes before the file here.
        let checked = config::api_addr(typed).map_err(|why| Ended::local(format!("VAULT_API_ADDR {why}")))?;
        config.api_addr = Some(checked);
    }
    if let Some(dev) = &dev {
        dev.apply(&mut config)?;
    }
    let files = raise_files_limit();
    let runtime = Runtime::new().map_err(|cause| Ended::local(format!("Error starting the server: {cause}")))?;
    // Before anything opens: what a host finds in its storage is for the log.
    let log = log::Log::start(&settings)?;
    memory::forbid_core_dumps();
    if let Err(error) = files {
        tracing::warn!(%error, "the soft limit of open files (RLIMIT_NOFILE) stays as it is");
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let served = runtime.block_on(async {
        // From here on a hang-up ends nothing.
        let hangups = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be waited for: nothing will be read again"));
        signals::pass_over();
        // Before there are any plugins, and until they are gone.
        let adopting = tokio::spawn(adopt_orphans());
        let manager = notify::Manager::at(environment.notify_socket.as_deref());
        let upkeep = Upkeep { paths: arguments.config, mode, log, typed, manager, hangups: hangups.ok() };
        let opened = open(config, dev.as_ref(), environment).await?;
        memory::close();
        caution::warn(&opened.config, &upkeep.paths);
        memory::warn_of_swap(opened.config.disable_mlock);
        banner::before_start(&opened, &settings, console);
        let served = serve(opened, upkeep, dev, environment, console).await;
        adopting.abort();
        kill_orphans().await;
        served
    });
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_DEADLINE);
    served
}

/// Lets the process open as many files as it ever may: the soft limit is low for the sake of programs that cannot count
/// further, and each connection is a file.
fn raise_files_limit() -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
}

/// Opens everything that serving needs: sockets first, so that two servers never fight for one store.
async fn open(config: ServerConfig, dev: Option<&dev::Settings>, environment: &Environment) -> Result<Opened, Ended> {
    let failed = |what: String| Ended::local(format!("Error starting the server: {what}"));
    let bound = config.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let (listeners, socket_files): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
    let native = native::settings(&config, environment, &listeners).map_err(failed)?;
    native::announce(&native);
    let mut builder = Host::builder()
        .limits(config.limits.clone())
        .compiler(Compiler::Program(OWN_PROGRAM.into()))
        .native_plugins(native)
        .shipped_plugins();
    if let Some(directory) = &config.plugin_directory {
        let opened = PluginDirectory::open(directory);
        let opened = opened.map_err(|cause| failed(format!("plugin directory {}: {cause}", directory.display())))?;
        builder = builder.plugin_directory(opened);
    }
    if let Some(dev) = dev {
        builder = builder.root_token(&dev.root_token);
    }
    let (builder, storage_type) = with_storage(builder, &config.storage).map_err(failed)?;
    let builder = match &config.compile_cache {
        Some(directory) => builder.compile_cache(directory),
        None => builder,
    };
    let info = ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        storage_type: storage_type.to_owned(),
        cluster_name: String::new(),
        api_addr: api_addr(&config, &listeners),
    };
    let builder = builder.system(SystemApi::new(info.clone()));
    let host = builder.build().await.map_err(|error| failed(error.detail()))?;
    Ok(Opened { host, listeners, socket_files: socket_files.into_iter().flatten().collect(), info, config })
}

fn with_storage(builder: HostBuilder, storage: &StorageConfig) -> Result<(HostBuilder, &'static str), String> {
    match storage {
        StorageConfig::Memory => Ok((builder.storage(MemoryStorage::new()), "inmem")),
        StorageConfig::File(directory) => {
            create_private(directory).map_err(|cause| format!("storage path {}: {cause}", directory.display()))?;
            let file = directory.join(config::DATABASE_FILE);
            let storage = DurableStorage::open(&file).map_err(|error| error.to_string())?;
            Ok((builder.storage(storage), "file"))
        }
    }
}

/// Returns the database file that a configuration names.
pub(super) fn storage_file(config: &[PathBuf]) -> Result<PathBuf, Ended> {
    let loaded = config::load(config, Mode::Production).map_err(|error| Ended::local(error.to_string()))?;
    match loaded.0.storage {
        StorageConfig::File(directory) => Ok(directory.join(config::DATABASE_FILE)),
        StorageConfig::Memory => {
            Err(Ended::local("the configuration's storage is in memory, and there is nothing to look after"))
        }
    }
}

/// Makes a directory that only this user can look into, unless it is there.
fn create_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn bind(listener: &ListenerConfig) -> Result<(Listener, Option<SocketFile>), String> {
    let tls = match &listener.tls {
        None => None,
        Some(tls) => {
            let min_version = match tls.version_min {
                TlsVersion::Tls12 => http::TlsVersion::Tls12,
                TlsVersion::Tls13 => http::TlsVersion::Tls13,
            };
            let settings = TlsSettings { cert: tls.cert_file.clone(), key: tls.key_file.clone(), min_version };
            Some(settings.load().map_err(|error| error.to_string())?)
        }
    };
    let (socket, file) = socket::bind(&listener.address)?;
    Ok((Listener { socket, tls, limits: listener.limits }, file))
}

/// Returns the address that clients are told: the configured one, else the first listener's.
fn api_addr(config: &ServerConfig, listeners: &[Listener]) -> String {
    config.api_addr.clone().unwrap_or_else(|| listeners.first().map(banner::url).unwrap_or_default())
}

async fn serve(
    opened: Opened,
    upkeep: Upkeep,
    dev: Option<dev::Settings>,
    environment: &Environment,
    console: &mut Console,
) -> Result<Exit, Ended> {
    let Opened { host, listeners, socket_files: _socket_files, info, config } = opened;
    // From here on the end is a shutdown: a signal that comes before requests are answered ends nothing in the middle
    // of it.
    let stop = CancellationToken::new();
    let (told, stopping) = (signals::stop(), stop.clone());
    tokio::spawn(async move {
        told.await;
        stopping.cancel();
    });
    let api_addr = info.api_addr.clone();
    let _pid_file = config.pid_file.as_deref().map(PidFile::create).transpose()?;
    if dev.is_none() {
        // It can be shown this once, and is valid only if it was.
        let made = host.create_root_token(|token| banner::first_token(token, console)).await;
        made.map_err(|error| Ended::local(error.to_string()))?;
    }
    if let Some(dev) = &dev {
        dev.mount_kv(&host).await?;
    }
    let plugins = match (&dev, &config.plugin_directory) {
        (Some(dev), Some(directory)) => dev.register_plugins(&host, directory).await,
        _ => dev::Registered::default(),
    };
    let manager = upkeep.manager.clone();
    let certificates = listeners.iter().filter_map(|listener| listener.tls.clone()).collect();
    // A plugin can take its time to compile, and nobody's requests wait for it. What it is read again for comes after
    // it, in order.
    let declaring = tokio::spawn({
        let host = host.clone();
        async move {
            if let Some(blocks) = config.plugins {
                declared::apply(&host, blocks).await;
                tracing::info!("the plugins that the configuration declares were looked at");
            }
            declared::follow(host, upkeep, certificates).await;
        }
    });
    let serving = http::serve(host.clone(), listeners, stop.cancelled_owned());
    if let Some(dev) = &dev {
        banner::dev(dev, &api_addr, &plugins, environment, console);
    }
    manager.ready();
    let served = serving.await;
    tracing::info!("shutting down");
    manager.stopping();
    declaring.abort();
    host.shutdown().await;
    served.map_err(|error| Ended::local(error.to_string()))?;
    Ok(Exit::Success)
}

/// A file with this process's number, gone when the server is.
struct PidFile(PathBuf);

impl PidFile {
    fn create(path: &Path) -> Result<Self, Ended> {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|cause| Ended::local(format!("Error storing PID in {}: {cause}", path.display())))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that is gone already has served its purpose.
        drop(std::fs::remove_file(&self.0));
    }
}
