//! A mount in memory, for a plugin's own tests under plain `cargo test`.
//!
//! It keeps the host's rules: `setup` cannot write, keys are checked, a write is a create or an update as the plugin's
//! `exists` says, and transactions conflict. What it does not have is the sandbox: no deadline, no memory limit, no
//! capability is missing here that would be missing there.

#[cfg(feature = "async")]
mod concurrent;
mod memory;
mod mount;
mod rules;
mod world;

#[cfg(feature = "async")]
pub use concurrent::AsyncTestMount;
pub use mount::TestMount;
pub use mount::TestMountBuilder;
pub use world::LogLine;
