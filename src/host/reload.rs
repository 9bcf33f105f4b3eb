//! Starting mounts again: with the version that their record asks for, or with other instances of the version that
//! runs.
//!
//! What starts is started beside what runs. Where it cannot, what runs goes on, and whoever asked is told why.

use std::sync::Arc;

use futures_util::StreamExt;

use super::programs::{VersionAtLaunch, label};
use super::{Error, ErrorKind, Host, Inner};
use crate::ident::{MountPath, PluginKind, PluginName, PluginVersion};
use crate::limits::Limits;
use crate::mount::{Attempt, Generation, Mount, MountRecord, StartError};
use crate::plugin::RuntimeKind;
use crate::runtime::{Call, MountScope};

/// Mounts that are reloaded at a time. Each starts an instance, whose code may wait.
const RELOADS_MAX: usize = 8;

/// How the reload of one mount went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadedMount {
    /// Where it is.
    pub path: MountPath,
    /// Why it goes on with what it had, if it does.
    pub failure: Option<String>,
}

/// What was started beside what answers for a mount, and answers nothing yet.
pub(super) struct Beside {
    next: Arc<Generation>,
    scope: MountScope,
}

impl Beside {
    /// Lets it answer from now on, for the mount with this record.
    pub(super) fn switch(self, mount: &Arc<Mount>, record: MountRecord, limits: &Limits) {
        mount.switch(self.next, record, self.scope, limits.drain_deadline, limits.lifecycle_deadline);
    }

    /// Lets it go: it will not be needed.
    pub(super) async fn let_go(self, limits: &Limits) {
        let Some(Ok(running)) = self.next.outcome() else { return };
        let call = Call::lifecycle(&Arc::new(self.scope), limits.lifecycle_deadline);
        running.pool.discard(call).await;
    }
}

impl Host {
    /// Starts every mount of a plugin again, in the version that the mount asks for; `kind` `None` means of either
    /// type. A native plugin gets a new process.
    ///
    /// No request is lost: what is new is started first, requests go to it from one instant on, and those in flight end
    /// where they began, within [`Limits::drain_deadline`](crate::limits::Limits::drain_deadline). Returns once every
    /// mount has switched or failed to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] for a plugin that is neither mounted nor in the catalog,
    /// [`ErrorKind::Unavailable`] when the host shuts down. A mount that could not be reloaded is no error: it goes on,
    /// and the answer says why. Nor is a plugin of the catalog that no mount runs: the answer is empty.
    pub async fn reload_plugin(
        &self,
        kind: Option<PluginKind>,
        name: &PluginName,
    ) -> Result<Vec<ReloadedMount>, Error> {
        let name = name.clone();
        self.conduct(move |inner| async move {
            let mounts = inner.mounts.routes.all().into_iter().filter(|mount| {
                let settings = &mount.record().settings;
                settings.plugin == name && kind.is_none_or(|kind| settings.kind == kind)
            });
            let mounts: Vec<_> = mounts.collect();
            if mounts.is_empty() && !inner.catalog.knows(kind, &name) {
                let text = format!("plugin not found in the catalog: {name}");
                return Err(Error::new(ErrorKind::InvalidRequest, text));
            }
            inner.renew_processes(&mounts);
            Ok(inner.reload_all(mounts).await)
        })
        .await
    }

    /// Starts these mounts again, each in the version that it asks for, as [`Host::reload_plugin`] does. Mounts that
    /// share the process of a native plugin go on sharing it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] when there is no mount at one of the paths; then none was reloaded.
    pub async fn reload_mounts(&self, paths: &[MountPath]) -> Result<Vec<ReloadedMount>, Error> {
        let paths = paths.to_vec();
        self.conduct(move |inner| async move {
            let mut mounts = Vec::with_capacity(paths.len());
            for path in &paths {
                let mount = inner.mounts.routes.get(path).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidRequest, format!("no mount at {path}: nothing was reloaded"))
                })?;
                mounts.push(mount);
            }
            Ok(inner.reload_all(mounts).await)
        })
        .await
    }
}

impl Inner {
    async fn reload_all(&self, mounts: Vec<Arc<Mount>>) -> Vec<ReloadedMount> {
        let reloads = mounts.into_iter().map(|mount| async move {
            let path = mount.record().path.clone();
            let reloaded = match self.reservations.reserve(&path) {
                // It may have been disabled meanwhile, and what it stored wiped.
                Ok(_reserved) if self.mounts.routes.get(&path).is_none_or(|now| !Arc::ptr_eq(&now, &mount)) => {
                    Err("it has been disabled or moved meanwhile".to_owned())
                }
                Ok(_reserved) => self.reload_mount(&mount).await.map_err(|error| error.to_string()),
                Err(other) => Err(format!("another change of {other} is under way; try again when it is done")),
            };
            if let Err(reason) = &reloaded {
                tracing::error!(plugin = %mount.record().settings.plugin, mount = %path, "the mount was not reloaded: {reason}");
            }
            ReloadedMount { path, failure: reloaded.err() }
        });
        let mut reloaded: Vec<_> = futures_util::stream::iter(reloads).buffer_unordered(RELOADS_MAX).collect().await;
        reloaded.sort_by(|one, other| one.path.as_str().cmp(other.path.as_str()));
        reloaded
    }

    /// Starts a mount again beside what runs, and lets that answer from then on. The caller has reserved its path.
    async fn reload_mount(&self, mount: &Arc<Mount>) -> Result<(), StartError> {
        let record = MountRecord::clone(&mount.record());
        let version = self.version_at_start(&record);
        let beside = self.start_beside(mount, &record, version).await?;
        beside.switch(mount, record, &self.limits);
        Ok(())
    }

    /// Starts a mount with a record that may not be its own yet, in this version of its plugin, beside what answers.
    /// The caller has reserved its path.
    pub(super) async fn start_beside(
        &self,
        mount: &Mount,
        record: &MountRecord,
        version: Option<PluginVersion>,
    ) -> Result<Beside, StartError> {
        let scope = MountScope {
            plugin: label(&record.settings.plugin, version.as_ref()),
            ..self.changed_scope(&mount.now().scope, record)
        };
        let next = self.generation_of(record, Attempt::Anew, VersionAtLaunch::Exactly(version));
        match next.start(&Arc::new(scope.clone())).await {
            Ok(_) => Ok(Beside { next, scope }),
            Err(error) => Err(error.clone()),
        }
    }

    /// Sees to it that what is started next of these mounts' native plugins is a process of its own.
    fn renew_processes(&self, mounts: &[Arc<Mount>]) {
        for mount in mounts {
            let record = mount.record();
            let plugin = self.catalog.get(&record.settings.key_of(self.version_at_start(&record)));
            if let Some(plugin) = plugin.filter(|plugin| plugin.found.runtime == RuntimeKind::Native) {
                self.programs.renew(&plugin);
            }
        }
    }
}
