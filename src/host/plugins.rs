//! The catalog's operations: register, list, read, deregister.

use std::path::Component;

use super::programs::{launch_of, runtime_of};
use super::{DeprecationStatus, Error, ErrorKind, Host, Inner, PluginInfo, Registration};
use crate::catalog::{ChangeError, Origin, PluginRecord};
use crate::confinement::Confinement;
use crate::ident::{PluginKind, PluginName, PluginVersion};
use crate::plugin::{Found, InstanceLimits, InstancePolicy, PluginKey, RuntimeKind, Source};
use crate::runtime::{Description, Program};

/// Paths that one plugin may be granted. Each is a rule that the kernel is given when the plugin starts.
const CONFINEMENT_PATHS_MAX: usize = 64;

impl Host {
    /// Verifies a plugin and puts it into the catalog, in place of one with the same type, name and version.
    ///
    /// Reads the file once, compares its digest, compiles a component and asks it what it is. Nothing changes unless
    /// all of it succeeds. Mounts that run go on with what they run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] says what was found, what was expected and what to do.
    pub async fn register_plugin(&self, registration: Registration) -> Result<PluginInfo, Error> {
        self.conduct(|inner| async move { inner.register(registration).await }).await
    }

    /// Returns the catalog, sorted by type, name and version.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.inner.catalog.all().iter().map(|record| self.inner.plugin_info(record)).collect()
    }

    /// Returns the entry with exactly this key; without a version that is the unversioned one, else the built-in one.
    pub fn plugin(&self, key: &PluginKey) -> Option<PluginInfo> {
        self.inner.catalog.get(key).map(|record| self.inner.plugin_info(&record))
    }

    /// Returns the versions that are registered under a name, in ascending order. The unversioned plugin is none of
    /// them.
    pub fn plugin_versions(&self, kind: PluginKind, name: &PluginName) -> Vec<PluginVersion> {
        self.inner.catalog.versions(kind, name)
    }

    /// Takes an entry out of the catalog. Not an error when there is none. A built-in plugin stays, and takes its name
    /// back from an unversioned one that goes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] for an entry that mounts run or ask for, which are named, that is pinned, that was
    /// declared, or that is built in; [`ErrorKind::Busy`] while a mount of the plugin is being made;
    /// [`ErrorKind::Storage`].
    pub async fn deregister_plugin(&self, key: &PluginKey) -> Result<(), Error> {
        if let Some(version) = key.version.as_ref().filter(|version| version.is_builtin()) {
            return Err(Error::new(ErrorKind::InvalidRequest, format!("version \"{version}\" cannot be deleted")));
        }
        let key = key.clone();
        self.conduct(move |inner| async move { inner.deregister(&key, Origin::Request).await }).await
    }
}

impl Inner {
    /// Removes an entry unless a mount would be lost with it.
    pub(super) async fn deregister(&self, key: &PluginKey, origin: Origin) -> Result<(), Error> {
        let _removing = self.plugin_claims.remove(key.kind, &key.name).ok_or_else(|| {
            let name = key.name.as_str();
            let text = format!("another change of plugin {name:?} is under way; try again when it is done");
            Error::new(ErrorKind::Busy, text)
        })?;
        let users = self.users_of(key);
        if !users.is_empty() && !self.catalog.has_substitute(key) {
            let users = users.join(", ");
            let text = format!(
                "cannot deregister {key}: it is used by {users}; tune what uses it to another version and reload it, or \
                 disable it"
            );
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        Ok(self.catalog.remove(key, origin).await?)
    }

    /// Returns the paths of the mounts that run an entry, or that their records ask for it.
    fn users_of(&self, key: &PluginKey) -> Vec<String> {
        let mounts = self.mounts.routes.all().into_iter().filter(|mount| {
            let now = mount.now();
            let settings = &now.record.settings;
            let asked = settings.key_of(settings.version.clone());
            asked == *key || settings.key_of(now.running_version().cloned()) == *key
        });
        mounts.map(|mount| mount.record().path.to_string()).collect()
    }

    /// Returns an entry as listings show it.
    pub(super) fn plugin_info(&self, record: &PluginRecord) -> PluginInfo {
        let pinned = self.catalog.pinned(record.key.kind, &record.key.name);
        PluginInfo { pinned: pinned.is_some() && pinned == record.key.version, ..info(record) }
    }

    async fn register(&self, registration: Registration) -> Result<PluginInfo, Error> {
        self.register_from(registration, Origin::Request).await
    }

    /// Verifies a plugin and puts it into the catalog.
    pub(super) async fn register_from(&self, registration: Registration, origin: Origin) -> Result<PluginInfo, Error> {
        check_version(registration.version.as_ref())?;
        check_env(&registration.launch.env)?;
        registration.launch.confinement.as_ref().map_or(Ok(()), check_confinement)?;
        let Source::File { command, sha256 } = &registration.launch.source else {
            return Err(Error::new(ErrorKind::InvalidRequest, "a plugin that is built in cannot be registered"));
        };
        let sha256 = *sha256;
        let artifact = self.programs.artifact(command, sha256).await?;
        let runtime = runtime_of(artifact.format);
        check_fits(&registration, runtime)?;
        let program = self.programs.learn(artifact, launch_of(&registration)).await?;
        let record = PluginRecord { origin, ..record_of(registration, runtime, &*program)? };
        check_version(record.key.version.as_ref())?;
        self.catalog.check_origin(&record.key, origin)?;
        self.programs.keep(&record, program).await;
        let registered = self.plugin_info(&record);
        self.catalog.put(record).await?;
        tracing::info!(plugin = %registered.key.name, %sha256, "registered a plugin");
        Ok(registered)
    }
}

/// Returns the record of a plugin that said what it is.
fn record_of(registration: Registration, runtime: RuntimeKind, program: &dyn Program) -> Result<PluginRecord, Error> {
    let description = program.description();
    let kind = checked_kind(&registration, description)?;
    let version = checked_version(&registration, description)?;
    let Registration { name, launch, instances, instance_limits, .. } = registration;
    Ok(PluginRecord {
        key: PluginKey::new(kind, name, version),
        launch,
        instances,
        instance_limits,
        found: Found { runtime, capabilities: program.capabilities().to_vec(), imports: program.imports().to_vec() },
        origin: Origin::default(),
    })
}

/// Refuses what only plugins of the other runtime have.
fn check_fits(registration: &Registration, runtime: RuntimeKind) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidRequest, format!("{}: {why}", registration.name)));
    match runtime {
        RuntimeKind::Wasm if registration.launch.confinement.is_some() => {
            refuse("a component cannot be confined further: it runs in a sandbox that reaches nothing")
        }
        RuntimeKind::Native => check_native_instances(registration.instances, &registration.instance_limits)
            .map_err(|why| Error::new(ErrorKind::InvalidRequest, format!("{}: {why}", registration.name))),
        RuntimeKind::Wasm | RuntimeKind::Builtin => Ok(()),
    }
}

/// Refuses what only sandboxes can be: native plugins keep one instance for each mount, and share a process by
/// themselves.
pub(super) fn check_native_instances(policy: InstancePolicy, limits: &InstanceLimits) -> Result<(), &'static str> {
    match policy {
        InstancePolicy::PerRequest => Err(
            "a native plugin cannot be started for each request; take -instances=per-mount, or build it as a component",
        ),
        InstancePolicy::Pooled => {
            Err("the mounts of a native plugin share its process already, if it multiplexes; take -instances=per-mount")
        }
        InstancePolicy::PerMount if limits.max_requests.is_some() => Err(
            "a native plugin works in the background and is not replaced after some requests; leave -max-requests out",
        ),
        InstancePolicy::PerMount => Ok(()),
    }
}

/// Refuses the version of a built-in plugin, whoever named it.
fn check_version(version: Option<&PluginVersion>) -> Result<(), Error> {
    version.filter(|version| version.is_builtin()).map_or(Ok(()), |version| {
        let why = "is not allowed because 'builtin' is a reserved metadata identifier";
        Err(Error::new(ErrorKind::InvalidRequest, format!("version \"{version}\" {why}")))
    })
}

fn checked_kind(registration: &Registration, description: &Description) -> Result<PluginKind, Error> {
    match registration.kind {
        Some(kind) if kind != description.kind => Err(Error::new(
            ErrorKind::InvalidRequest,
            format!(
                "plugin type mismatch: {} was registered as type {kind}, and says that it is of type {}",
                registration.name, description.kind
            ),
        )),
        _ => Ok(description.kind),
    }
}

fn checked_version(registration: &Registration, description: &Description) -> Result<Option<PluginVersion>, Error> {
    match (&registration.version, &description.version) {
        (Some(requested), Some(reported)) if requested != reported => Err(Error::new(
            ErrorKind::InvalidRequest,
            format!(
                "plugin version mismatch: {} reported version ({reported}) did not match requested version ({requested})",
                registration.name
            ),
        )),
        (Some(version), _) | (None, Some(version)) => Ok(Some(version.clone())),
        (None, None) => Ok(None),
    }
}

fn check_env(env: &[String]) -> Result<(), Error> {
    let malformed = env.iter().position(|pair| !matches!(pair.split_once('='), Some((key, _)) if !key.is_empty()));
    // The pair itself may hold a secret, so only its place is named.
    malformed.map_or(Ok(()), |at| {
        let text = format!("environment entry number {} is not of the form KEY=value", at + 1);
        Err(Error::new(ErrorKind::InvalidRequest, text))
    })
}

/// Refuses what cannot be meant: a path that depends on a working directory, or that names another than it seems to.
fn check_confinement(confinement: &Confinement) -> Result<(), Error> {
    let refused = |what: String| Err(Error::new(ErrorKind::InvalidRequest, what));
    let Confinement { read, write } = confinement;
    if read.len() + write.len() > CONFINEMENT_PATHS_MAX {
        return refused(format!("a plugin may be granted {CONFINEMENT_PATHS_MAX} paths at most"));
    }
    for path in read.iter().chain(write) {
        let shown = path.display();
        if path.to_str().is_none_or(|path| path.contains(char::is_control)) {
            return refused(format!(
                "the path {path:?} that the plugin is to be granted holds what no path should hold"
            ));
        }
        if !path.is_absolute() {
            return refused(format!("the path {shown:?} that the plugin is to be granted must start with '/'"));
        }
        if path.components().any(|component| component == Component::ParentDir) {
            return refused(format!("the path {shown:?} that the plugin is to be granted must not hold \"..\""));
        }
    }
    Ok(())
}

fn info(record: &PluginRecord) -> PluginInfo {
    let PluginRecord { key, launch, instances, instance_limits, found, origin } = record.clone();
    let is_builtin = launch.source == Source::Builtin;
    PluginInfo {
        key,
        launch,
        instances,
        instance_limits,
        found,
        deprecation_status: is_builtin.then_some(DeprecationStatus::Supported),
        pinned: false,
        declarative: origin == Origin::Configuration,
    }
}

#[cfg(test)]
impl Host {
    /// Puts an entry into the catalog that no file stands behind, for tests of what is done with entries.
    pub(crate) async fn put_entry(&self, name: PluginName, version: Option<PluginVersion>) {
        let key = PluginKey::new(PluginKind::Secret, name, version);
        let record = PluginRecord::of_file(key, RuntimeKind::Native);
        self.inner.catalog.put(record).await.expect("memory takes a record");
    }
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Storage(error) => error.into(),
            ChangeError::Absent(_)
            | ChangeError::Builtin(_)
            | ChangeError::Pinned(_)
            | ChangeError::Declared(_)
            | ChangeError::Registered(_) => Error::new(ErrorKind::InvalidRequest, error.to_string()),
        }
    }
}
