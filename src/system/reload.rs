//! `sys/plugins/reload`: starting mounts again, by their plugin or by their paths.
//!
//! As in Vault, a reload is answered with an id whose status can be asked for. Here it has ended by then on the one
//! node that there is, whatever its scope.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::fields::Fields;
use super::refusal::Refusal;
use super::reply::Reply;
use crate::host::{Host, ReloadedMount};
use crate::ident::{MountPath, PluginKind, PluginName};

/// Reloads that are remembered. Clients ask within seconds; nobody reloads so often in that time.
const RELOADS_KEPT_MAX: usize = 256;

/// The word for every node in place of the one that was asked.
const GLOBAL: &str = "global";

/// The latest reloads, oldest first, and when each had ended.
#[derive(Default)]
pub(super) struct Reloads(Mutex<VecDeque<(String, Timestamp)>>);

impl Reloads {
    /// Remembers a reload under a new id and returns the id. The oldest one is forgotten when there are too many.
    fn record(&self, ended: Timestamp) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let mut kept = self.kept();
        if kept.len() == RELOADS_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((id.clone(), ended));
        id
    }

    fn find(&self, id: &str) -> Option<Timestamp> {
        self.kept().iter().find(|(kept, _)| kept == id).map(|(_, ended)| *ended)
    }

    /// Nothing panics while it holds the lock, and a record is whole at any moment: poison says nothing here.
    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reloads what the body names: all mounts of a plugin, or mounts by their paths.
pub(super) async fn backend(host: &Host, reloads: &Reloads, mut fields: Fields) -> Result<Reply, Refusal> {
    let scope = Scope::read(&mut fields)?;
    let plugin = fields.filled_text("plugin")?;
    let mounts = mounts(&mut fields)?;
    let reloaded = match plugin {
        Some(_) if !mounts.is_empty() => {
            return Err(Refusal::invalid("plugin and mounts cannot be set at the same time"));
        }
        None if mounts.is_empty() => return Err(Refusal::invalid("plugin or mounts must be provided")),
        Some(plugin) => host.reload_plugin(None, &plugin.parse()?).await?,
        None => host.reload_mounts(&mounts).await?,
    };
    answer(reloads, scope, &reloaded)
}

/// Reloads all mounts of the plugin in the path, `TYPE/NAME`. The type `unknown` stands for any.
pub(super) async fn plugin(host: &Host, reloads: &Reloads, rest: &str, mut fields: Fields) -> Result<Reply, Refusal> {
    let scope = Scope::read(&mut fields)?;
    let (kind, name) = rest.split_once('/').ok_or_else(|| Refusal::invalid("missing plugin name"))?;
    let kind: Option<PluginKind> = if kind == "unknown" { None } else { Some(kind.parse()?) };
    let name: PluginName = name.parse()?;
    let reloaded = host.reload_plugin(kind, &name).await?;
    answer(reloads, scope, &reloaded)
}

/// Says how a reload ended on each node, which is this one.
pub(super) fn status(host: &Host, reloads: &Reloads, mut fields: Fields) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Status {
        reload_id: String,
        results: BTreeMap<String, OnNode>,
    }
    #[derive(Serialize)]
    struct OnNode {
        error: &'static str,
        timestamp: String,
    }
    let id = fields.filled_text("reload_id")?.ok_or_else(|| Refusal::invalid("reload_id must be provided"))?;
    let ended = reloads.find(&id).ok_or_else(Refusal::nothing_there)?;
    // One that failed was answered with an error, and has no id.
    let here = OnNode { error: "", timestamp: ended.to_string() };
    Ok(Reply::data(&Status { reload_id: id, results: BTreeMap::from([(node_id(host), here)]) }))
}

/// Returns what tells this node from others: its own mount's id, which stays as long as its storage.
fn node_id(host: &Host) -> String {
    let system = "sys".parse().ok().and_then(|path: MountPath| host.mount(&path));
    system.map(|system| system.uuid.to_string()).unwrap_or_default()
}

/// Which nodes are to reload. With one node the two differ in the answer's status only, which Vault's clients look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Here,
    Global,
}

impl Scope {
    fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        match fields.filled_text("scope")?.as_deref() {
            None => Ok(Self::Here),
            Some(GLOBAL) => Ok(Self::Global),
            Some(_) => Err(Refusal::invalid("reload scope must be omitted or 'global'")),
        }
    }
}

/// Reads the mounts' paths, each once. As in Vault, an auth method's may be whole or as its endpoint has it: `auth/a`,
/// `sys/auth/a`.
fn mounts(fields: &mut Fields) -> Result<Vec<MountPath>, Refusal> {
    let typed = fields.comma_list("mounts")?.unwrap_or_default();
    // Vault's command leaves a list with commas in it to the server.
    let typed = typed.iter().flat_map(|typed| typed.split(',')).map(str::trim).filter(|typed| !typed.is_empty());
    let paths: Result<BTreeSet<MountPath>, _> = typed
        .map(|typed| if typed.starts_with("sys/auth/") { &typed["sys/".len()..] } else { typed }.parse())
        .collect();
    Ok(paths?.into_iter().collect())
}

/// Answers with an id, or with the mounts that go on as they were. A status that clients take for a passing trouble
/// would make them reload three times.
fn answer(reloads: &Reloads, scope: Scope, reloaded: &[ReloadedMount]) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Reloaded {
        reload_id: String,
    }
    let failed: Vec<String> = reloaded
        .iter()
        .filter_map(|mount| Some((mount.path.as_str(), mount.failure.as_ref()?)))
        .map(|(path, why)| format!("cannot reload plugin on {path:?}: {why}; the mount goes on with what it ran"))
        .collect();
    if !failed.is_empty() {
        let done: Vec<&str> =
            reloaded.iter().filter(|mount| mount.failure.is_none()).map(|mount| mount.path.as_str()).collect();
        let done = if done.is_empty() { String::new() } else { format!("; reloaded: {}", done.join(", ")) };
        return Err(Refusal::invalid(format!("{}{done}", failed.join("; "))));
    }
    let reply = Reply::data(&Reloaded { reload_id: reloads.record(Timestamp::now()) });
    let reply = if reloaded.is_empty() { reply.with_warning("no plugins were reloaded") } else { reply };
    Ok(match scope {
        Scope::Here => reply,
        Scope::Global => reply.accepted(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ErrorKind;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    fn reloaded(path: &str, failure: Option<&str>) -> ReloadedMount {
        ReloadedMount { path: path.parse().unwrap(), failure: failure.map(str::to_owned) }
    }

    #[test]
    fn mounts_are_named_as_vault_takes_them() {
        let body = r#"{"mounts":["kv","kv/,b","auth/userpass","sys/auth/userpass/"," "]}"#;
        let paths = mounts(&mut fields(body)).unwrap();
        let paths: Vec<&str> = paths.iter().map(MountPath::as_str).collect();
        assert_eq!(paths, ["auth/userpass/", "b/", "kv/"]);
        assert_eq!(mounts(&mut fields(r#"{"mounts":"a, b"}"#)).unwrap().len(), 2);
    }

    #[test]
    fn a_mount_that_goes_on_is_named_with_the_reason() {
        let reloads = Reloads::default();
        let some = [reloaded("a", None), reloaded("b", Some("the file is gone"))];
        let refusal = answer(&reloads, Scope::Global, &some).map(drop).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::InvalidRequest);
        let said = "cannot reload plugin on \"b/\": the file is gone; the mount goes on with what it ran; reloaded: a/";
        assert_eq!(refusal.message(), said);
        assert!(reloads.kept().is_empty());
    }

    #[test]
    fn the_latest_are_remembered() {
        let reloads = Reloads::default();
        let first = reloads.record(Timestamp::UNIX_EPOCH);
        assert_eq!(reloads.find(&first), Some(Timestamp::UNIX_EPOCH));
        for _ in 0..RELOADS_KEPT_MAX {
            reloads.record(Timestamp::UNIX_EPOCH);
        }
        assert_eq!((reloads.find(&first), reloads.kept().len()), (None, RELOADS_KEPT_MAX));
    }

    #[tokio::test]
    async fn refusals_use_vaults_words() {
        let host = Host::builder().build().await.unwrap();
        let reloads = Reloads::default();
        for (body, message) in [
            (r#"{"plugin":"a","mounts":["b"]}"#, "plugin and mounts cannot be set at the same time"),
            ("", "plugin or mounts must be provided"),
            (r#"{"plugin":"","mounts":[]}"#, "plugin or mounts must be provided"),
            (r#"{"plugin":"a","scope":"here"}"#, "reload scope must be omitted or 'global'"),
            (r#"{"plugin":"a"}"#, "plugin not found in the catalog: a"),
            (r#"{"mounts":"a"}"#, "no mount at a/"),
        ] {
            let refusal = backend(&host, &reloads, fields(body)).await.map(drop).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidRequest, "{body}");
            assert!(refusal.message().contains(message), "{body}: {}", refusal.message());
        }
        for (rest, message) in [
            ("secret", "missing plugin name"),
            ("database/a", "\"database\" is not a supported plugin type"),
            ("unknown/a", "plugin not found in the catalog: a"),
        ] {
            let refusal = plugin(&host, &reloads, rest, fields("")).await.map(drop).unwrap_err();
            assert!(refusal.message().contains(message), "{rest}: {}", refusal.message());
        }
        // What is in the catalog and nowhere mounted is nothing to be alarmed about.
        host.put_entry("a".parse().unwrap(), None).await;
        let Ok(Reply::Data { warnings, .. }) = plugin(&host, &reloads, "unknown/a", fields("")).await else { panic!() };
        assert_eq!(warnings, ["no plugins were reloaded"]);
    }
}
