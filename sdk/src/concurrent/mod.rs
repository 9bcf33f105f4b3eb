//! Plugins whose instances serve many requests at once: the same words as for other plugins, with `async` where
//! something waits.

mod context;
mod mounts;
mod plugin;
mod storage;

pub use context::AsyncContext;
pub use mounts::AsyncMounts;
pub use plugin::AsyncPlugin;
pub use storage::{AsyncStorage, AsyncTransaction};
