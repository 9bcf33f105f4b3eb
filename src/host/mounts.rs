//! The mount table's operations: enable, list, tune, move, disable.

use std::sync::Arc;

use super::programs::{Attempt, MountLauncher, label};
use super::reservations::Reservation;
use super::system::SYSTEM_TYPE;
use super::types::{EffectiveTtls, MountInfo, MountRequest, TtlChange, Tune};
use super::{Error, ErrorKind, Host, Inner};
use crate::catalog::PluginRecord;
use crate::ident::{Accessor, MountPath, MountUuid, PluginKind, PluginName, PluginVersion, RequestPath};
use crate::mount::{Generation, Mount, MountConfig, MountRecord, MountState};
use crate::router::RouteChange;
use crate::runtime::{LogBudget, MountScope};
use crate::storage::{StorageView, ViewLimits};

/// Paths that belong to the host itself: nothing can be mounted at or below them, moved there or away, or disabled.
const PROTECTED: [&str; 5] = ["audit/", "auth/", "sys/", "cubbyhole/", "identity/"];

/// What a mount's storage lies below, in Vault's layout.
const STORAGE_PREFIX: &str = "logical/";

impl Host {
    /// Mounts a plugin, and returns once it answers. The mount survives a restart from here on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the path is taken, or is above or below one that is; [`ErrorKind::InvalidRequest`] when the
    /// plugin is not in the catalog or does not start, with the reason. Nothing is left behind.
    pub async fn enable(&self, request: MountRequest) -> Result<MountInfo, Error> {
        self.conduct(|inner| async move { inner.enable(request).await }).await
    }

    /// Returns all mounts, the host's own `sys/` among them, sorted by path.
    pub fn mounts(&self) -> Vec<MountInfo> {
        let inner = &self.inner;
        let mut mounts: Vec<_> = inner.mounts.all().iter().map(|mount| info(mount)).collect();
        let system = inner.system_info();
        let at = mounts.partition_point(|mount| mount.path < system.path);
        mounts.insert(at, system);
        mounts
    }

    /// Returns the mount at exactly this path.
    pub fn mount(&self, path: &MountPath) -> Option<MountInfo> {
        let system = self.inner.system_info();
        if *path == system.path {
            return Some(system);
        }
        self.inner.mounts.get(path).map(|mount| info(&mount))
    }

    /// Returns the mount that would answer a request for this path.
    pub fn mount_of(&self, path: &RequestPath) -> Option<MountInfo> {
        self.inner.router.find(path).map(|route| info(&route.mount))
    }

    /// Changes a mount's settings. They hold for the next request; a new plugin version holds from the next start on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], or [`ErrorKind::InvalidRequest`] for settings that contradict each other or a version that is
    /// not in the catalog.
    pub async fn tune(&self, path: &MountPath, tune: Tune) -> Result<(), Error> {
        let path = path.clone();
        self.conduct(|inner| async move { inner.tune(&path, tune).await }).await
    }

    /// Returns the lease TTLs that hold with these settings.
    pub fn effective_ttls(&self, config: &MountConfig) -> EffectiveTtls {
        self.inner.effective_ttls(config)
    }

    /// Moves a mount. Its storage stays where it is; requests in flight end where they began.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Conflict`].
    pub async fn remount(&self, from: &MountPath, to: &MountPath) -> Result<(), Error> {
        let (from, to) = (from.clone(), to.clone());
        self.conduct(|inner| async move { inner.remount(&from, &to).await }).await
    }

    /// Takes a mount away and wipes what it stored. Not an error when there is none.
    ///
    /// Requests in flight get [`Limits::drain_deadline`](crate::limits::Limits::drain_deadline) to end. A crash leaves the mount
    /// as it was or gone; what is left to wipe is wiped at the next start.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] for the host's own paths, [`ErrorKind::Storage`] when it could not be stored; then the
    /// mount goes on.
    pub async fn disable(&self, path: &MountPath) -> Result<(), Error> {
        let path = path.clone();
        self.conduct(|inner| async move { inner.disable(&path).await }).await
    }
}

impl Inner {
    async fn enable(&self, request: MountRequest) -> Result<MountInfo, Error> {
        if request.kind == PluginKind::Auth {
            let text = "this version mounts secrets engines only; auth methods cannot be enabled yet";
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        check_not_protected(&request.path, ErrorKind::Denied, "mount")?;
        self.check_ttls(&request.config)?;
        let _reserved = self.reserve(&request.path)?;
        self.check_free(&request.path, None)?;
        let plugin = self.select(request.kind, &request.plugin, request.version.as_ref())?;
        let record = new_record(request, &plugin);
        let (uuid, path) = (record.uuid, record.path.clone());

        self.mounts.store_intent(uuid).await?;
        let mount = self.mount_of_record(record, Attempt::Anew);
        if let Err(reason) = mount.start().await {
            self.wipe_later(uuid).await;
            return Err(Error::new(ErrorKind::InvalidRequest, format!("cannot enable {path}: {reason}")));
        }
        if let Err(error) = self.mounts.store_new(&mount.record()).await {
            self.wipe_later(uuid).await;
            return Err(error.into());
        }
        self.mounts.publish(Arc::clone(&mount));
        self.router.publish(&[RouteChange::Add(path, Arc::clone(&mount))]);
        Ok(info(&mount))
    }

    async fn tune(&self, path: &MountPath, tune: Tune) -> Result<(), Error> {
        check_not_protected(path, ErrorKind::InvalidRequest, "tune")?;
        let _reserved = self.reserve(path)?;
        let mount = self.existing(path)?;
        let mut record = MountRecord::clone(&mount.record());
        if let Some(version) = &tune.plugin_version {
            self.select(record.kind, &record.plugin, Some(version))?;
        }
        apply(tune, &mut record);
        self.check_ttls(&record.config)?;
        self.mounts.store_changed(&record).await?;
        let scope = self.scope(&record, Some(&mount));
        mount.update(record, scope);
        Ok(())
    }

    async fn remount(&self, from: &MountPath, to: &MountPath) -> Result<(), Error> {
        check_not_protected(from, ErrorKind::InvalidRequest, "remount")?;
        check_not_protected(to, ErrorKind::InvalidRequest, "remount to")?;
        let _source = self.reserve(from)?;
        // Moving a mount below itself reserves one path with the other's reservation.
        let _target = if to.as_str().starts_with(from.as_str()) || from.as_str().starts_with(to.as_str()) {
            None
        } else {
            Some(self.reserve(to)?)
        };
        let mount = self.existing(from)?;
        self.check_free(to, Some(from))?;
        let record = MountRecord { path: to.clone(), ..MountRecord::clone(&mount.record()) };
        self.mounts.store_changed(&record).await?;
        let scope = self.scope(&record, Some(&mount));
        mount.update(record, scope);
        self.mounts.withdraw(from);
        self.mounts.publish(Arc::clone(&mount));
        self.router.publish(&[RouteChange::Remove(from.clone()), RouteChange::Add(to.clone(), mount)]);
        Ok(())
    }

    async fn disable(&self, path: &MountPath) -> Result<(), Error> {
        check_not_protected(path, ErrorKind::InvalidRequest, "unmount")?;
        let _reserved = self.reserve(path)?;
        let Some(mount) = self.mounts.get(path) else { return Ok(()) };
        mount.close(self.limits.drain_deadline, self.limits.lifecycle_deadline).await;
        let uuid = mount.record().uuid;
        if let Err(error) = self.mounts.store_removed(uuid).await {
            mount.reopen();
            return Err(error.into());
        }
        self.mounts.withdraw(path);
        self.router.publish(&[RouteChange::Remove(path.clone())]);
        self.wipe_later(uuid).await;
        Ok(())
    }

    /// Makes a mount of a record, not started.
    pub(super) fn mount_of_record(&self, record: MountRecord, attempt: Attempt) -> Arc<Mount> {
        let launcher = MountLauncher {
            programs: Arc::clone(&self.programs),
            catalog: Arc::clone(&self.catalog),
            kind: record.kind,
            name: record.plugin.clone(),
            version: record.version.clone(),
            attempt,
        };
        let generation = Generation::new(Arc::new(launcher), self.generations.clone());
        let scope = self.scope(&record, None);
        Mount::new(record, scope, generation)
    }

    /// Returns the storage that belongs to a mount.
    pub(super) fn view(&self, uuid: MountUuid) -> StorageView {
        StorageView::new(Arc::clone(&self.storage), format!("{STORAGE_PREFIX}{uuid}/"), ViewLimits::from(&*self.limits))
    }

    /// Returns what a plugin may know of its mount.
    fn scope(&self, record: &MountRecord, before: Option<&Mount>) -> MountScope {
        let ttls = self.effective_ttls(&record.config);
        let budget = || Arc::new(LogBudget::new(self.limits.log_bytes_per_second_max));
        MountScope {
            id: record.uuid.to_string().into(),
            path: record.path.clone(),
            plugin: label(&record.plugin, record.version.as_ref()),
            options: record.options.clone(),
            default_ttl: ttls.default,
            max_ttl: ttls.max,
            passthrough_headers: record.config.passthrough_request_headers.iter().map(|h| h.to_lowercase()).collect(),
            storage: before.map_or_else(|| self.view(record.uuid), |mount| mount.scope().storage.clone()),
            log: before.map_or_else(budget, |mount| Arc::clone(&mount.scope().log)),
        }
    }

    /// Wipes a mount's storage now; what a failing storage leaves over is wiped at the next start.
    async fn wipe_later(&self, uuid: MountUuid) {
        if let Err(error) = self.wipe(uuid).await {
            tracing::error!(%uuid, %error, "a mount's storage could not be wiped; it will be when the server starts again");
        }
    }

    fn reserve(&self, path: &MountPath) -> Result<Reservation, Error> {
        self.reservations.reserve(path).map_err(|other| {
            Error::new(
                ErrorKind::Conflict,
                format!("another change of {other} is under way; try again when it is done"),
            )
        })
    }

    fn existing(&self, path: &MountPath) -> Result<Arc<Mount>, Error> {
        let absent = || Error::new(ErrorKind::NotFound, format!("no matching mount at {path}"));
        self.mounts.get(path).ok_or_else(absent)
    }

    /// Refuses a path that is taken, or is above or below one that is. `leaving` is a mount that is moving away.
    fn check_free(&self, path: &MountPath, leaving: Option<&MountPath>) -> Result<(), Error> {
        match self.mounts.conflicting(path) {
            Some(other) if Some(&other) != leaving || other == *path => {
                let text = if other == *path {
                    format!("path is already in use at {other}")
                } else {
                    format!("existing mount at {other}")
                };
                Err(Error::new(ErrorKind::Conflict, text))
            }
            _ => Ok(()),
        }
    }

    fn select(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
    ) -> Result<Arc<PluginRecord>, Error> {
        let found = match version {
            Some(_) => self.catalog.get(kind, name, version),
            None => self.catalog.select(kind, name),
        };
        found.ok_or_else(|| {
            let version = version.map(|version| format!(", version={version}")).unwrap_or_default();
            let text = format!("plugin not found in the catalog: {name}{version}");
            Error::new(ErrorKind::InvalidRequest, text)
        })
    }

    fn effective_ttls(&self, config: &MountConfig) -> EffectiveTtls {
        EffectiveTtls {
            default: config.default_lease_ttl.unwrap_or(self.limits.default_lease_ttl),
            max: config.max_lease_ttl.unwrap_or(self.limits.max_lease_ttl),
        }
    }

    fn check_ttls(&self, config: &MountConfig) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::new(ErrorKind::InvalidRequest, text));
        match (config.default_lease_ttl, config.max_lease_ttl) {
            (Some(default), Some(max)) if default > max => {
                invalid("given default lease TTL greater than given max lease TTL".to_owned())
            }
            (Some(default), None) if default > self.limits.max_lease_ttl => invalid(format!(
                "given default lease TTL greater than system max lease TTL of {}",
                self.limits.max_lease_ttl.as_secs()
            )),
            _ => Ok(()),
        }
    }

    fn system_info(&self) -> MountInfo {
        MountInfo {
            path: "sys".parse().expect("the path is well formed"),
            kind: PluginKind::Secret,
            plugin: SYSTEM_TYPE.to_owned(),
            version: None,
            running_version: None,
            running_sha256: None,
            accessor: self.system.accessor.clone(),
            uuid: self.system.uuid,
            description: "system endpoints used for control, policy and debugging".to_owned(),
            options: Default::default(),
            local: false,
            seal_wrap: true,
            config: MountConfig { passthrough_request_headers: vec!["Accept".to_owned()], ..MountConfig::default() },
            state: MountState::Running,
        }
    }
}

fn new_record(request: MountRequest, plugin: &PluginRecord) -> MountRecord {
    let MountRequest { path, kind, plugin: name, description, options, local, seal_wrap, config, version: _ } = request;
    MountRecord {
        uuid: MountUuid::random(),
        accessor: Accessor::random(kind, &name),
        path,
        kind,
        plugin: name,
        version: plugin.version.clone(),
        description,
        options,
        local,
        seal_wrap,
        config,
    }
}

fn apply(tune: Tune, record: &mut MountRecord) {
    fn set<T>(field: &mut T, change: Option<T>) {
        if let Some(value) = change {
            *field = value;
        }
    }
    let ttl = |change: TtlChange| match change {
        TtlChange::System => None,
        TtlChange::To(ttl) => Some(ttl),
    };
    let config = &mut record.config;
    set(&mut record.description, tune.description);
    set(&mut record.options, tune.options);
    set(&mut config.default_lease_ttl, tune.default_lease_ttl.map(ttl));
    set(&mut config.max_lease_ttl, tune.max_lease_ttl.map(ttl));
    set(&mut config.listing_visibility, tune.listing_visibility);
    set(&mut config.audit_non_hmac_request_keys, tune.audit_non_hmac_request_keys);
    set(&mut config.audit_non_hmac_response_keys, tune.audit_non_hmac_response_keys);
    set(&mut config.passthrough_request_headers, tune.passthrough_request_headers);
    set(&mut config.allowed_response_headers, tune.allowed_response_headers);
    if tune.plugin_version.is_some() {
        record.version = tune.plugin_version;
    }
}

fn check_not_protected(path: &MountPath, kind: ErrorKind, verb: &str) -> Result<(), Error> {
    let protected = PROTECTED.iter().any(|protected| path.as_str().starts_with(protected));
    if protected { Err(Error::new(kind, format!("cannot {verb} {:?}", path.as_str()))) } else { Ok(()) }
}

fn info(mount: &Mount) -> MountInfo {
    let record = mount.record();
    let generation = mount.generation();
    let running = generation.outcome().and_then(|outcome| outcome.as_ref().ok());
    MountInfo {
        path: record.path.clone(),
        kind: record.kind,
        plugin: record.plugin.to_string(),
        version: record.version.clone(),
        running_version: running.and_then(|running| running.version.clone()),
        running_sha256: running.map(|running| running.sha256),
        accessor: record.accessor.clone(),
        uuid: record.uuid,
        description: record.description.clone(),
        options: record.options.clone(),
        local: record.local,
        seal_wrap: record.seal_wrap,
        config: record.config.clone(),
        state: mount.state(),
    }
}
