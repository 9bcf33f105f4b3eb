//! HOW IT RUNS: programs and instances, whatever they run on.
//!
//! * [`Program`] — a verified artifact, ready to make instances: a compiled and linked component, or a running process
//!   that speaks go-plugin. Costly; one for all mounts of the same program identity.
//! * [`Instance`] — what answers requests: a sandbox, or one backend inside a process. Cheap.
//! * [`Call`] — what an instance is lent for one call: the mount it is for, that mount's storage, who asks, until when.
//!   An instance keeps none of it.
//!
//! A call ends in one of five ways, which are never mixed: it answers, the plugin declines ([`Failure::Backend`]), it
//! traps, it runs out of time, or the host itself fails; where an instance serves many calls at once, one may also be
//! lost with the instance that another crashed ([`Failure::Lost`]). [`Instance::is_alive`] says whether it can be
//! called again: a sandbox that serves one call at a time cannot, after the last three; one that serves many can after
//! a deadline, if its plugin ends the call in time; a native plugin's backend can, as long as its process lives.

#[cfg(feature = "builtin")]
pub(crate) mod builtin;
mod description;
#[cfg(test)]
pub(crate) mod double;
mod grants;
#[cfg(feature = "process")]
pub(crate) mod process;
mod scope;
mod text;
#[cfg(feature = "wasm")]
pub(crate) mod wasm;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_contract::GoDuration;
use tokio::time::Instant;

use crate::ident::{PluginKind, PluginName, PluginVersion};
use crate::meter::{PluginMeter, Retired};
use crate::plugin::Launchable;
use crate::request::{BackendError, Caller, Headers, Request, Response};
use crate::storage::StorageView;

pub(crate) use description::{Description, PathRules, Spread};
pub(crate) use grants::Grants;
#[cfg(feature = "process")]
pub(crate) use scope::LogPermit;
pub(crate) use scope::{LogBudget, MountKey, MountScope};

/// What a registration says about starting a plugin.
#[derive(Clone)]
pub(crate) struct Launch {
    /// For log lines: the plugin's name and version.
    pub(crate) label: Arc<str>,
    pub(crate) name: PluginName,
    /// As it was asked for; `None` before the plugin was registered, if it was left to the plugin.
    pub(crate) kind: Option<PluginKind>,
    pub(crate) version: Option<PluginVersion>,
    pub(crate) launchable: Launchable,
    /// What the program's instances count on. A program of its own gets one of its own; the host knows whose it is.
    pub(crate) meter: Arc<PluginMeter>,
}

/// A verified artifact that can make instances.
#[async_trait]
pub(crate) trait Program: Send + Sync {
    /// What the plugin says of itself. It was asked when the program was loaded.
    fn description(&self) -> &Description;

    /// What the plugin could use, in words.
    fn capabilities(&self) -> &[String];

    /// The interfaces that the artifact imports, as it names them; empty where there is no such thing.
    fn imports(&self) -> &[String];

    /// What its instances count on.
    fn meter(&self) -> &Arc<PluginMeter>;

    /// How many calls one instance serves at a time.
    fn concurrency(&self) -> NonZeroU32;

    /// Whether its instances may go while nobody calls them.
    fn residence(&self) -> Residence {
        Residence::Evictable
    }

    /// What its registration grants its instances. Nothing, if an instance is no sandbox of its own: a process was
    /// granted what it has when it was started.
    fn grants(&self) -> Arc<Grants> {
        Arc::default()
    }

    /// Makes an instance that is granted this, and that is not set up for any mount yet.
    async fn instantiate(&self, grants: &Grants) -> Result<Arc<dyn Instance>, Failure>;
}

/// How long instances stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residence {
    /// An instance's memory is a cache: it goes when it is idle and another needs its place, and its mount does not
    /// notice.
    Evictable,
    /// An instance works in the background too, so it lives as long as its mount. One that takes the place of a crashed
    /// one is initialized like the first. It takes no place in the host's budget of sandboxes.
    Resident,
}

/// What answers requests.
///
/// Before its first other call for a mount an instance gets `setup` for it, once. The caller keeps to
/// [`Program::concurrency`].
///
/// Dropping the future of a call gives the call up. An instance of which [`Program::concurrency`] is one is dead then,
/// as it is after the call's deadline. One that serves many calls at once goes on: the plugin is told to end the call,
/// and only if it does not within [`cancel_grace`](crate::limits::Limits::cancel_grace) is the instance dead to new
/// calls, and gone when those in flight have ended; at once, if it computes without end.
#[async_trait]
pub(crate) trait Instance: Send + Sync {
    /// Whether it can be called. Once `false`, always `false`.
    fn is_alive(&self) -> bool;

    /// The paths that need no token, where each instance says so by itself once it is set up; `None` where the program
    /// does.
    fn unauthenticated(&self) -> Option<&PathRules> {
        None
    }

    /// Prepares for a mount. The call's storage is read-only.
    async fn setup(&self, call: Call) -> Result<(), Failure>;

    /// Lets the plugin work for this mount beside its requests, until `cleanup` or until the instance goes. Call it
    /// once for each mount, after `setup` succeeded, and only if the instance will be kept. The call's deadline does
    /// not count. An instance that cannot do so ignores it.
    fn work_in_background(&self, _call: Call) {}

    /// Starts the mount: once each time the mount starts, in one of its instances.
    async fn initialize(&self, call: Call) -> Result<(), Failure>;

    /// Answers a request. Its path is the part below the mount.
    async fn handle(&self, call: Call, request: Request) -> Result<Response, Failure>;

    /// Tells whether the path of a write exists; `None` where the plugin does not tell create from update.
    async fn exists(&self, call: Call, request: &Request) -> Result<Option<bool>, Failure>;

    /// Tells that a stored value was changed by somebody else.
    async fn invalidate(&self, call: Call, key: &str) -> Result<(), Failure>;

    /// Ends what `setup` began, for this mount.
    async fn cleanup(&self, call: Call) -> Result<(), Failure>;
}

/// What an instance is lent for one call.
#[derive(Clone)]
pub(crate) struct Call {
    /// The mount that the call is for.
    pub(crate) scope: Arc<MountScope>,
    /// That mount's storage, in the mode that this call allows.
    pub(crate) storage: StorageView,
    pub(crate) caller: Caller,
    pub(crate) remote_address: Option<SocketAddr>,
    /// All request headers; the scope says which may be seen.
    pub(crate) headers: Option<Arc<dyn Headers>>,
    /// When the call is given up.
    pub(crate) deadline: Instant,
    /// How long it was given in all, for messages.
    pub(crate) limit: Duration,
}

impl Call {
    /// Returns a call that no request caused, with storage that can be written.
    pub(crate) fn lifecycle(scope: &Arc<MountScope>, limit: Duration) -> Self {
        Self {
            scope: Arc::clone(scope),
            storage: scope.storage.clone(),
            caller: Caller::Anonymous,
            remote_address: None,
            headers: None,
            deadline: Instant::now() + limit,
            limit,
        }
    }

    /// Returns the same call with storage that can only be read.
    pub(crate) fn read_only(mut self) -> Self {
        self.storage = self.storage.read_only();
        self
    }
}

/// Why a call did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// The plugin declined, in its own words. The instance lives on.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The instance crashed, ran into a limit, or answered what no plugin may answer.
    #[error("{0}")]
    Trap(String),
    /// It answered what no plugin may answer, or more than is taken. The instance lives on.
    #[error("{0}")]
    Unusable(String),
    /// The call took longer than it may. A sandbox that serves one call at a time is dead; any other call is cancelled,
    /// and its instance lives on.
    #[error("it did not answer within {}", GoDuration::from_std(*.0))]
    Deadline(Duration),
    /// It ended with an instance that another call crashed or blocked; says how. Nothing says how far it got, and it
    /// may be tried again.
    #[error("{0}")]
    Lost(String),
    /// All instances that may live are busy, and stayed so until the deadline.
    #[error("{0}")]
    Busy(String),
    /// What was sent does not fit into the instance, and never will. It was not called.
    #[error("{0}")]
    TooLarge(String),
    /// It crashes again and again, and is left alone for a while.
    #[error("{0}")]
    Failing(String),
    /// The host failed.
    #[error("{0}")]
    Host(String),
}

impl Failure {
    /// Returns why an instance went that is dead after this failure.
    pub(crate) fn retires_as(&self) -> Retired {
        match self {
            Failure::Deadline(_) => Retired::Deadline,
            Failure::Trap(_)
            | Failure::Lost(_)
            | Failure::Unusable(_)
            | Failure::Backend(_)
            | Failure::Busy(_)
            | Failure::TooLarge(_)
            | Failure::Failing(_)
            | Failure::Host(_) => Retired::Crashed,
        }
    }
}

/// Why an artifact did not become a program.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LoadError {
    /// The artifact is not a plugin that this host can run. Says what was found, what was expected, and what to do.
    #[error("{0}")]
    Unfit(String),
    /// The plugin's file cannot be used: it is missing, its digest is another, or there is no plugin directory.
    #[error("{0}")]
    File(String),
    /// It could not be loaded in time.
    #[error("the plugin did not load within {}", GoDuration::from_std(*.0))]
    Deadline(Duration),
    /// The host failed.
    #[error("{0}")]
    Host(String),
}
