//! The mount table's operations: enable, list, move, disable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::answer::not_started;
use super::own_record::SYSTEM_TYPE;
use super::plugins::check_native_instances;
use super::programs::{MountLauncher, VersionAtLaunch, label};
use super::reservations::{PluginClaim, Reservation};
use super::types::{EffectiveTtls, MountInfo, MountRequest};
use super::{Admission, Error, ErrorKind, Host, Inner, places};
use crate::catalog::{PluginRecord, SelectError};
use crate::ident::{MountPath, PluginKind, PluginName, PluginVersion, RequestPath};
use crate::mount::{
    Attempt, Ending, Generation, Mount, MountConfig, MountRecord, MountSettings, MountState, MountStorage, TokenType,
};
use crate::plugin::RuntimeKind;
use crate::runtime::{LogBudget, MountKey, MountScope};
use crate::storage::{StorageView, ViewLimits};

impl Host {
    /// Mounts a plugin, and returns once it answers. The mount survives a restart from here on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when the path is taken, or is above or below one that is; [`ErrorKind::InvalidRequest`]
    /// when the plugin is not in the catalog, its file is not what was registered, or it declines to start with these
    /// settings; [`ErrorKind::PluginFault`] when it crashed; [`ErrorKind::DeadlineExceeded`] when it took longer than
    /// [`Limits::lifecycle_deadline`](crate::limits::Limits::lifecycle_deadline); [`ErrorKind::Busy`] while all
    /// instances that may live are in use, or another change of the path or the plugin is under way;
    /// [`ErrorKind::Storage`] and [`ErrorKind::Internal`] when the host failed. Nothing is left behind.
    pub async fn enable(&self, request: MountRequest) -> Result<MountInfo, Error> {
        self.conduct(|inner| async move { inner.enable(request).await }).await
    }

    /// Returns all mounts, the host's own `sys/` among them, sorted by path.
    pub fn mounts(&self) -> Vec<MountInfo> {
        let inner = &self.inner;
        let mut mounts: Vec<_> = inner.mounts.routes.all().iter().map(|mount| inner.info(mount)).collect();
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
        self.inner.mounts.routes.get(path).map(|mount| self.inner.info(&mount))
    }

    /// Returns the mount that would answer a request for this path.
    pub fn mount_of(&self, path: &RequestPath) -> Option<MountInfo> {
        self.inner.mounts.routes.find(path).map(|route| self.inner.info(&route.mount))
    }

    /// Returns the mounts that say of themselves that everybody may see them, sorted by path. It costs little where
    /// there are few of them among many.
    pub fn public_mounts(&self) -> Vec<MountInfo> {
        let is_public = |mount: &&Arc<Mount>| mount.record().settings.config.listing_visibility == "unauth";
        self.inner.mounts.routes.all().iter().filter(is_public).map(|mount| self.inner.info(mount)).collect()
    }

    /// Returns whether a mount, or the host itself, would answer a request for this path.
    pub fn serves(&self, path: &RequestPath) -> bool {
        self.inner.own_backend(path).is_some() || self.inner.mounts.routes.find(path).is_some()
    }

    /// Returns how far a caller that nobody knows is heard at this path, as far as that is known before the plugin has
    /// started. A server asks before it reads what such a caller sends.
    pub fn admission(&self, path: &RequestPath) -> Admission {
        if let Some((_, backend)) = self.inner.own_backend(path) {
            return backend.admission(path);
        }
        let Some(route) = self.inner.mounts.routes.find(path) else { return Admission::Closed };
        let now = route.mount.now();
        let below = path.clone().below(route.prefix_length);
        let may_be_open = match now.state() {
            MountState::Starting => true,
            MountState::Running => now.is_open(&below),
            // A client that logs in must not be told that it was for lack of a permission, and may be the one that
            // makes the mount try again.
            MountState::Disabled(_) => path.as_str().starts_with(places::AUTH),
        };
        if may_be_open { Admission::Open } else { Admission::Closed }
    }

    /// Returns whether a caller that nobody knows is heard at this path. Starts its mount if it has not started yet.
    pub async fn is_open(&self, path: &RequestPath) -> bool {
        if let Some(route) = self.inner.mounts.routes.find(path) {
            // One that cannot be started is open to nobody but those who log in.
            let _ = route.mount.start().await;
        }
        self.admission(path) != Admission::Closed
    }

    /// Returns the lease TTLs that hold with these settings.
    pub fn effective_ttls(&self, config: &MountConfig) -> EffectiveTtls {
        self.inner.effective_ttls(config)
    }

    /// Moves a mount. Its storage stays where it is; requests in flight end where they began.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Conflict`], or [`ErrorKind::Busy`] while either path changes.
    pub async fn remount(&self, from: &MountPath, to: &MountPath) -> Result<(), Error> {
        let (from, to) = (from.clone(), to.clone());
        self.conduct(|inner| async move { inner.remount(&from, &to).await }).await
    }

    /// Takes a mount away and wipes what it stored. Not an error when there is none.
    ///
    /// Requests in flight get [`Limits::drain_deadline`](crate::limits::Limits::drain_deadline) to end. A crash leaves
    /// the mount as it was or gone; what is left to wipe is wiped at the next start.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] for the host's own paths, [`ErrorKind::Storage`] when it could not be stored; then
    /// the mount goes on.
    pub async fn disable(&self, path: &MountPath) -> Result<(), Error> {
        let path = path.clone();
        self.conduct(|inner| async move { inner.disable(&path).await }).await
    }
}

impl Inner {
    async fn enable(&self, request: MountRequest) -> Result<MountInfo, Error> {
        let MountRequest { path, mut settings } = request;
        places::check_new(&path, settings.kind)?;
        check_token_type(settings.kind, settings.config.token_type)?;
        self.check_ttls(&settings.config)?;
        let _reserved = self.reserve(&path)?;
        self.check_free(&path, None)?;
        let _relied_on = self.rely_on(settings.kind, &settings.plugin)?;
        let plugin = self.select(settings.kind, &settings.plugin, settings.version.as_ref())?;
        check_instances(&plugin, &settings.config)?;
        settings.version = asked_version(&plugin);
        let record = MountRecord::new(path.clone(), settings);
        let storage = record.storage();

        self.mounts.store_intent(storage).await?;
        let mount = self.mount_of_record(record, Attempt::Anew);
        if let Err(error) = mount.start().await {
            self.wipe_or_leave(storage).await;
            return Err(not_started(&error, &format!("cannot enable {path}")));
        }
        if let Err(error) = self.mounts.store_new(&mount.record()).await {
            // One that may be stored keeps what it stored, and is there when the host starts again.
            if !error.may_be_applied() {
                self.wipe_or_leave(storage).await;
            }
            return Err(error.into());
        }
        self.mounts.routes.publish(&path, &mount);
        Ok(self.info(&mount))
    }

    async fn remount(&self, from: &MountPath, to: &MountPath) -> Result<(), Error> {
        places::check_move(from, to)?;
        // Of two paths that lie inside one another the outer one covers both.
        let (outer, inner) = if from.as_str().starts_with(to.as_str()) { (to, from) } else { (from, to) };
        let _outer = self.reserve(outer)?;
        let _inner = if inner.as_str().starts_with(outer.as_str()) { None } else { Some(self.reserve(inner)?) };
        let mount = self.existing(from)?;
        self.check_free(to, Some(from))?;
        let record = MountRecord { path: to.clone(), ..MountRecord::clone(&mount.record()) };
        self.mounts.store_changed(&record).await?;
        let scope = self.changed_scope(&mount.now().scope, &record);
        mount.update(record, scope);
        self.mounts.routes.relocate(from, to, &mount);
        Ok(())
    }

    async fn disable(&self, path: &MountPath) -> Result<(), Error> {
        places::check_existing(path, "unmount")?;
        let _reserved = self.reserve(path)?;
        let Some(mount) = self.mounts.routes.get(path) else { return Ok(()) };
        mount.now().generation.end_start().await;
        mount.close(Ending::Disable, self.limits.drain_deadline, self.limits.lifecycle_deadline).await;
        let storage = mount.record().storage();
        if let Err(error) = self.mounts.store_removed(storage).await {
            // One that may be gone takes no more requests: what they stored would be wiped.
            if !error.may_be_applied() {
                mount.reopen();
            }
            return Err(error.into());
        }
        self.mounts.routes.withdraw(path);
        self.wipe_or_leave(storage).await;
        Ok(())
    }

    /// Makes a mount of a record, not started.
    pub(super) fn mount_of_record(&self, record: MountRecord, attempt: Attempt) -> Arc<Mount> {
        let version = VersionAtLaunch::Asked(record.settings.version.clone());
        let generation = self.generation_of(&record, attempt, version);
        let scope = self.new_scope(&record);
        Mount::new(record, scope, generation)
    }

    /// Makes what answers for a mount by its record, not started.
    pub(super) fn generation_of(
        &self,
        record: &MountRecord,
        attempt: Attempt,
        version: VersionAtLaunch,
    ) -> Arc<Generation> {
        let launcher = MountLauncher {
            programs: Arc::clone(&self.programs),
            catalog: Arc::clone(&self.catalog),
            kind: record.settings.kind,
            name: record.settings.plugin.clone(),
            version,
            instances: record.settings.config.instances,
            instance_limits: record.settings.config.instance_limits.clone(),
        };
        Generation::new(Arc::new(launcher), attempt, self.generations.clone())
    }

    /// Returns the storage that belongs to a mount.
    pub(super) fn view(&self, storage: MountStorage) -> StorageView {
        StorageView::new(Arc::clone(&self.storage), storage.to_string(), ViewLimits::from(&*self.limits))
    }

    /// Returns what a plugin may know of its mount, which is new.
    fn new_scope(&self, record: &MountRecord) -> MountScope {
        let budget = || Arc::new(LogBudget::new(self.limits.log_bytes_per_second_max));
        let meter = Arc::default();
        let bare = MountScope {
            key: MountKey::next(),
            accessor: record.accessor.to_string().into(),
            id: record.uuid.to_string().into(),
            plugin: label(&record.settings.plugin, self.version_at_start(record).as_ref()),
            storage: self.view(record.storage()).metered(&meter),
            log: budget(),
            faults: budget(),
            meter,
            path: record.path.clone(),
            options: BTreeMap::new(),
            default_ttl: Duration::ZERO,
            max_ttl: Duration::ZERO,
            passthrough_headers: Vec::new(),
        };
        self.changed_scope(&bare, record)
    }

    /// Returns the same with what a changed record says. The plugin that is named is the one that runs, which a tuned
    /// version does not before the mount is started again.
    pub(super) fn changed_scope(&self, before: &MountScope, record: &MountRecord) -> MountScope {
        let ttls = self.effective_ttls(&record.settings.config);
        let headers = &record.settings.config.passthrough_request_headers;
        MountScope {
            path: record.path.clone(),
            options: record.settings.options.clone(),
            default_ttl: ttls.default,
            max_ttl: ttls.max,
            passthrough_headers: headers.iter().map(|header| header.to_lowercase()).collect(),
            ..before.clone()
        }
    }

    /// Wipes a mount's storage, or leaves to the next start of the server what a failing storage does not wipe.
    async fn wipe_or_leave(&self, storage: MountStorage) {
        if let Err(error) = self.wipe(storage).await {
            tracing::error!(%storage, %error, "a mount's storage could not be wiped; it will be when the server starts again");
        }
    }

    pub(super) fn reserve(&self, path: &MountPath) -> Result<Reservation, Error> {
        self.reservations.reserve(path).map_err(|other| {
            Error::new(ErrorKind::Busy, format!("another change of {other} is under way; try again when it is done"))
        })
    }

    pub(super) fn existing(&self, path: &MountPath) -> Result<Arc<Mount>, Error> {
        let absent = || Error::new(ErrorKind::NotFound, format!("no matching mount at {path}"));
        self.mounts.routes.get(path).ok_or_else(absent)
    }

    /// Refuses a path that is taken, or is above or below one that is. `leaving` is a mount that is moving away.
    fn check_free(&self, path: &MountPath, leaving: Option<&MountPath>) -> Result<(), Error> {
        match self.mounts.routes.conflicting(path, leaving) {
            None => Ok(()),
            Some(other) if other == *path => {
                Err(Error::new(ErrorKind::Conflict, format!("path is already in use at {}", other.name())))
            }
            Some(other) => Err(Error::new(ErrorKind::Conflict, format!("existing mount at {other}"))),
        }
    }

    pub(super) fn select(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
    ) -> Result<Arc<PluginRecord>, Error> {
        if let Some(version) = version.filter(|version| version.is_builtin() && self.catalog.is_overridden(kind, name))
        {
            let text = format!(
                "{kind} plugin {:?}, version {version} not found, as it is overridden by an unversioned plugin of the same \
                 name. Omit `plugin_version` to use the unversioned plugin",
                name.as_str()
            );
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        self.catalog.select(kind, name, version).map_err(|error| {
            if let SelectError::Pinned(pinned) = error {
                return pinned_elsewhere(name, version, &pinned);
            }
            let other = PluginKind::ALL.into_iter().filter(|other| *other != kind);
            // Whoever took the command for the other kind is told.
            let other = other.filter(|other| self.catalog.knows(Some(*other), name));
            let hint: String = other.map(|other| format!("; a plugin of this name is of type {other}")).collect();
            let version = version.map(|version| format!(", version={version}")).unwrap_or_default();
            let text = format!("plugin not found in the catalog: {name}{version}{hint}");
            Error::new(ErrorKind::InvalidRequest, text)
        })
    }

    /// Returns the version that a mount is started with next.
    pub(super) fn version_at_start(&self, record: &MountRecord) -> Option<PluginVersion> {
        let MountSettings { kind, plugin, version, .. } = &record.settings;
        self.catalog.version_at_start(*kind, plugin, version.as_ref())
    }

    /// Keeps the entries of a plugin in the catalog until what relies on one of them is published.
    pub(super) fn rely_on(&self, kind: PluginKind, name: &PluginName) -> Result<PluginClaim, Error> {
        self.plugin_claims.rely_on(kind, name).ok_or_else(|| {
            let text = format!("plugin {:?} is being deregistered; try again when it is done", name.as_str());
            Error::new(ErrorKind::Busy, text)
        })
    }

    pub(super) fn effective_ttls(&self, config: &MountConfig) -> EffectiveTtls {
        EffectiveTtls {
            default: config.default_lease_ttl.unwrap_or(self.limits.default_lease_ttl),
            max: config.max_lease_ttl.unwrap_or(self.limits.max_lease_ttl),
        }
    }

    pub(super) fn check_ttls(&self, config: &MountConfig) -> Result<(), Error> {
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

    fn info(&self, mount: &Mount) -> MountInfo {
        let now = mount.now();
        let (record, running) = (&now.record, now.running());
        MountInfo {
            path: record.path.clone(),
            accessor: record.accessor.clone(),
            uuid: record.uuid,
            settings: record.settings.clone(),
            running_version: running.and_then(|running| running.version.clone()),
            running_sha256: running.and_then(|running| running.sha256),
            deprecation_status: self.catalog.deprecation_status(record.settings.kind, &record.settings.plugin),
            running_instances: running.map(|running| running.pool.settings().policy),
            state: now.state(),
        }
    }

    fn system_info(&self) -> MountInfo {
        let plugin = SYSTEM_TYPE.parse().expect("the name is well formed");
        let settings = MountSettings {
            description: "system endpoints used for control, policy and debugging".to_owned(),
            seal_wrap: true,
            config: MountConfig { passthrough_request_headers: vec!["Accept".to_owned()], ..MountConfig::default() },
            ..MountSettings::new(PluginKind::Secret, plugin)
        };
        MountInfo {
            path: "sys".parse().expect("the path is well formed"),
            accessor: self.system.accessor.clone(),
            uuid: self.system.uuid,
            settings,
            running_version: None,
            running_sha256: None,
            deprecation_status: None,
            running_instances: None,
            state: MountState::Running,
        }
    }
}

/// Returns the version that a mount of this plugin asks for: none where it is built in, since the next server has
/// another.
pub(super) fn asked_version(plugin: &PluginRecord) -> Option<PluginVersion> {
    plugin.key.version.clone().filter(|version| !version.is_builtin())
}

/// Refuses a version beside the one that all mounts of the plugin get.
pub(super) fn pinned_elsewhere(name: &PluginName, asked: Option<&PluginVersion>, pinned: &PluginVersion) -> Error {
    let asked = asked.map_or_else(|| "the unversioned plugin".to_owned(), |asked| format!("version {asked}"));
    let name = name.as_str();
    let text = format!("cannot use {asked} of plugin {name:?}: it is pinned to {pinned}; take that, or remove the pin");
    Error::new(ErrorKind::InvalidRequest, text)
}

/// Refuses instances that the plugin cannot have.
pub(super) fn check_instances(plugin: &PluginRecord, config: &MountConfig) -> Result<(), Error> {
    if plugin.found.runtime != RuntimeKind::Native {
        return Ok(());
    }
    let policy = config.instances.unwrap_or(plugin.instances);
    check_native_instances(policy, &config.instance_limits.or(&plugin.instance_limits))
        .map_err(|why| Error::new(ErrorKind::InvalidRequest, format!("{}: {why}", plugin.key.name)))
}

/// Refuses a token type where no tokens come from.
pub(super) fn check_token_type(kind: PluginKind, token_type: Option<TokenType>) -> Result<(), Error> {
    match (kind, token_type) {
        (PluginKind::Secret, Some(_)) => {
            Err(Error::new(ErrorKind::InvalidRequest, "'token_type' can only be modified on auth mounts"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    pub(in crate::host) fn config(default_hours: Option<u32>, max_hours: Option<u32>) -> MountConfig {
        let hours = |hours: u32| HOUR * hours;
        MountConfig {
            default_lease_ttl: default_hours.map(hours),
            max_lease_ttl: max_hours.map(hours),
            ..MountConfig::default()
        }
    }

    /// Returns a host with one mount, `kv/`, whose plugin is not in the catalog.
    pub(in crate::host) async fn host_with_mount(config: MountConfig) -> Host {
        let host = Host::builder().build().await.unwrap();
        let settings = MountSettings {
            description: "before".to_owned(),
            config,
            ..MountSettings::new(PluginKind::Secret, "kv".parse().unwrap())
        };
        let record = MountRecord::new("kv".parse().unwrap(), settings);
        let mount = host.inner.mount_of_record(record, Attempt::Shared);
        host.inner.mounts.routes.publish(&"kv".parse().unwrap(), &mount);
        host
    }

    pub(in crate::host) fn kv(host: &Host) -> MountInfo {
        host.mount(&"kv".parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn contradictory_ttls_are_refused_before_the_plugin_is_looked_for() {
        let host = Host::builder().build().await.unwrap();
        for (config, message) in [
            (config(Some(2), Some(1)), "given default lease TTL greater than given max lease TTL"),
            (config(Some(769), None), "given default lease TTL greater than system max lease TTL of 2764800"),
            (config(Some(1), Some(2)), "plugin not found in the catalog: kv"),
        ] {
            let mut request = MountRequest::new("kv".parse().unwrap(), "kv".parse().unwrap());
            request.settings.config = config;
            let refused = host.enable(request).await.unwrap_err();
            assert_eq!((refused.kind(), refused.message()), (ErrorKind::InvalidRequest, message));
        }
    }

    #[tokio::test]
    async fn a_mount_whose_plugin_is_missing_says_so_when_asked() {
        let host = host_with_mount(MountConfig::default()).await;
        let request = crate::request::Request::new(crate::request::Operation::Read, "kv/a".parse().unwrap());
        let stranger = host.handle(request.clone()).await.unwrap_err();
        let known = crate::request::Caller::Known(Arc::new(crate::request::Identity::named("ada")));
        let refused = host.handle(request.by(known)).await.unwrap_err();
        assert_eq!((stranger.kind(), refused.kind()), (ErrorKind::Unavailable, ErrorKind::Unavailable));
        let MountState::Disabled(reason) = kv(&host).state else { panic!("{:?}", kv(&host).state) };
        assert!(refused.message().contains(&reason), "{}", refused.message());
        assert!(!stranger.message().contains(&reason), "a stranger learns nothing of it: {}", stranger.message());
    }
}
