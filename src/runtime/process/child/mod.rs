//! A native plugin's process: how it is made, confined, watched and ended.
//!
//! * [`Executable`] — the checked bytes, sealed in memory. They are what is executed, never a path.
//! * [`Spawner`] — the one thread that forks. The kernel ties a child to the *thread* that made it.
//! * [`Child`] — a running process and its group. One task owns it, reaps it, and publishes how it ended.
//!
//! A child is the leader of a process group of its own. The group ends with its leader, with the [`Child`], and with
//! the host.

mod confine;
mod executable;
mod exit;
mod leader;
#[cfg(feature = "cli")]
mod orphans;
mod own;
mod setup;
mod spawner;
mod syscalls;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::confinement::Confinement;

#[cfg(feature = "cli")]
pub(crate) use confine::confinement_support;
pub(crate) use executable::Executable;
pub(crate) use exit::Exit;
pub(crate) use leader::Child;
#[cfg(feature = "cli")]
pub(crate) use orphans::{adopt_orphans, kill_orphans};
#[cfg(feature = "cli")]
pub(crate) use setup::close_inherited;
pub(crate) use spawner::Spawner;

/// How a process is started. Not `Debug`: arguments and environment may hold secrets.
pub(crate) struct ChildSettings {
    /// After `argv[0]`, which is the executable's name.
    pub(crate) args: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// For each process of the plugin.
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) open_files_max: Option<u64>,
    pub(crate) cpu_seconds_max: Option<u64>,
    /// For all of the host's user, and for the confined alone: others could leave the group, and with it the plugin.
    pub(crate) tasks_max: u64,
    /// `None` leaves it what the host's user may.
    pub(crate) confinement: Option<Confinement>,
    /// Where the plugin's sockets are made. It can be written to, confined or not, and exists.
    pub(crate) socket_directory: PathBuf,
}

/// Why a process did not start.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SpawnError {
    /// It cannot start on this machine, or with these settings; trying again changes nothing.
    #[error("{0}")]
    Unfit(String),
    /// The machine is short of something, or something failed that may work the next time.
    #[error("{0}")]
    System(String),
}

impl SpawnError {
    fn of_system(what: &str, error: io::Error) -> Self {
        Self::System(format!("cannot {what}: {error}"))
    }
}
