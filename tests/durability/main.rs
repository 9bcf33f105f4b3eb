//! What storage promises: the contract on every implementation, and what is left after a kill, damage or a full disk.

mod contract;
mod crash;
mod damage;
#[cfg(feature = "builtin")]
mod doubt;
#[cfg(feature = "builtin")]
mod fixtures;
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(all(feature = "wasm", unix))]
mod fuse;
#[cfg(all(feature = "wasm", unix))]
#[path = "../support/guests.rs"]
mod guests;
mod role;
#[cfg(all(feature = "wasm", unix))]
mod steps;
