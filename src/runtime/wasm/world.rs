//! The two worlds of the contract, and which of them a component is of.

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

use super::capabilities;
use crate::runtime::LoadError;

/// The export that makes a component a plugin of the plain world.
const BACKEND_EXPORT: &str = "cofferdam:plugin/backend@0.1.0";

/// The export that makes it one of the async world.
const BACKEND_ASYNC_EXPORT: &str = "cofferdam:plugin/backend-async@0.1.0";

/// Which of the two worlds a component is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum World {
    /// Its instances serve one call at a time.
    Plain,
    /// Its instances serve many.
    Async,
}

impl World {
    /// Tells by its exports which world a component is of, before an engine has to be chosen. What is no component, or
    /// no plugin, is left to the plain world's engine to refuse.
    pub(super) fn of(component: &[u8]) -> Result<Self, LoadError> {
        Self::of_exports(&exports(component).unwrap_or_default())
    }

    /// Tells the same by the names of the exports.
    pub(super) fn of_exports(exports: &[String]) -> Result<Self, LoadError> {
        let has = |name: &str| exports.iter().any(|export| export == name);
        match (has(BACKEND_EXPORT), has(BACKEND_ASYNC_EXPORT)) {
            (true, true) => Err(LoadError::Unfit(format!(
                "the component exports both {BACKEND_EXPORT} and {BACKEND_ASYNC_EXPORT}, and a plugin is of one world: build it \
                 against cofferdam:plugin/plugin or cofferdam:plugin/plugin-async"
            ))),
            (false, true) => Ok(Self::Async),
            (_, false) => Ok(Self::Plain),
        }
    }

    /// Checks that a component with these exports is a plugin of this world.
    pub(super) fn check_exports(self, exports: &[String]) -> Result<(), LoadError> {
        let wanted = match self {
            World::Plain => BACKEND_EXPORT,
            World::Async => BACKEND_ASYNC_EXPORT,
        };
        if exports.iter().any(|name| name == wanted) {
            return Ok(());
        }
        let found = if exports.is_empty() { "nothing".to_owned() } else { capabilities::shown(exports) };
        Err(LoadError::Unfit(format!(
            "the component is not a plugin: it exports {found}, and a plugin exports {BACKEND_EXPORT} or \
             {BACKEND_ASYNC_EXPORT}. Build it against the world cofferdam:plugin/plugin or plugin-async, for example with the \
             cofferdam-sdk crate"
        )))
    }
}

/// Returns the names that a component exports itself, and not what is nested in it; `None` if it is malformed up to
/// there.
fn exports(bytes: &[u8]) -> Option<Vec<String>> {
    let mut depth = 0_u32;
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::Version { encoding: Encoding::Component, .. } | Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.checked_sub(1)?,
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.ok()?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Some(exports)
}
