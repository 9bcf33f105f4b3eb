//! The stanza `native_plugins`: what plugins that run as processes are given. How much they may take is among the
//! `limits`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::document::Value;
use super::problem::Findings;
use super::stanza::Stanza;
use super::value::{Read, path, word};

/// Longest socket directory, in bytes. A socket's whole path has at most 107 on Linux, of which a directory and a file
/// below this one need some 40.
const SOCKET_DIRECTORY_BYTES_MAX: usize = 64;

/// What plugins that run as processes are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NativeConfig {
    /// What they find in their environment beside what is registered with them.
    pub(crate) environment: PluginEnvironment,
    /// Where their sockets lie; `None` for the system's directory for temporary files.
    pub(crate) socket_directory: Option<PathBuf>,
}

/// What a plugin finds in its environment beside what is registered with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PluginEnvironment {
    /// The server's, but for its own secrets.
    #[default]
    Inherited,
    /// Nothing.
    Clean,
}

/// Reads the stanza, which may be left out.
pub(super) fn read(root: &mut Stanza<'_>, findings: &mut Findings) -> NativeConfig {
    const ENVIRONMENTS: &[(&str, PluginEnvironment)] =
        &[("inherit", PluginEnvironment::Inherited), ("clean", PluginEnvironment::Clean)];

    let mut native = NativeConfig::default();
    if let Some(mut stanza) = root.stanza("native_plugins", findings) {
        stanza.set("environment", word(ENVIRONMENTS), &mut native.environment, findings);
        native.socket_directory = stanza.get("socket_directory", socket_directory, findings);
        stanza.finish(&[], findings);
    }
    native
}

/// A directory that plugins find whatever their own working directory is, with a path that leaves room for a socket's.
fn socket_directory(value: &Value) -> Read<PathBuf> {
    let directory = path(value)?;
    if !directory.is_absolute() {
        return Err(format!("is {directory:?}, expected a path that starts with '/'"));
    }
    let length = directory.as_os_str().as_bytes().len();
    if length > SOCKET_DIRECTORY_BYTES_MAX {
        return Err(format!("has {length} bytes, at most {SOCKET_DIRECTORY_BYTES_MAX} leave room for a socket's path"));
    }
    Ok(directory)
}
