//! What is started when a plugin is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::confinement::Confinement;
use crate::ident::{Command, Digest};

/// All that decides what runs when a plugin is started: equal ones run the same. Its `Debug` leaves out the arguments
/// and the environment, which may hold secrets.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Launchable {
    /// Where its code comes from.
    #[serde(flatten)]
    pub source: Source,
    /// Arguments for the plugin.
    pub args: Vec<String>,
    /// `KEY=value` pairs: all the environment that a sandboxed plugin sees.
    pub env: Vec<String>,
    /// Confines a native plugin; `None` leaves it what the server's user may do. Components are always in a sandbox.
    /// Absent in records from before native plugins ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Confinement>,
}

impl Launchable {
    /// Returns what a source runs with no arguments, no environment and no confinement.
    pub fn new(source: Source) -> Self {
        Self { source, args: Vec::new(), env: Vec::new(), confinement: None }
    }
}

impl fmt::Debug for Launchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launchable")
            .field("source", &self.source)
            .field("confinement", &self.confinement)
            .finish_non_exhaustive()
    }
}

/// Where a plugin's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Source {
    /// A file in the plugin directory.
    File {
        /// Its name there.
        command: Command,
        /// The digest that it must have.
        sha256: Digest,
    },
    /// The host itself. Nobody registers that, and it is never stored.
    #[serde(skip)]
    Builtin,
}

impl Source {
    /// Returns the name of the file, if it is one.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Source::File { command, .. } => Some(command),
            Source::Builtin => None,
        }
    }

    /// Returns the digest of the code, if it is a file's.
    pub fn sha256(&self) -> Option<Digest> {
        match self {
            Source::File { sha256, .. } => Some(*sha256),
            Source::Builtin => None,
        }
    }
}
