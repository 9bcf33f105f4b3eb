#![doc = include_str!("README.md")]
// What only a part that was left out would use or show is not dead: with all of them the compiler looks at every item.
#![cfg_attr(
    not(all(feature = "wasm", feature = "process", feature = "builtin", feature = "http", feature = "cli")),
    allow(dead_code, unreachable_pub, unused_imports)
)]

mod artifact;
mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
mod complaints;
mod confinement;
mod host;
#[cfg(feature = "http")]
pub mod http;
pub mod ident;
mod json;
mod limits;
mod meter;
mod mount;
mod plugin;
mod pool;
pub mod request;
mod runtime;
pub mod storage;
pub mod system;

pub use artifact::PluginDirectory;
pub use confinement::Confinement;
pub use host::{Access, Admission, Answer, AnsweredBy, Asked, Audit, SystemBackend};
pub use host::{
    DURATION_BUCKETS, Distribution, Metrics, MountCounts, MountMetrics, MountsByState, Outcome, PluginCounts,
    PluginMetrics, Retired, StorageCounts,
};
pub use host::{
    Declared, DeprecationStatus, EffectiveTtls, Error, ErrorKind, Host, HostBuilder, MountConfig, MountInfo,
    MountRequest, MountSettings, MountState, Pin, PluginInfo, Registration, ReloadedMount, TokenType, TtlChange, Tune,
    VersionChange,
};
pub use host::{StorageReport, check_storage, replace_root_token};
pub use limits::Limits;
pub use plugin::{Found, InstanceLimits, InstancePolicy, Launchable, PluginKey, RuntimeKind, Source};
#[cfg(feature = "process")]
pub use runtime::process::NativePlugins;
#[cfg(feature = "wasm")]
pub use runtime::wasm::Compiler;
