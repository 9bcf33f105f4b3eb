//! `sys/plugins/catalog`: what may be mounted.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Reply;
use crate::host::{Host, PluginInfo, Registration};
use crate::http::answer::Placement;
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::ident::{Command, Digest, PluginKind, PluginName, PluginVersion};

/// First segments that are a type and not part of a name. Vault has no types by the words `database` and `unknown` here, yet its
/// clients send them.
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
        Entry::Untyped(name) => {
            let warning = format!("Deprecated API endpoint, cannot read plugin information from catalog for {name:?}");
            Ok(Reply::Data { data: None, placement: Placement::Data, warnings: vec![warning] })
        }
        Entry::Typed(kind, name) => {
            let version = version(&mut fields)?;
            let name: PluginName = name.parse()?;
            let plugin = host.plugin(kind.parse()?, &name, version.as_ref()).ok_or_else(Refusal::nothing_there)?;
            Ok(Reply::data(&Shown::of(&plugin)))
        }
    }
}

/// Puts a plugin into the catalog, and shows what was found in it: more than Vault says, whose clients ignore it.
pub(super) async fn register(host: &Host, rest: &str, fields: Fields) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Registered<'a> {
        capabilities: &'a [String],
        imports: &'a [String],
        instances: &'static str,
        name: &'a str,
        runtime: &'static str,
        sha256: String,
        r#type: &'static str,
        version: String,
    }
    let plugin = host.register_plugin(registration(rest, fields)?).await?;
    Ok(Reply::data(&Registered {
        capabilities: &plugin.capabilities,
        imports: &plugin.imports,
        instances: plugin.instances.as_str(),
        name: plugin.name.as_str(),
        runtime: plugin.runtime.as_str(),
        sha256: plugin.sha256.to_string(),
        r#type: plugin.kind.as_str(),
        version: shown_version(&plugin),
    }))
}

/// Takes a plugin out of the catalog. One that is not there is out already.
pub(super) async fn deregister(host: &Host, rest: &str, mut fields: Fields) -> Result<Reply, Refusal> {
    let Entry::Typed(kind, name) = Entry::of(rest) else {
        return Err(Refusal::invalid("missing plugin type: DELETE sys/plugins/catalog/TYPE/NAME"));
    };
    let version = version(&mut fields)?;
    host.deregister_plugin(kind.parse()?, &name.parse()?, version.as_ref()).await?;
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
    let instances = fields.text("instances")?.unwrap_or_default().parse().map_err(Refusal::invalid)?;
    let env = fields.list("env")?.unwrap_or_default();
    Ok(Registration { kind, name, version, command, args, env, sha256, instances })
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
    plugins.iter().filter(|plugin| plugin.kind == kind).map(|plugin| plugin.name.as_str()).collect()
}

fn shown_version(plugin: &PluginInfo) -> String {
    plugin.version.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// A plugin in the listing of all.
#[derive(Serialize)]
struct Detail<'a> {
    builtin: bool,
    instances: &'static str,
    name: &'a str,
    runtime: &'static str,
    sha256: String,
    r#type: &'static str,
    version: String,
}

impl<'a> Detail<'a> {
    fn of(plugin: &'a PluginInfo) -> Self {
        Self {
            builtin: false,
            instances: plugin.instances.as_str(),
            name: plugin.name.as_str(),
            runtime: plugin.runtime.as_str(),
            sha256: plugin.sha256.to_string(),
            r#type: plugin.kind.as_str(),
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
    imports: &'a [String],
    instances: &'static str,
    name: &'a str,
    runtime: &'static str,
    sha256: String,
    version: String,
}

impl<'a> Shown<'a> {
    fn of(plugin: &'a PluginInfo) -> Self {
        Self {
            args: (!plugin.args.is_empty()).then_some(&plugin.args),
            builtin: false,
            capabilities: &plugin.capabilities,
            command: plugin.command.as_str(),
            imports: &plugin.imports,
            instances: plugin.instances.as_str(),
            name: plugin.name.as_str(),
            runtime: plugin.runtime.as_str(),
            sha256: plugin.sha256.to_string(),
            version: shown_version(plugin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::InstancePolicy;

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

    #[test]
    fn both_spellings_are_read() {
        let body =
            r#"{"type":"auth","sha_256":"SHA","command":"kv.wasm -v  x","env":["A=b,c"],"version":"1.2.3","args":[]}"#;
        let registration = read("secret/team/kv", body).unwrap();
        assert_eq!(registration.kind, Some(PluginKind::Secret));
        assert_eq!(registration.name.as_str(), "team/kv");
        assert_eq!(registration.command.as_str(), "kv.wasm");
        assert_eq!(registration.args, ["-v", "x"]);
        assert_eq!(registration.env, ["A=b,c"]);
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
            ("secret/kv", r#"{"version":"1.2.3+builtin"}"#, "'builtin' is a reserved metadata identifier"),
            ("database/kv", "{}", "\"database\" is not a supported plugin type"),
            ("kv", r#"{"type":2}"#, "is not a supported plugin type"),
            ("secret/kv", r#"{"oci_image":"x"}"#, "\"oci_image\" is not supported"),
            ("secret/kv", r#"{"runtime":"gvisor"}"#, "\"runtime\" is not supported"),
            ("secret/kv", r#"{"download":true}"#, "\"download\" is not supported"),
            ("secret/kv", r#"{"sha256":"SHA","command":"x","instances":"many"}"#, "is not an instance policy"),
            ("secret/kv", r#"{"sha256":"SHA","command":"x","env":{}}"#, "\"env\" must be a list"),
        ] {
            let refusal = read(rest, body).map(|_| ()).unwrap_err();
            assert_eq!(refusal.status().as_u16(), 400, "{body}");
            assert!(refusal.message().contains(message), "{body}: {}", refusal.message());
        }
    }
}
