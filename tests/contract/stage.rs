//! Plays cases on a host.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::ident::{Digest, PluginKind};
use cofferdam::request::{self, Caller, Identity, Request};
use cofferdam::storage::DurableStorage;
use cofferdam::{
    Error, Host, InstancePolicy, Limits, MountRequest, MountSettings, PluginDirectory, Registration, Tune,
};
use cofferdam_contract::json;
use cofferdam_sdk::embed::Embedded;
use serde_json::Value;
use tempfile::TempDir;

use crate::runtime::{Artifact, Plugin, Runtime};
use crate::script::{Answer, Ask, Asker, Body, Case, Change, Expected, Lease, Login, Need, Step};

/// No step takes this long; only a hang does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The catalog that cases choose from.
const CATALOG: [(&str, Plugin, PluginKind, InstancePolicy); 7] = [
    ("counter", Plugin::Counter, PluginKind::Secret, InstancePolicy::PerMount),
    ("hello", Plugin::Hello, PluginKind::Secret, InstancePolicy::PerMount),
    ("kv", Plugin::Kv, PluginKind::Secret, InstancePolicy::PerMount),
    ("login", Plugin::Login, PluginKind::Auth, InstancePolicy::PerMount),
    ("passthrough", Plugin::Passthrough, PluginKind::Secret, InstancePolicy::PerMount),
    ("probe", Plugin::Probe, PluginKind::Secret, InstancePolicy::PerMount),
    ("probe-per-request", Plugin::Probe, PluginKind::Secret, InstancePolicy::PerRequest),
];

/// A host with all plugins registered, and where it keeps what it stores.
pub(crate) struct Stage {
    /// There is one but for the moment between two.
    host: Option<Host>,
    data: TempDir,
    plugins: TempDir,
    builtins: Vec<(&'static str, Embedded)>,
    runtime: String,
}

impl Stage {
    pub(crate) async fn build(runtime: &dyn Runtime) -> Self {
        let (data, plugins) = (directory(), directory());
        let (mut files, mut builtins) = (Vec::new(), Vec::new());
        for (name, plugin, kind, instances) in CATALOG {
            let need = match (plugin, instances) {
                (Plugin::Kv, _) => Some(Need::Kv),
                (_, InstancePolicy::PerRequest) => Some(Need::PerRequest),
                _ => None,
            };
            if need.is_some_and(|need| runtime.lacks(need).is_some()) {
                continue;
            }
            match runtime.artifact(plugin) {
                Artifact::File(bytes) => files.push((name, bytes, kind, instances)),
                Artifact::Builtin(plugin) => builtins.push((name, plugin)),
            }
        }
        let host = start(&data, &plugins, &builtins).await;
        for (name, bytes, kind, instances) in files {
            let file = plugins.path().join(name);
            fs::write(&file, &bytes).expect("the plugin directory takes a file");
            fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("a file can be made executable");
            let (command, name) = (name.parse().expect("the command is well formed"), name.parse());
            let mut registration =
                Registration::new(name.expect("the name is well formed"), command, Digest::of(&bytes));
            (registration.kind, registration.instances) = (Some(kind), instances);
            host.register_plugin(registration).await.expect("the plugin can be registered");
        }
        Self { host: Some(host), data, plugins, builtins, runtime: runtime.name() }
    }

    pub(crate) async fn end(self) {
        self.host().shutdown().await;
    }

    fn host(&self) -> &Host {
        self.host.as_ref().expect("a host is missing only while another starts")
    }

    /// Plays a case, from its first mount until nothing is mounted any more.
    pub(crate) async fn play(&mut self, case: Case) {
        let first = match kind_of(case.plugin) {
            PluginKind::Auth => "auth/m",
            PluginKind::Secret => "m",
        };
        let enabled = self.enable(&case, first).await;
        enabled.unwrap_or_else(|error| panic!("{}: {:?}: it cannot be mounted: {error}", self.runtime, case.name));
        for (at, step) in case.steps.iter().enumerate() {
            let place = format!("{}: {:?}, step {}", self.runtime, case.name, at + 1);
            match tokio::time::timeout(PATIENCE, self.step(&case, step)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => panic!("{place}: {why}"),
                Err(_) => panic!("{place}: it hangs"),
            }
        }
        for mount in self.host().mounts() {
            if mount.path.as_str() != "sys/" {
                self.host().disable(&mount.path).await.expect("what is mounted can be disabled");
            }
        }
    }

    async fn step(&mut self, case: &Case, step: &Step) -> Result<(), String> {
        match step {
            Step::Restart => {
                self.host().shutdown().await;
                // The storage is free once nothing of the old host is left.
                self.host = None;
                self.host = Some(start(&self.data, &self.plugins, &self.builtins).await);
                Ok(())
            }
            Step::Invalidate(mount, key) => {
                let mount = mount.parse().expect("the mount path is well formed");
                self.host().invalidate(&mount, key).await.map_err(|error| error.to_string())
            }
            Step::Ask(ask, expected) => check(self.host().handle(request(ask)).await, expected),
            Step::Change(change) => self.change(case, change).await.map_err(|error| error.to_string()),
            Step::Refused(change, kind, phrase) => match self.change(case, change).await {
                Ok(()) => Err(format!("it was not refused, expected {kind:?}: {phrase}")),
                Err(error) => check(Err(error), &Expected::Failure(*kind, phrase)),
            },
        }
    }

    async fn change(&self, case: &Case, change: &Change) -> Result<(), Error> {
        let path = |path: &str| path.parse().expect("the mount path is well formed");
        match change {
            Change::Enable(path) => self.enable(case, path).await,
            Change::Move(from, to) => self.host().remount(&path(from), &path(to)).await,
            Change::Disable(mount) => self.host().disable(&path(mount)).await,
            Change::Tune(mount, tune) => self.host().tune(&path(mount), Tune::clone(tune)).await,
        }
    }

    async fn enable(&self, case: &Case, path: &str) -> Result<(), Error> {
        let plugin = case.plugin.parse().expect("the name is well formed");
        let mut settings = MountSettings::new(kind_of(case.plugin), plugin);
        settings.options = case.options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settings.config = case.config.clone();
        let request = MountRequest { path: path.parse().expect("the mount path is well formed"), settings };
        self.host().enable(request).await.map(drop)
    }
}

/// Returns what the catalog holds a plugin for.
fn kind_of(plugin: &str) -> PluginKind {
    CATALOG.iter().find(|(name, ..)| *name == plugin).map_or(PluginKind::Secret, |(_, _, kind, _)| *kind)
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// Each instance reserves 4 GiB of address space, so there are few.
fn limits() -> Limits {
    Limits { instances_max: 4, storage_list_max: 3, ..Limits::default() }
}

async fn start(data: &TempDir, plugins: &TempDir, builtins: &[(&str, Embedded)]) -> Host {
    let storage = DurableStorage::open(data.path().join("data.redb")).expect("the storage opens");
    let directory = PluginDirectory::open(plugins.path()).expect("the plugin directory opens");
    let builder = Host::builder().storage(storage).plugin_directory(directory).limits(limits());
    let builder = builtins.iter().fold(builder, |builder, (name, plugin)| {
        builder.builtin(name.parse().expect("the name is well formed"), *plugin)
    });
    builder.build().await.expect("the host starts")
}

fn request(ask: &Ask) -> Request {
    let caller = match ask.asker {
        Asker::Nobody => Caller::Anonymous,
        Asker::Ada => Caller::Known(Arc::new(Identity {
            display_name: "ada".to_owned(),
            entity_id: "entity-1".to_owned(),
            token_accessor: "accessor-1".to_owned(),
            policies: vec!["default".to_owned(), "readers".to_owned()],
        })),
    };
    let mut request = Request::new(ask.operation, ask.path.parse().expect("the path is well formed")).by(caller);
    request.data = ask.data.as_ref().map(|data| data.to_string().into()).unwrap_or_default();
    request.lease = ask.lease.as_ref().map(|lease| lease.to_string().into());
    let headers: Vec<_> = ask.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request.headers = Some(Arc::new(headers));
    request.remote_address = Some(([192, 0, 2, 1], 4711).into());
    request
}

fn check(outcome: Result<cofferdam::Answer, Error>, expected: &Expected) -> Result<(), String> {
    match (outcome, expected) {
        (Ok(response), Expected::Answer(expected)) => {
            let answer = answer(response)?;
            if answer == **expected { Ok(()) } else { Err(format!("it answered {answer:?}, expected {expected:?}")) }
        }
        (Err(error), Expected::Failure(kind, phrase)) => {
            let as_expected = error.kind() == *kind && error.message().contains(phrase);
            if as_expected { Ok(()) } else { Err(format!("it failed with {error:?}, expected {kind:?}: {phrase}")) }
        }
        (Ok(response), Expected::Failure(kind, _)) => Err(format!("it answered {response:?}, expected {kind:?}")),
        (Err(error), Expected::Answer(expected)) => Err(format!("it failed with {error:?}, expected {expected:?}")),
    }
}

fn answer(response: cofferdam::Answer) -> Result<Answer, String> {
    let json = |bytes: &[u8]| json::parse::<Value>(bytes).map_err(|error| error.to_string());
    let cofferdam::Answer { body, secret, login, warnings, headers, .. } = response;
    let body = match body {
        request::Body::Empty => Body::Nothing,
        request::Body::Data(data) => Body::Data(json(&data)?),
        request::Body::Raw { status, content_type, bytes } => Body::Raw(status, content_type, bytes.into()),
        request::Body::Redirect(address) => Body::Redirect(address),
    };
    let lease = |lease: request::Lease| -> Result<Lease, String> {
        // Nothing internal is `null` in go-plugin, and no bytes elsewhere.
        let internal = if lease.internal.is_empty() { Value::Null } else { json(&lease.internal)? };
        Ok((lease.ttl_seconds, lease.max_ttl_seconds, lease.renewable, internal))
    };
    let login = login.map(|login| {
        let request::Login { policies, display_name, metadata, lease: held, alias, .. } = login;
        Ok::<_, String>(Login { policies, display_name, metadata, alias, lease: lease(held)? })
    });
    Ok(Answer { body, lease: secret.map(lease).transpose()?, login: login.transpose()?, warnings, headers })
}
