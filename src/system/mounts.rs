//! `sys/mounts`, `sys/auth`, `sys/remount` and `sys/internal/ui/mounts`: where plugins are mounted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fields::Fields;
use super::migrations::{MigrationEnd, Migrations};
use super::mount_body::{mount_request, tuning};
use super::mount_view::{MatchedView, MountView, PublicView, TuningView};
use super::refusal::Refusal;
use super::reply::Reply;
use crate::host::{Host, MountInfo};
use crate::ident::{MountPath, PluginKind, RequestPath};
use crate::request::Caller;

/// Lists the mounts of a kind.
pub(super) fn list(host: &Host, kind: PluginKind) -> Reply {
    let mounts = host.mounts();
    Reply::data_and_top(&of_kind(&mounts, kind, MountView::of))
}

/// Shows one mount of a kind.
pub(super) fn read(host: &Host, kind: PluginKind, name: &str) -> Result<Reply, Refusal> {
    let name: MountPath = name.parse()?;
    let mount = host.mount(&kind.mount_path(&name)?).filter(|mount| mount.settings.kind == kind);
    let mount = mount.ok_or_else(|| match kind {
        PluginKind::Auth => Refusal::invalid(format!("No auth engine at {name}")),
        PluginKind::Secret => Refusal::invalid(format!("No secret engine mount at {name}")),
    })?;
    Ok(Reply::data_and_top(&MountView::of(&mount)))
}

/// Mounts a plugin of a kind.
pub(super) async fn enable(host: &Host, kind: PluginKind, name: &str, fields: Fields) -> Result<Reply, Refusal> {
    host.enable(mount_request(kind, &name.parse()?, fields)?).await?;
    Ok(Reply::Done)
}

/// Disables a mount of a kind.
pub(super) async fn disable(host: &Host, kind: PluginKind, name: &str) -> Result<Reply, Refusal> {
    let path = kind.mount_path(&name.parse()?)?;
    if path.kind() != kind {
        // An auth method, by the path that disables secrets engines: Vault protects it there.
        return Err(Refusal::invalid(format!("cannot unmount {:?}", path.as_str())));
    }
    host.disable(&path).await?;
    Ok(Reply::Done)
}

/// Shows a mount's settings. Those of an auth method are asked for by its name or, below `sys/mounts/`, by its whole
/// path.
pub(super) fn read_tuning(host: &Host, kind: PluginKind, name: &str) -> Result<Reply, Refusal> {
    let path = kind.mount_path(&name.parse()?)?;
    let mount = host.mount(&path).ok_or_else(|| Refusal::invalid(format!("no mount at {path}")))?;
    Ok(Reply::data_and_top(&TuningView::of(&mount, host.effective_ttls(&mount.settings.config))))
}

/// Changes a mount's settings.
pub(super) async fn tune(host: &Host, kind: PluginKind, name: &str, fields: Fields) -> Result<Reply, Refusal> {
    host.tune(&kind.mount_path(&name.parse()?)?, tuning(fields)?).await?;
    Ok(Reply::Done)
}

/// Moves a mount.
///
/// As in Vault, a move that cannot be begun is refused, and one that fails on the way is answered with an id whose
/// status is failure. The reason stands in a warning, which Vault leaves to its log.
pub(super) async fn remount(host: &Host, migrations: &Migrations, mut fields: Fields) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Started {
        migration_id: String,
    }
    let (Some(from), Some(to)) = (fields.filled_text("from")?, fields.filled_text("to")?) else {
        return Err(Refusal::invalid("both 'from' and 'to' path must be specified as a string"));
    };
    let (from, to): (MountPath, MountPath) = (from.parse()?, to.parse()?);
    let (end, warning) = match host.remount(&from, &to).await.map_err(Refusal::from) {
        Ok(()) => (
            MigrationEnd::Success,
            "Mount move has finished. Its status is kept under the returned migration ID".to_owned(),
        ),
        Err(refusal) if refusal.blames_the_client() => return Err(refusal),
        Err(refusal) => (MigrationEnd::Failure, format!("Mount move has failed: {}", refusal.message())),
    };
    let migration_id = migrations.record(from, to, end);
    Ok(Reply::data_and_top(&Started { migration_id }).with_warning(warning))
}

/// Shows how a move ended.
pub(super) fn migration(migrations: &Migrations, id: &str) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Shown<'a> {
        migration_id: &'a str,
        migration_info: Info<'a>,
    }
    #[derive(Serialize)]
    struct Info<'a> {
        source_mount: &'a str,
        status: &'static str,
        target_mount: &'a str,
    }
    let migration = migrations.find(id).ok_or_else(Refusal::nothing_there)?;
    let info = Info {
        source_mount: migration.from.as_str(),
        status: migration.end.as_str(),
        target_mount: migration.to.as_str(),
    };
    Ok(Reply::data(&Shown { migration_id: id, migration_info: info }))
}

/// Lists the mounts that a user interface may show: without a token only those that are marked as visible to everyone.
pub(super) fn visible(host: &Host, caller: &Caller) -> Reply {
    #[derive(Serialize)]
    struct Visible<'a, V> {
        auth: BTreeMap<&'a str, V>,
        secret: BTreeMap<&'a str, V>,
    }
    match caller {
        Caller::Known(_) => {
            let mounts = host.mounts();
            Reply::data(&Visible {
                auth: of_kind(&mounts, PluginKind::Auth, MountView::of),
                secret: of_kind(&mounts, PluginKind::Secret, MountView::of),
            })
        }
        Caller::Anonymous => {
            let mounts = host.public_mounts();
            Reply::data(&Visible {
                auth: of_kind(&mounts, PluginKind::Auth, PublicView::of),
                secret: of_kind(&mounts, PluginKind::Secret, PublicView::of),
            })
        }
    }
}

/// Shows the mount that would answer a request for a path. Vault's client asks before it reads or writes a key.
pub(super) fn preflight(host: &Host, path: &str) -> Result<Reply, Refusal> {
    // The path of a mount itself comes without its slash, as all of these paths do.
    let inside: RequestPath = format!("{path}/").parse()?;
    let mount = host.mount_of(&inside).ok_or_else(|| {
        // Vault's words: it keeps apart neither what is missing nor what is forbidden.
        let message = format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}/\""
        );
        Refusal::denied(message)
    })?;
    Ok(Reply::data(&MatchedView::of(&mount)))
}

fn of_kind<'a, V>(mounts: &'a [MountInfo], kind: PluginKind, view: fn(&'a MountInfo) -> V) -> BTreeMap<&'a str, V> {
    mounts.iter().filter(|mount| mount.settings.kind == kind).map(|mount| (mount.path.name(), view(mount))).collect()
}
