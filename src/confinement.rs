//! What a confined native plugin may reach.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a confined native plugin may reach beside the system's own programs and libraries, the settings of name
/// resolution and TLS, and its own socket directory. The default is nothing more.
///
/// A path grants the file, or the directory with all that lies below it. It is looked up when the plugin starts, links
/// included, and has to exist then. The network and Unix sockets are not confined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Confinement {
    /// What it may read, and execute.
    pub read: Vec<PathBuf>,
    /// What it may read, change, create and remove.
    pub write: Vec<PathBuf>,
}
