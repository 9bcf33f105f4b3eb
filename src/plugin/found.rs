//! What was found in a plugin when somebody looked at it.

use serde::{Deserialize, Serialize};

/// What a plugin's file turned out to be when it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How it runs: in the sandbox, as a process, or inside the host.
    pub runtime: RuntimeKind,
    /// What the plugin could use, in words: `storage`, `clocks`, `filesystem (no directory granted)` …
    pub capabilities: Vec<String>,
    /// The interfaces that the component imports, as it names them. Empty for other plugins.
    pub imports: Vec<String>,
}

/// What kind of file a plugin is, and so how it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RuntimeKind {
    /// A WASI component in the sandbox.
    Wasm,
    /// A native binary that speaks go-plugin.
    Native,
    /// No file at all: it is part of the host.
    Builtin,
}

impl RuntimeKind {
    /// Returns the word that listings show.
    pub fn as_str(self) -> &'static str {
        match self {
            RuntimeKind::Wasm => "wasm",
            RuntimeKind::Native => "native",
            RuntimeKind::Builtin => "builtin",
        }
    }
}
