//! The catalog's operations: register, list, read, deregister.

use super::programs::{ProgramError, launch_of, runtime_of};
use super::{Error, ErrorKind, Host, Inner, PluginInfo, Registration};
use crate::artifact::{Artifact, Format};
use crate::catalog::PluginRecord;
use crate::ident::{PluginKind, PluginName, PluginVersion};
use crate::runtime::{Description, LoadError, Program};

impl Host {
    /// Verifies a plugin and puts it into the catalog, in place of one with the same type, name and version.
    ///
    /// Reads the file once, compares its digest, compiles a component and asks it what it is. Nothing changes unless all of it
    /// succeeds. Mounts that run go on with what they run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] says what was found, what was expected and what to do.
    pub async fn register_plugin(&self, registration: Registration) -> Result<PluginInfo, Error> {
        self.conduct(|inner| async move { inner.register(registration).await }).await
    }

    /// Returns the catalog, sorted by type, name and version.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.inner.catalog.all().iter().map(|record| info(record)).collect()
    }

    /// Returns the entry with exactly this version; `None` means the unversioned one.
    pub fn plugin(&self, kind: PluginKind, name: &PluginName, version: Option<&PluginVersion>) -> Option<PluginInfo> {
        self.inner.catalog.get(kind, name, version).map(|record| info(&record))
    }

    /// Returns the versions that are registered under a name, in ascending order. The unversioned plugin is none of them.
    pub fn plugin_versions(&self, kind: PluginKind, name: &PluginName) -> Vec<PluginVersion> {
        self.inner.catalog.versions(kind, name)
    }

    /// Takes an entry out of the catalog. Not an error when there is none. Mounts that run go on until they are started again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`].
    pub async fn deregister_plugin(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
    ) -> Result<(), Error> {
        let (name, version) = (name.clone(), version.cloned());
        self.conduct(|inner| async move { Ok(inner.catalog.remove(kind, &name, version.as_ref()).await?) }).await
    }
}

impl Inner {
    async fn register(&self, registration: Registration) -> Result<PluginInfo, Error> {
        check_env(&registration.env)?;
        let artifact = self.programs.artifact(&registration.command, registration.sha256).await?;
        let record = match artifact.format {
            Format::Elf | Format::Script => native_record(registration, &artifact)?,
            Format::Component | Format::CoreModule | Format::Unknown => {
                let Registration { name, version, args, env, .. } = &registration;
                let launch = launch_of(name, version.as_ref(), args, env);
                let program = self.programs.prepare(artifact, launch).await?;
                let record = component_record(registration, &*program)?;
                self.programs.keep(&record, program).await;
                record
            }
        };
        let registered = info(&record);
        self.catalog.put(record).await?;
        tracing::info!(plugin = %registered.name, sha256 = %registered.sha256, "registered a plugin");
        Ok(registered)
    }
}

/// Returns the record of a component that said what it is.
fn component_record(registration: Registration, program: &dyn Program) -> Result<PluginRecord, Error> {
    let description = program.description();
    let kind = checked_kind(&registration, description)?;
    let version = checked_version(&registration, description)?;
    let Registration { name, command, args, env, sha256, instances, .. } = registration;
    Ok(PluginRecord {
        kind,
        name,
        version,
        command,
        args,
        env,
        sha256,
        runtime: runtime_of(Format::Component),
        instances,
        capabilities: program.capabilities().to_vec(),
        imports: program.imports().to_vec(),
    })
}

/// Returns the record of a native plugin, which is believed what the registration says of it.
fn native_record(registration: Registration, artifact: &Artifact) -> Result<PluginRecord, Error> {
    if artifact.format == Format::Elf
        && let Some(why) = artifact.foreign_machine()
    {
        return Err(Error::new(ErrorKind::InvalidRequest, why));
    }
    let Registration { kind, name, version, command, args, env, sha256, instances } = registration;
    let kind = kind.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidRequest,
            format!("the type of the native plugin {name} must be given: auth or secret"),
        )
    })?;
    Ok(PluginRecord {
        kind,
        name,
        version,
        command,
        args,
        env,
        sha256,
        runtime: runtime_of(artifact.format),
        instances,
        capabilities: vec!["everything that the server's user may do (not sandboxed)".to_owned()],
        imports: Vec::new(),
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

pub(super) fn info(record: &PluginRecord) -> PluginInfo {
    let PluginRecord { kind, name, version, command, args, env: _, sha256, runtime, instances, capabilities, imports } =
        record.clone();
    PluginInfo { kind, name, version, command, args, sha256, runtime, instances, capabilities, imports }
}

impl From<ProgramError> for Error {
    fn from(error: ProgramError) -> Self {
        let kind = match &error {
            ProgramError::NoDirectory | ProgramError::Artifact(_) => ErrorKind::InvalidRequest,
            ProgramError::Load(LoadError::Unfit(_)) => ErrorKind::InvalidRequest,
            ProgramError::Load(LoadError::Deadline(_)) => ErrorKind::DeadlineExceeded,
            ProgramError::Load(LoadError::Host(_)) => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string())
    }
}
