//! `sys/plugins/catalog`: what may be mounted.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::fields::Fields;
use super::instances::{self, InstancesView};
use super::refusal::Refusal;
use super::reply::Reply;
use crate::confinement::Confinement;
use crate::host::{DeprecationStatus, Host, PluginInfo, Registration};
use crate::ident::{Command, Digest, PluginKind, PluginName, PluginVersion};
use crate::plugin::{InstanceLimits, Launchable, PluginKey, Source};

/// First segments that are a type and not part of a name. Vault has no types by the words `database` and `unknown`
/// here, yet its clients send them.
const KIND_WORDS: [&str; 4] = ["auth", "database", "secret", "unknown"];

/// Fields of Vault's registration that ask for something else to be run than the file in `command`.
const UNSUPPORTED: [(&str, &str); 4] = [
    ("oci_image", "plugins are files in the plugin directory"),
    ("oci", "plugins are files in the plugin directory"),
    ("runtime", "it names a container runtime in Vault; how a plugin runs follows from its file here"),
    ("download", "put the plugin's file into the plugin directory"),
];

/// What stands behind `sys/plugins/catalog/`.
#[derive(Debug, PartialEq, Eq)]
enum Entry<'a> {
    /// A type alone.
    Kind(&'a str),
    /// A type and a name.
    Typed(&'a str, &'a str),
    /// A name alone.
    Untyped(&'a str),
}

impl<'a> Entry<'a> {
    fn of(rest: &'a str) -> Self {
        match rest.split_once('/') {
            Some((kind, name)) if KIND_WORDS.contains(&kind) => Entry::Typed(kind, name),
            None if KIND_WORDS.contains(&rest) => Entry::Kind(rest),
            _ => Entry::Untyped(rest),
        }
    }
}

/// Lists all plugins.
pub(super) fn list(host: &Host) -> Reply {
    #[derive(Serialize)]
    struct Catalog<'a> {
        auth: BTreeSet<&'a str>,
        // There are no plugins of this type here; clients look for the key.
        database: [&'a str; 0],
        detailed: Vec<Detail<'a>>,
        secret: BTreeSet<&'a str>,
    }
    let plugins = host.plugins();
    Reply::data(&Catalog {
        auth: names(&plugins, PluginKind::Auth),
        database: [],
        detailed: plugins.iter().map(Detail::of).collect(),
        secret: names(&plugins, PluginKind::Secret),
    })
}

/// Lists the names of one type.
pub(super) fn list_kind(host: &Host, rest: &str) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Listing<'a> {
        keys: BTreeSet<&'a str>,
    }
    let Entry::Kind(kind) = Entry::of(rest) else {
        return Err(Refusal::unsupported_operation());
    };
    let plugins = host.plugins();
    let keys = kind.parse().map(|kind| names(&plugins, kind)).unwrap_or_default();
    if keys.is_empty() {
        return Err(Refusal::nothing_there());
    }
    Ok(Reply::data(&Listing { keys }))
}

/// Shows one plugin.
pub(super) fn read(host: &Host, rest: &str, mut fields: Fields) -> Result<Reply, Refusal> {
    match Entry::of(rest) {
        Entry::Kind(_) => Err(Refusal::unsupported_operation()),
        Entry::Untyped(name) => Ok(Reply::warning(format!(
            "Deprecated API endpoint, cannot read plugin information from catalog for {name:?}"
        ))),
        Entry::Typed(kind, name) => {
            let key = PluginKey::new(kind.parse()?, name.parse()?, version(&mut fields)?);
            match host.plugin(&key) {
                Some(plugin) => Ok(Reply::data(&Shown::of(&plugin))),
                None if key.version.is_some() => Err(Refusal::nothing_there()),
                None => read_only_version(host, key),
            }
        }
    }
}

/// Shows the version that there is, though none was asked for, if there is no choice. As newest Vault does.
fn read_only_version(host: &Host, unversioned: PluginKey) -> Result<Reply, Refusal> {
    let versions = host.plugin_versions(unversioned.kind, &unversioned.name);
    let [only] = versions.as_slice() else {
        return Err(if versions.is_empty() {
            Refusal::nothing_there()
        } else {
            ambiguous(&unversioned.name, &versions)
        });
    };
    let key = PluginKey { version: Some(only.clone()), ..unversioned };
    let plugin = host.plugin(&key).ok_or_else(Refusal::nothing_there)?;
    let name = key.name.as_str();
    let warning = format!("no version was specified: this is the only one of plugin {name:?}, -version={only}");
    Ok(Reply::data(&Shown::of(&plugin)).with_warning(warning))
}

fn ambiguous(name: &PluginName, versions: &[PluginVersion]) -> Refusal {
    let (name, choice) = (name.as_str(), choice_of(versions));
    Refusal::invalid(format!("no version was specified, and plugin {name:?} has several; choose one with {choice}"))
}

/// Returns the flags that each choose one of the versions.
fn choice_of(versions: &[PluginVersion]) -> String {
    let flags: Vec<String> = versions.iter().map(|version| format!("-version={version}")).collect();
    flags.join(" or ")
}

/// Puts a plugin into the catalog, and shows what was found in it: more than Vault says, whose clients ignore it. What
/// it imports is many lines, and for who reads the entry.
pub(super) async fn register(host: &Host, rest: &str, fields: Fields) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Registered<'a> {
        capabilities: &'a [String],
        instances: &'static str,
        name: &'a str,
        runtime: &'static str,
        sha256: String,
        r#type: &'static str,
        version: String,
    }
    let plugin = host.register_plugin(registration(rest, fields)?).await?;
    Ok(Reply::data(&Registered {
        capabilities: &plugin.found.capabilities,
        instances: plugin.instances.as_str(),
        name: plugin.key.name.as_str(),
        runtime: plugin.found.runtime.as_str(),
        sha256: shown_digest(&plugin),
        r#type: plugin.key.kind.as_str(),
        version: shown_version(&plugin),
    }))
}

/// Takes a plugin out of the catalog. One that is not there is out already; who leaves the version out of what has one
/// only is told so, and so is who names what is built in.
pub(super) async fn deregister(host: &Host, rest: &str, mut fields: Fields) -> Result<Reply, Refusal> {
    let Entry::Typed(kind, name) = Entry::of(rest) else {
        return Err(Refusal::invalid("missing plugin type: DELETE sys/plugins/catalog/TYPE/NAME"));
    };
    let key = PluginKey::new(kind.parse()?, name.parse()?, version(&mut fields)?);
    let unversioned = host.plugin(&PluginKey { version: None, ..key.clone() });
    if key.version.is_none() && unversioned.as_ref().is_none_or(is_builtin) {
        let versions = host.plugin_versions(key.kind, &key.name);
        let name = key.name.as_str();
        if !versions.is_empty() {
            let choice = choice_of(&versions);
            return Ok(Reply::warning(format!(
                "no version was specified, and plugin {name:?} has no unversioned entry: nothing was deregistered; \
                 deregister with {choice}"
            )));
        }
        if unversioned.is_some() {
            return Ok(Reply::warning(format!("plugin {name:?} is built in, and stays: nothing was deregistered")));
        }
    }
    host.deregister_plugin(&key).await?;
    Ok(Reply::Done)
}

/// Reads a registration. The type in the path wins over the one in the body, as in Vault.
fn registration(rest: &str, mut fields: Fields) -> Result<Registration, Refusal> {
    let typed_kind = fields.text("type")?;
    let (kind, name) = match Entry::of(rest) {
        Entry::Kind(_) => return Err(Refusal::invalid("missing plugin name")),
        Entry::Typed(kind, name) => (typed_kind_of(kind)?, name),
        Entry::Untyped(name) => (typed_kind_of(typed_kind.as_deref().unwrap_or_default())?, name),
    };
    for (name, why) in UNSUPPORTED {
        fields.refuse(name, why)?;
    }
    let name = name.parse()?;
    let version = version(&mut fields)?;
    let sha256: Digest = match fields.filled_text("sha256")? {
        Some(digest) => digest.parse()?,
        None => fields.text("sha_256")?.unwrap_or_default().parse()?,
    };
    let (command, args) = command(&mut fields)?;
    let instances = instances::policy(&mut fields)?.unwrap_or_default();
    let mut instance_limits = InstanceLimits::default();
    instance_limits.change(&instances::limits(&mut fields)?);
    let env = fields.list("env")?.unwrap_or_default();
    let confinement = confinement(&mut fields)?;
    let launch = Launchable { source: Source::File { command, sha256 }, args, env, confinement };
    Ok(Registration { kind, name, version, launch, instances, instance_limits })
}

/// Reads what a native plugin is confined to. Who names a path means it.
fn confinement(fields: &mut Fields) -> Result<Option<Confinement>, Refusal> {
    let confine = fields.flag("confine")?;
    let mut paths =
        |name| fields.list(name).map(|paths| paths.unwrap_or_default().into_iter().map(PathBuf::from).collect());
    let confinement = Confinement { read: paths("confine_read")?, write: paths("confine_write")? };
    let grants_nothing = confinement == Confinement::default();
    match confine {
        Some(false) if !grants_nothing => {
            Err(Refusal::invalid("confine_read and confine_write confine the plugin, and confine is false"))
        }
        Some(true) => Ok(Some(confinement)),
        _ => Ok((!grants_nothing).then_some(confinement)),
    }
}

/// Reads a type by its word or by the number that older clients send. `None` is for the plugin to say.
fn typed_kind_of(typed: &str) -> Result<Option<PluginKind>, Refusal> {
    match typed {
        "" | "0" | "unknown" => Ok(None),
        "1" => Ok(Some(PluginKind::Auth)),
        "3" => Ok(Some(PluginKind::Secret)),
        word => Ok(Some(word.parse()?)),
    }
}

fn command(fields: &mut Fields) -> Result<(Command, Vec<String>), Refusal> {
    let typed = fields.text("command")?.unwrap_or_default();
    let args = fields.list("args")?.unwrap_or_default();
    let mut words = typed.split_whitespace();
    let command = words.next().unwrap_or_default().parse()?;
    let words: Vec<String> = words.map(str::to_owned).collect();
    match (words.is_empty(), args.is_empty()) {
        (true, _) => Ok((command, args)),
        (false, true) => Ok((command, words)),
        (false, false) => Err(Refusal::invalid("must not specify args in command and args field")),
    }
}

fn version(fields: &mut Fields) -> Result<Option<PluginVersion>, Refusal> {
    Ok(fields.filled_text("version")?.map(|version| version.parse()).transpose()?)
}

fn names(plugins: &[PluginInfo], kind: PluginKind) -> BTreeSet<&str> {
    plugins.iter().filter(|plugin| plugin.key.kind == kind).map(|plugin| plugin.key.name.as_str()).collect()
}

fn is_builtin(plugin: &PluginInfo) -> bool {
    plugin.launch.source == Source::Builtin
}

fn shown_digest(plugin: &PluginInfo) -> String {
    plugin.launch.source.sha256().map(|digest| digest.to_string()).unwrap_or_default()
}

fn shown_version(plugin: &PluginInfo) -> String {
    plugin.key.version.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// A plugin in the listing of all.
#[derive(Serialize)]
struct Detail<'a> {
    builtin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_status: Option<&'static str>,
    /// OpenBao's, shown of what is.
    #[serde(skip_serializing_if = "is_not")]
    declarative: bool,
    instances: &'static str,
    name: &'a str,
    /// Ours, shown of what is.
    #[serde(skip_serializing_if = "is_not")]
    pinned: bool,
    runtime: &'static str,
    sha256: String,
    r#type: &'static str,
    version: String,
}

fn is_not(flag: &bool) -> bool {
    !flag
}

impl<'a> Detail<'a> {
    fn of(plugin: &'a PluginInfo) -> Self {
        Self {
            builtin: is_builtin(plugin),
            deprecation_status: plugin.deprecation_status.map(DeprecationStatus::as_str),
            declarative: plugin.declarative,
            instances: plugin.instances.as_str(),
            name: plugin.key.name.as_str(),
            pinned: plugin.pinned,
            runtime: plugin.found.runtime.as_str(),
            sha256: shown_digest(plugin),
            r#type: plugin.key.kind.as_str(),
            version: shown_version(plugin),
        }
    }
}

/// A plugin by itself.
#[derive(Serialize)]
struct Shown<'a> {
    args: Option<&'a [String]>,
    builtin: bool,
    capabilities: &'a [String],
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confine: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    confine_read: &'a [PathBuf],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    confine_write: &'a [PathBuf],
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_status: Option<&'static str>,
    #[serde(skip_serializing_if = "is_not")]
    declarative: bool,
    imports: &'a [String],
    #[serde(flatten)]
    instances: InstancesView,
    name: &'a str,
    #[serde(skip_serializing_if = "is_not")]
    pinned: bool,
    runtime: &'static str,
    sha256: String,
    version: String,
}

impl<'a> Shown<'a> {
    fn of(plugin: &'a PluginInfo) -> Self {
        let PluginInfo { launch, found, .. } = plugin;
        Self {
            args: (!launch.args.is_empty()).then_some(&launch.args),
            builtin: is_builtin(plugin),
            capabilities: &found.capabilities,
            command: launch.source.command().map(Command::as_str).unwrap_or_default(),
            confine: launch.confinement.as_ref().map(|_| true),
            confine_read: launch.confinement.as_ref().map_or(&[], |confinement| &confinement.read),
            confine_write: launch.confinement.as_ref().map_or(&[], |confinement| &confinement.write),
            deprecation_status: plugin.deprecation_status.map(DeprecationStatus::as_str),
            declarative: plugin.declarative,
            imports: &found.imports,
            instances: InstancesView::of(Some(plugin.instances), &plugin.instance_limits),
            name: plugin.key.name.as_str(),
            pinned: plugin.pinned,
            runtime: plugin.found.runtime.as_str(),
            sha256: shown_digest(plugin),
            version: shown_version(plugin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ErrorKind;
    use crate::plugin::{Found, InstancePolicy, RuntimeKind};

    const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn read(rest: &str, body: &str) -> Result<Registration, Refusal> {
        registration(rest, Fields::parse(body.replace("SHA", SHA256).as_bytes())?)
    }

    #[test]
    fn paths_are_types_and_names() {
        for (rest, entry) in [
            ("secret", Entry::Kind("secret")),
            ("secret/kv", Entry::Typed("secret", "kv")),
            ("auth/a/b", Entry::Typed("auth", "a/b")),
            ("database/x", Entry::Typed("database", "x")),
            ("kv", Entry::Untyped("kv")),
            ("team/secret", Entry::Untyped("team/secret")),
        ] {
            assert_eq!(Entry::of(rest), entry, "{rest}");
        }
    }

    /// Returns a host whose catalog holds `secret/kv` in these versions, and its plugin directory with some file `kv`
    /// in it. An empty version is none.
    async fn host_with(versions: &[&str]) -> (tempfile::TempDir, Host) {
        const SCRIPT: &[u8] = b"#!/bin/sh\n";
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("kv"), SCRIPT).unwrap();
        let plugins = crate::artifact::PluginDirectory::open(directory.path()).unwrap();
        let host = Host::builder().plugin_directory(plugins).build().await.unwrap();
        for version in versions {
            let version = (!version.is_empty()).then(|| version.parse().unwrap());
            host.put_entry("kv".parse().unwrap(), version).await;
        }
        (directory, host)
    }

    /// Returns the answer's version and warning, or the kind and message of the refusal.
    fn told(reply: Result<Reply, Refusal>) -> Result<(String, String), (ErrorKind, String)> {
        match reply.map_err(|refusal| (refusal.kind(), refusal.message().to_owned()))? {
            Reply::Data { data, warnings, .. } => {
                let data: serde_json::Value = serde_json::from_slice(data.as_deref().unwrap_or(b"null")).unwrap();
                Ok((data["version"].as_str().unwrap_or("no data").to_owned(), warnings.concat()))
            }
            _ => Ok(("done".to_owned(), String::new())),
        }
    }

    #[tokio::test]
    async fn who_names_no_version_gets_the_unversioned_plugin_or_is_told() {
        let done = || Ok(("done".to_owned(), String::new()));
        let kept = "no version was specified, and plugin \"kv\" has no unversioned entry: nothing was deregistered; ";
        let kept = |rest: &str| Ok(("no data".to_owned(), format!("{kept}deregister with {rest}")));
        let only = "no version was specified: this is the only one of plugin \"kv\", -version=v0.1.0";
        let several = "no version was specified, and plugin \"kv\" has several; choose one with -version=v0.2.0 or -version=v0.10.0";
        for (versions, shown, removed, left) in [
            (&[][..], Err((ErrorKind::NotFound, String::new())), done(), 0),
            (&[""], Ok((String::new(), String::new())), done(), 0),
            (&["", "0.1.0"], Ok((String::new(), String::new())), done(), 1),
            (&["0.1.0"], Ok(("v0.1.0".to_owned(), only.to_owned())), kept("-version=v0.1.0"), 1),
            (
                &["0.10.0", "0.2.0"],
                Err((ErrorKind::InvalidRequest, several.to_owned())),
                kept("-version=v0.2.0 or -version=v0.10.0"),
                2,
            ),
        ] {
            let (_directory, host) = host_with(versions).await;
            let nothing = || Fields::parse(b"").unwrap();
            assert_eq!(told(super::read(&host, "secret/kv", nothing())), shown, "{versions:?}");
            assert_eq!(
                told(super::read(&host, "auth/kv", nothing())),
                Err((ErrorKind::NotFound, String::new())),
                "{versions:?}"
            );
            assert_eq!(told(deregister(&host, "secret/kv", nothing()).await), removed, "{versions:?}");
            assert_eq!(host.plugins().len(), left, "{versions:?}");
        }
    }

    #[tokio::test]
    async fn a_version_that_is_not_there_is_not_replaced_by_another() {
        let (_directory, host) = host_with(&["0.1.0"]).await;
        let version = |version: &str| Fields::parse(format!(r#"{{"version":"{version}"}}"#).as_bytes()).unwrap();
        assert_eq!(told(super::read(&host, "secret/kv", version("0.2.0"))), Err((ErrorKind::NotFound, String::new())));
        assert!(told(deregister(&host, "secret/kv", version("0.2.0")).await).is_ok());
        assert_eq!(host.plugins().len(), 1);
        assert!(told(deregister(&host, "secret/kv", version("v0.1.0")).await).is_ok());
        assert_eq!(host.plugins().len(), 0);
    }

    #[test]
    fn both_spellings_are_read() {
        let body =
            r#"{"type":"auth","sha_256":"SHA","command":"kv.wasm -v  x","env":["A=b,c"],"version":"1.2.3","args":[]}"#;
        let registration = read("secret/team/kv", body).unwrap();
        assert_eq!(registration.kind, Some(PluginKind::Secret));
        assert_eq!(registration.name.as_str(), "team/kv");
        assert_eq!(registration.launch.source.command().unwrap().as_str(), "kv.wasm");
        assert_eq!(registration.launch.args, ["-v", "x"]);
        assert_eq!(registration.launch.env, ["A=b,c"]);
        assert_eq!(registration.version.unwrap().to_string(), "v1.2.3");
        assert_eq!(registration.instances, InstancePolicy::PerMount);

        for (kind, expected) in [
            ("3", Some(PluginKind::Secret)),
            ("1", Some(PluginKind::Auth)),
            ("0", None),
            ("\"unknown\"", None),
            ("null", None),
            ("\"auth\"", Some(PluginKind::Auth)),
        ] {
            let body = format!(r#"{{"type":{kind},"sha256":"SHA","command":"kv.wasm","instances":"per-request"}}"#);
            let registration = read("kv", &body).unwrap();
            assert_eq!((registration.kind, registration.instances), (expected, InstancePolicy::PerRequest), "{kind}");
        }
    }

    #[test]
    fn who_names_a_path_confines_the_plugin() {
        let confined = |read: &[&str], write: &[&str]| {
            let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
            Some(Confinement { read: paths(read), write: paths(write) })
        };
        for (fields, expected) in [
            ("\"env\":[]", None),
            ("\"confine\":false,\"confine_read\":[]", None),
            ("\"confine\":true", confined(&[], &[])),
            ("\"confine\":\"1\",\"confine_write\":null", confined(&[], &[])),
            ("\"confine_read\":[\"/a\",\"/b,c\"]", confined(&["/a", "/b,c"], &[])),
            ("\"confine\":true,\"confine_write\":\"/a\"", confined(&[], &["/a"])),
        ] {
            let registration = read("secret/kv", &format!(r#"{{"sha256":"SHA","command":"kv",{fields}}}"#)).unwrap();
            assert_eq!(registration.launch.confinement, expected, "{fields}");
        }
    }

    #[test]
    fn a_confinement_is_shown_where_there_is_one() {
        let source = Source::File { command: "kv".parse().unwrap(), sha256: SHA256.parse().unwrap() };
        let mut plugin = PluginInfo {
            key: PluginKey::new(PluginKind::Secret, "kv".parse().unwrap(), None),
            launch: Launchable::new(source),
            instances: InstancePolicy::PerMount,
            instance_limits: InstanceLimits::default(),
            found: Found { runtime: RuntimeKind::Native, capabilities: Vec::new(), imports: Vec::new() },
            deprecation_status: None,
            pinned: false,
            declarative: false,
        };
        let shown = |plugin: &PluginInfo| serde_json::to_value(Shown::of(plugin)).unwrap();
        assert!(!shown(&plugin).to_string().contains("confine"));
        plugin.launch.confinement = Some(Confinement { read: vec!["/etc/ssl".into()], write: Vec::new() });
        let confined = shown(&plugin);
        assert_eq!((&confined["confine"], &confined["confine_read"]), (&true.into(), &serde_json::json!(["/etc/ssl"])));
        assert_eq!(confined.get("confine_write"), None);
    }

    #[tokio::test]
    async fn a_confinement_grants_absolute_paths() {
        let (_directory, host) = host_with(&[]).await;
        for (fields, because) in [
            (r#""confine_read":["etc"]"#, "the path \"etc\" that the plugin is to be granted must start with '/'"),
            (r#""confine_write":["/a/../b"]"#, "must not hold \"..\""),
            (r#""confine_write":["/a\u0000"]"#, "holds what no path should hold"),
            (r#""confine_read":["/a",""]"#, "must start with '/'"),
        ] {
            let body = format!(r#"{{"sha256":"{}","command":"kv",{fields}}}"#, Digest::of(b"#!/bin/sh\n"));
            let body = Fields::parse(body.as_bytes()).unwrap();
            let refusal = register(&host, "secret/kv", body).await.map(drop).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidRequest, "{fields}");
            assert!(refusal.message().contains(because), "{fields}: {}", refusal.message());
        }
    }

    #[tokio::test]
    async fn a_component_is_not_confined_but_refused() {
        const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
        let (directory, host) = host_with(&[]).await;
        std::fs::write(directory.path().join("kv.wasm"), COMPONENT).unwrap();
        let body = format!(r#"{{"sha256":"{}","command":"kv.wasm","confine":true}}"#, Digest::of(COMPONENT));
        let refusal =
            register(&host, "secret/kv", Fields::parse(body.as_bytes()).unwrap()).await.map(drop).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::InvalidRequest);
        assert!(refusal.message().contains("a component cannot be confined further"), "{}", refusal.message());
    }

    #[test]
    fn refusals_use_vaults_words() {
        for (rest, body, message) in [
            ("secret", "{}", "missing plugin name"),
            ("secret/kv", "", "missing SHA-256 value"),
            ("secret/kv", r#"{"sha256":"abc","command":"x"}"#, "Could not decode SHA-256 value from Hex"),
            ("secret/kv", r#"{"sha256":"SHA"}"#, "missing command value"),
            (
                "secret/kv",
                r#"{"sha256":"SHA","command":"x y","args":["z"]}"#,
                "must not specify args in command and args field",
            ),
            ("secret/kv", r#"{"sha256":"SHA","command":"../x"}"#, "path cannot contain parent references"),
            ("secret/kv", r#"{"version":"1.x"}"#, "version \"1.x\" is not a valid semantic version"),
            ("database/kv", "{}", "\"database\" is not a supported plugin type"),
            ("kv", r#"{"type":2}"#, "is not a supported plugin type"),
            ("secret/kv", r#"{"oci_image":"x"}"#, "\"oci_image\" is not supported"),
            ("secret/kv", r#"{"runtime":"gvisor"}"#, "\"runtime\" is not supported"),
            ("secret/kv", r#"{"download":true}"#, "\"download\" is not supported"),
            ("secret/kv", r#"{"sha256":"SHA","command":"x","instances":"many"}"#, "is not an instance policy"),
            ("secret/kv", r#"{"sha256":"SHA","command":"x","env":{}}"#, "\"env\" must be a list"),
            ("secret/kv", r#"{"sha256":"SHA","command":"x","confine":"maybe"}"#, "\"confine\" must be true or false"),
            (
                "secret/kv",
                r#"{"sha256":"SHA","command":"x","confine":false,"confine_read":"/a"}"#,
                "and confine is false",
            ),
        ] {
            let refusal = read(rest, body).map(|_| ()).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidRequest, "{body}");
            assert!(refusal.message().contains(message), "{body}: {}", refusal.message());
        }
    }
}
