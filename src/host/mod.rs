//! The façade: all that an embedder sees, and the only place where catalog, mounts, runtimes and routes are brought
//! together.
//!
//! A request finds its mount in the table; `answer` gives what comes back its meaning. A control operation runs
//! in a task of its own, to its end, even if whoever asked stops waiting: `plugins` for the catalog, `mounts` and
//! `tune` for the mount table. None of the parts that it conducts calls another.

mod access;
mod answer;
mod audit;
mod backend;
mod builder;
#[cfg(feature = "builtin")]
mod builtins;
mod checkup;
#[cfg(feature = "wasm")]
mod compile_cache;
mod declare;
mod error;
mod metrics;
mod mounts;
mod own_record;
mod pins;
mod places;
mod plugins;
mod programs;
mod reload;
mod reservations;
mod rollback;
mod settle;
#[cfg(test)]
mod stage;
mod start;
mod tune;
mod types;
#[cfg(feature = "process")]
mod wrapping;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::SetOnce;
use tokio_util::task::TaskTracker;

use self::access::RootTokenAccess;
use self::own_record::SystemRecord;
use self::programs::Programs;
use self::reservations::{PluginClaims, Reservations};
use crate::catalog::Catalog;
use crate::ident::MountPath;
use crate::limits::Limits;
use crate::mount::{Ending, GenerationSettings, MountTable};
use crate::request::{ClientToken, Identity, Request};
#[cfg(feature = "process")]
use crate::runtime::process::Wrapping;
use crate::storage::Storage;

pub use access::{Access, Asked};
pub use audit::Audit;
pub use backend::{Admission, SystemBackend};
pub use builder::HostBuilder;
pub use checkup::{StorageReport, check_storage, replace_root_token};
pub use declare::Declared;
pub use error::{Error, ErrorKind};
pub use metrics::{
    DURATION_BUCKETS, Distribution, Metrics, MountCounts, MountMetrics, MountsByState, Outcome, PluginCounts,
    PluginMetrics, Retired, StorageCounts,
};
pub use reload::ReloadedMount;
pub use types::{
    Answer, AnsweredBy, DeprecationStatus, EffectiveTtls, MountConfig, MountInfo, MountRequest, MountSettings,
    MountState, Pin, PluginInfo, Registration, TokenType, TtlChange, Tune, VersionChange,
};

/// A plugin host. Cheap to clone; all clones are the same host.
///
/// Made by [`Host::builder`]; lives until [`Host::shutdown`] or until the last clone is dropped.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Arc<dyn Storage>,
    catalog: Arc<Catalog>,
    mounts: MountTable,
    programs: Arc<Programs>,
    generations: GenerationSettings,
    reservations: Arc<Reservations>,
    plugin_claims: Arc<PluginClaims>,
    system: SystemRecord,
    /// Decides who may.
    access: Arc<dyn Access>,
    /// The root token, by which the access decides that a host has by itself.
    root_token: Arc<RootTokenAccess>,
    /// Is told of requests, if there is one.
    audit: Option<Arc<dyn Audit>>,
    /// What answers at the host's own paths, if anything does.
    backend: Option<Arc<dyn SystemBackend>>,
    limits: Arc<Limits>,
    stopping: AtomicBool,
    /// The control operations under way.
    operations: TaskTracker,
    /// What native plugins fetch with a token.
    #[cfg(feature = "process")]
    wrapping: Arc<Wrapping>,
    /// Set when every mount that was stored has been started, or could not be.
    started: SetOnce<()>,
}

impl Host {
    /// Begins to collect what a host needs.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Answers a request: finds its mount, asks the host's [`Access`] whether the caller may, tells its [`Audit`], and
    /// asks the plugin. The host's own paths, `sys/` and `auth/token/`, are answered in the same way, if the host was
    /// given a [`SystemBackend`].
    ///
    /// The path is whole, such as `my-secrets/a`. Unless the host was given another access, anonymous callers only
    /// reach the paths that a plugin declares to be open. Dropping the future gives the request up, but for what
    /// changes the host itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`] where the caller may not; what the plugin declined with, by its kind;
    /// [`ErrorKind::NotFound`] where nothing is mounted; [`ErrorKind::Busy`], [`ErrorKind::Unavailable`],
    /// [`ErrorKind::DeadlineExceeded`] and [`ErrorKind::PluginFault`] where it could not answer.
    pub async fn handle(&self, request: Request) -> Result<Answer, Error> {
        if self.inner.stopping.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the server is shutting down"));
        }
        self.inner.answer(self, request).await
    }

    /// Tells the plugin that answers at a path that a value in its storage was changed by somebody else, such as
    /// another host on the same storage: it forgets what it cached. The key is relative to the mount. Not an error
    /// where nothing is running.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where nothing is mounted; else as for [`Host::handle`].
    pub async fn invalidate(&self, mount: &MountPath, key: &str) -> Result<(), Error> {
        self.inner.invalidate(mount, key).await
    }

    /// Returns whom a token stands for; `None` if it stands for nobody.
    ///
    /// # Errors
    ///
    /// When it cannot be found out now. The access that a host has by itself always can.
    pub async fn identify(&self, token: &ClientToken) -> Result<Option<Arc<Identity>>, Error> {
        self.inner.access.identify(token).await
    }

    /// Makes a root token if there has never been one, and says whether it did. The token can be seen this once, since
    /// only its digest is kept: `show` is given it before anything is stored, and where that fails nothing is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`], and [`ErrorKind::Internal`] when the token could not be shown.
    pub async fn create_root_token(&self, show: impl FnOnce(&str) -> io::Result<()>) -> Result<bool, Error> {
        if self.inner.root_token.has_token() {
            return Ok(false);
        }
        let digest = checkup::make_root_token(&*self.inner.storage, &self.inner.system, show).await?;
        self.inner.root_token.accept(digest);
        Ok(true)
    }

    /// Returns what the host grants.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Returns when every mount that was stored has been started, or could not be.
    pub async fn started(&self) {
        self.inner.started.wait().await;
    }

    /// Refuses requests from now on, waits for control operations and for requests in flight, each as long as
    /// [`Limits::drain_deadline`] allows, and tells every plugin. What is stored stays; a new host can serve it.
    pub async fn shutdown(&self) {
        self.inner.stopping.store(true, Ordering::SeqCst);
        let limits = &self.inner.limits;
        // Operations go first: what they mount is closed with the rest.
        self.inner.operations.close();
        drop(tokio::time::timeout(limits.drain_deadline, self.inner.operations.wait()).await);
        self.inner.programs.stop_starting();
        let mounts = self.inner.mounts.routes.all();
        let closing = mounts.iter().map(|mount| async move {
            // What is still starting would go on after everybody has left.
            drop(tokio::time::timeout(limits.drain_deadline, mount.now().generation.end_start()).await);
            mount.close(Ending::Shutdown, limits.drain_deadline, limits.lifecycle_deadline).await;
        });
        futures_util::future::join_all(closing).await;
        self.inner.programs.ended().await;
    }

    /// Runs a control operation to its end, whether or not the caller goes on waiting.
    async fn conduct<T, F>(&self, operation: impl FnOnce(Arc<Inner>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        if self.inner.stopping.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the server is shutting down"));
        }
        let task = self.inner.operations.spawn(operation(Arc::clone(&self.inner)));
        task.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the operation failed; the log says more")))
    }
}
