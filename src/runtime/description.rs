//! What a plugin says of itself, checked: here, whatever it runs on, since what is kept of it is kept for as long as
//! the host lives.

pub(crate) use cofferdam_contract::PathRules;

use crate::ident::{PluginKind, PluginVersion};

/// A plugin's help, in bytes: a paragraph for a person.
#[cfg(any(feature = "wasm", feature = "builtin"))]
const HELP_BYTES_MAX: usize = 64 << 10;

/// A plugin's OpenAPI document, in bytes. That of Vault's largest plugin has a fifth of it.
#[cfg(any(feature = "wasm", feature = "builtin"))]
const OPENAPI_BYTES_MAX: usize = 4 << 20;

/// Whether one mount's requests may be spread over several instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// One instance at a time answers for a mount.
    One,
    /// Several may.
    Many,
}

/// A plugin's description of itself.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) kind: PluginKind,
    pub(crate) spread: Spread,
    /// Whether it tells a write that creates from one that changes, and so is asked before each.
    pub(crate) tells_create: bool,
    /// `None` when the plugin reports none.
    pub(crate) version: Option<PluginVersion>,
    /// Paths that need no token.
    pub(crate) unauthenticated: PathRules,
}

impl Description {
    /// Checks the length of what a plugin says for people and for generators of clients.
    #[cfg(any(feature = "wasm", feature = "builtin"))]
    pub(crate) fn check_words(help: &str, openapi: &[u8]) -> Result<(), String> {
        for (what, bytes, max) in
            [("help", help.len(), HELP_BYTES_MAX), ("OpenAPI document", openapi.len(), OPENAPI_BYTES_MAX)]
        {
            if bytes > max {
                return Err(format!("its {what} has {bytes} bytes, and may have {max}"));
            }
        }
        Ok(())
    }
}
