//! What a plugin is by: its key, what is launched, what was found in it, how its instances are kept.
//!
//! Each of these is written once, and used as it is by a registration, a catalog entry, a listing and a program.

mod found;
mod instances;
mod key;
mod launchable;

pub use found::{Found, RuntimeKind};
pub use instances::{InstanceLimits, InstancePolicy};
pub use key::PluginKey;
pub use launchable::{Launchable, Source};
