//! The server's configuration: `server -config=FILE`, in HCL as Vault's files or in JSON.
//!
//! Files become one document (`source`, then `hcl` or `json`), and the document is validated once (here, stanza by
//! stanza). Nothing is opened but the files themselves and the certificates they name. Every problem of every file is
//! gathered and shown as `FILE:LINE: message`.
//!
//! It is stricter than Vault: an unknown setting is an error, and so is a setting that is written twice, even in two
//! files. Vault lets the last one win, and which file comes last is easily misjudged. `vault` lists the settings that
//! Vault has and this server does not.

mod document;
mod hcl;
mod json;
mod limits;
mod listener;
mod native;
mod plugins;
mod problem;
mod source;
mod stanza;
#[cfg(test)]
mod tests;
mod tls;
mod value;
mod vault;

use std::path::PathBuf;
use std::sync::Arc;

use tracing::Level;

pub(crate) use listener::{ListenAddress, ListenerConfig, SocketFileConfig, TlsVersion};
pub(crate) use native::{NativeConfig, PluginEnvironment};
pub(crate) use plugins::PluginBlock;
pub(crate) use problem::{ConfigError, Problem};

use crate::limits::Limits;
use document::Place;
use problem::Findings;
use stanza::Stanza;
use value::PathOrSwitch;

/// The database file inside the directory of `storage "file"`.
pub(crate) const DATABASE_FILE: &str = "cofferdam.redb";

/// The directory for compiled plugins inside the directory of `storage "file"`, unless `compile_cache` names another.
pub(crate) const COMPILE_CACHE_DIRECTORY: &str = "compiled";

/// What a server needs to start. Paths are as typed: relative ones lie below the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Where plugin files lie; built-in plugins need none.
    pub(crate) plugin_directory: Option<PathBuf>,
    /// Where data is kept.
    pub(crate) storage: StorageConfig,
    /// Where compiled plugins are kept; `None` for nowhere. Never there with [`StorageConfig::Memory`].
    pub(crate) compile_cache: Option<PathBuf>,
    /// Where to listen, with distinct addresses. Never empty unless the mode is [`Mode::Dev`].
    pub(crate) listeners: Vec<ListenerConfig>,
    /// The URL at which clients and plugins reach this server.
    pub(crate) api_addr: Option<String>,
    /// Which log lines are written, if the file says so; a flag goes before it.
    pub(crate) log_level: Option<Level>,
    /// How log lines look, if the file says so; a flag goes before it.
    pub(crate) log_format: Option<LogFormat>,
    /// Where log lines go besides standard error, if the file says so; a flag goes before it.
    pub(crate) log_file: Option<PathBuf>,
    /// Whether the operator has seen to it that memory does not get onto a disk, if the file says so.
    pub(crate) disable_mlock: Option<bool>,
    /// What native plugins are given.
    pub(crate) native: NativeConfig,
    /// The plugins that are registered by the server itself; `None` when the catalog is to be left alone.
    pub(crate) plugins: Option<Vec<PluginBlock>>,
    /// The file that the process's id is written to.
    pub(crate) pid_file: Option<PathBuf>,
    /// What the host grants, the TTLs included.
    pub(crate) limits: Limits,
}

/// Where data is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StorageConfig {
    /// `storage "file"`: in [`DATABASE_FILE`] inside this directory.
    File(PathBuf),
    /// `storage "inmem"`: in memory, gone with the process.
    Memory,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text for people.
    Standard,
    /// One JSON object a line.
    Json,
}

/// How a server is started, which decides what its configuration must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `server`: storage and a listener are required.
    Production,
    /// `server -dev`: both have a default or come from flags.
    Dev,
}

/// Loads the files, and the `*.hcl` and `*.json` of directories, in order. Returns the warnings as well.
pub(crate) fn load(paths: &[PathBuf], mode: Mode) -> Result<(ServerConfig, Vec<Problem>), ConfigError> {
    let mut findings = Findings::default();
    let entries = source::read(paths, &mut findings);
    let files: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    // Without any file, the flag that names them is to blame for what is missing.
    let files = if files.is_empty() { "-config".to_owned() } else { files.join(", ") };
    let all_files = Place { file: Arc::from(files), line: None };
    // What a broken file would have brought is not missing.
    let mode = if findings.has_problems() { Mode::Dev } else { mode };
    let config = validate(Stanza::root(&all_files, &entries), mode, &mut findings);
    findings.conclude(config)
}

/// Checks an address that was given outside the files as `api_addr` in them is checked. The error is a fragment that
/// follows its name.
pub(crate) fn api_addr(typed: &str) -> Result<String, String> {
    value::url(&document::Value::Text(typed.to_owned()))
}

/// Turns the document into settings. Where something required is missing or bad, the findings tell.
fn validate(mut root: Stanza<'_>, mode: Mode, findings: &mut Findings) -> Option<ServerConfig> {
    const LEVELS: &[(&str, Level)] = &[
        ("trace", Level::TRACE),
        ("debug", Level::DEBUG),
        ("info", Level::INFO),
        ("notice", Level::INFO),
        ("warn", Level::WARN),
        ("warning", Level::WARN),
        ("error", Level::ERROR),
        ("err", Level::ERROR),
    ];
    const FORMATS: &[(&str, LogFormat)] = &[("standard", LogFormat::Standard), ("json", LogFormat::Json)];

    let limits = limits::read(&mut root, findings);
    let storage = read_storage(&mut root, mode, findings);
    let compile_cache = read_compile_cache(&mut root, storage.as_ref(), findings);
    let listeners = listener::read(&mut root, &limits, findings);
    if mode == Mode::Production && !root.has("listener") {
        root.missing("listener", findings);
    }
    // Built-in plugins need none; registering another says that it is missing.
    let plugin_directory = root.get("plugin_directory", value::path, findings);
    let api_addr = root.get("api_addr", value::url, findings);
    let log_level = root.get("log_level", value::word(LEVELS), findings);
    let log_format = root.get("log_format", value::word(FORMATS), findings);
    let log_file = root.get("log_file", value::path, findings);
    let disable_mlock = root.get("disable_mlock", value::switch, findings);
    let native = native::read(&mut root, findings);
    let plugins = plugins::read(&mut root, findings);
    let pid_file = root.get("pid_file", value::path, findings);
    root.finish(vault::TOP_LEVEL, findings);
    Some(ServerConfig {
        plugin_directory,
        storage: storage?,
        compile_cache,
        listeners,
        api_addr,
        log_level,
        log_format,
        log_file,
        disable_mlock,
        native,
        plugins,
        pid_file,
        limits,
    })
}

fn read_storage(root: &mut Stanza<'_>, mode: Mode, findings: &mut Findings) -> Option<StorageConfig> {
    if !root.has("storage") && mode == Mode::Dev {
        return Some(StorageConfig::Memory);
    }
    if !root.has("storage") {
        root.missing("storage", findings);
    }
    let (kind, mut stanza) = root.labelled_once("storage", findings)?;
    let storage = match kind.to_ascii_lowercase().as_str() {
        "file" => stanza.require("path", value::path, findings).map(StorageConfig::File),
        "inmem" => Some(StorageConfig::Memory),
        _ => {
            // Its settings mean nothing here, so they are not looked at.
            let message = format!("storage {kind:?} is not supported: the types are \"file\" and \"inmem\"");
            findings.problem(stanza.place(), message);
            return None;
        }
    };
    stanza.finish(&[], findings);
    storage
}

/// Reads where compiled plugins are kept: beside the database, unless the setting says where else or that they are not.
/// What authenticates them lies in the storage, so without a file there is no use in keeping them.
fn read_compile_cache(
    root: &mut Stanza<'_>,
    storage: Option<&StorageConfig>,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let choice = root.get("compile_cache", value::path_or_switch, findings);
    match (storage?, choice) {
        (_, Some(PathOrSwitch::Off)) => None,
        (StorageConfig::File(directory), None | Some(PathOrSwitch::On)) => {
            Some(directory.join(COMPILE_CACHE_DIRECTORY))
        }
        (StorageConfig::File(_), Some(PathOrSwitch::Path(directory))) => Some(directory),
        (StorageConfig::Memory, None) => None,
        (StorageConfig::Memory, Some(_)) => {
            let message = "\"compile_cache\" has no effect: it needs a key in the storage, and that is in memory";
            findings.warning(root.place_of("compile_cache"), message.to_owned());
            None
        }
    }
}
