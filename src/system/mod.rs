//! Vault's API to the host itself, `sys/` and `auth/token/`: the catalog, mounts, tokens, and what a client asks of the
//! server.
//!
//! The host asks it as it asks a mount, so it knows nothing of HTTP and is not asked who may. One `Route` a path, one
//! `match` for what each takes, one file for each subject behind it.

mod catalog;
mod fields;
mod help;
mod instances;
mod metrics;
mod migrations;
mod mount_body;
mod mount_view;
mod mounts;
mod pins;
mod refusal;
mod reload;
mod reply;
mod status;
mod token;
#[cfg(feature = "process")]
mod wrapping;

use async_trait::async_trait;

use crate::host::{Admission, Answer, AnsweredBy, Error, Host, SystemBackend, TokenType};
use crate::ident::{MountPath, PluginKind, RequestPath};
use crate::request::{Operation, Request};
use fields::Fields;
use migrations::Migrations;
use refusal::Refusal;
use reload::Reloads;
use reply::Reply;

/// What the API says of the server it runs in.
#[derive(Debug, Clone, Default)]
pub struct ServerInfo {
    /// The server's version.
    pub version: String,
    /// What it stores its data in, such as `file` or `inmem`.
    pub storage_type: String,
    /// A name for people.
    pub cluster_name: String,
    /// The address by which clients reach this server, such as `https://vault.example:8200`.
    pub api_addr: String,
}

/// Vault's API to a host itself. Given to [`HostBuilder::system`](crate::HostBuilder::system), it answers at `sys/` and
/// `auth/token/`.
pub struct SystemApi {
    info: ServerInfo,
    migrations: Migrations,
    reloads: Reloads,
}

impl SystemApi {
    /// Returns the API of a host that runs in this server.
    pub fn new(info: ServerInfo) -> Self {
        Self { info, migrations: Migrations::default(), reloads: Reloads::default() }
    }
}

#[async_trait]
impl SystemBackend for SystemApi {
    fn admission(&self, path: &RequestPath) -> Admission {
        Route::of(path.as_str()).map_or(Admission::Closed, Route::admission)
    }

    async fn handle(&self, host: &Host, request: &Request) -> Result<Answer, Error> {
        let path = request.path.as_str();
        let route = Route::of(path).ok_or_else(|| Refusal::no_route(path))?;
        let fields = Fields::parse(&request.data)?;
        let reply = dispatch(self, host, route, request, fields).await?;
        Ok(reply.into_answer(answered_by(path)?, route.admission() != Admission::Closed))
    }
}

/// Returns what answers a path of the host's own.
fn answered_by(path: &str) -> Result<AnsweredBy, Refusal> {
    let path: MountPath = if path.starts_with("auth/") { "auth/token" } else { "sys" }.parse()?;
    Ok(AnsweredBy { kind: path.kind(), path, token_type: TokenType::default() })
}

/// What a path below `sys/` stands for, with the rest of the path where it names something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Health,
    Init,
    SealStatus,
    Leader,
    Metrics,
    Catalog,
    CatalogEntry(&'a str),
    Pins,
    /// Of a type and a name.
    Pin(&'a str),
    Reload,
    ReloadStatus,
    /// Of a type and a name.
    ReloadPlugin(&'a str),
    /// All mounts of a kind.
    Mounts(PluginKind),
    /// One of them.
    Mount(PluginKind, &'a str),
    /// Its settings.
    Tune(PluginKind, &'a str),
    Remount,
    Migration(&'a str),
    VisibleMounts,
    Preflight(&'a str),
    /// What a wrapping token stands for.
    #[cfg(feature = "process")]
    Unwrap,
    /// The caller's own token.
    OwnToken,
    /// The token in the body.
    Token,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        match path {
            "auth/token/lookup-self" => return Some(Route::OwnToken),
            "auth/token/lookup" => return Some(Route::Token),
            _ => {}
        }
        let path = path.strip_prefix("sys/")?.trim_end_matches('/');
        let below = |prefix| path.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        match path {
            "health" => Some(Route::Health),
            "init" => Some(Route::Init),
            "seal-status" => Some(Route::SealStatus),
            "leader" => Some(Route::Leader),
            "metrics" => Some(Route::Metrics),
            "plugins/catalog" => Some(Route::Catalog),
            "plugins/pins" => Some(Route::Pins),
            "plugins/reload/backend" => Some(Route::Reload),
            "plugins/reload/backend/status" => Some(Route::ReloadStatus),
            "mounts" => Some(Route::Mounts(PluginKind::Secret)),
            "auth" => Some(Route::Mounts(PluginKind::Auth)),
            "remount" => Some(Route::Remount),
            "internal/ui/mounts" => Some(Route::VisibleMounts),
            #[cfg(feature = "process")]
            "wrapping/unwrap" => Some(Route::Unwrap),
            _ => below("plugins/catalog/")
                .map(Route::CatalogEntry)
                .or_else(|| below("plugins/pins/").map(Route::Pin))
                .or_else(|| below("plugins/reload/").map(Route::ReloadPlugin))
                .or_else(|| below("mounts/").map(|path| Route::mount(PluginKind::Secret, path)))
                .or_else(|| below("auth/").map(|path| Route::mount(PluginKind::Auth, path)))
                .or_else(|| below("remount/status/").map(Route::Migration))
                .or_else(|| below("internal/ui/mounts/").map(Route::Preflight)),
        }
    }

    /// A mount whose own path ends in `tune` cannot be told from the tuning of another; Vault reads it so, too.
    fn mount(kind: PluginKind, path: &'a str) -> Self {
        path.strip_suffix("/tune").map_or(Route::Mount(kind, path), |path| Route::Tune(kind, path))
    }

    /// Returns how far callers are heard that nobody knows.
    fn admission(self) -> Admission {
        match self {
            Route::Health | Route::Init | Route::SealStatus | Route::Leader | Route::VisibleMounts => {
                Admission::WithoutBody
            }
            // The wrapping token is all that is asked for, and comes in the body, or where a caller's own would.
            #[cfg(feature = "process")]
            Route::Unwrap => Admission::Open,
            _ => Admission::Closed,
        }
    }
}

async fn dispatch(
    api: &SystemApi,
    host: &Host,
    route: Route<'_>,
    request: &Request,
    fields: Fields,
) -> Result<Reply, Refusal> {
    use Operation::{Delete, List, Read, Update};
    let SystemApi { info, migrations, reloads } = api;
    match (route, request.operation) {
        (route, Operation::Help) => Ok(help::of(route)),
        (Route::Health, Read) => status::health(info, fields),
        (Route::Init, Read) => Ok(status::init()),
        (Route::SealStatus, Read) => Ok(status::seal_status(info)),
        (Route::Leader, Read) => Ok(status::leader(info)),
        (Route::Metrics, Read) => metrics::read(host, fields).await,
        (Route::Catalog, Read | List) => Ok(catalog::list(host)),
        (Route::CatalogEntry(rest), List) => catalog::list_kind(host, rest),
        (Route::CatalogEntry(rest), Read) => catalog::read(host, rest, fields),
        (Route::CatalogEntry(rest), Update) => catalog::register(host, rest, fields).await,
        (Route::CatalogEntry(rest), Delete) => catalog::deregister(host, rest, fields).await,
        (Route::Pins, Read | List) => Ok(pins::list(host)),
        (Route::Pin(rest), Read) => pins::read(host, rest),
        (Route::Pin(rest), Update) => pins::pin(host, rest, fields).await,
        (Route::Pin(rest), Delete) => pins::unpin(host, rest).await,
        (Route::Reload, Update) => reload::backend(host, reloads, fields).await,
        (Route::ReloadStatus, Read) => reload::status(host, reloads, fields),
        (Route::ReloadPlugin(rest), Update) => reload::plugin(host, reloads, rest, fields).await,
        (Route::Mounts(kind), Read) => Ok(mounts::list(host, kind)),
        (Route::Mount(kind, path), Read) => mounts::read(host, kind, path),
        (Route::Mount(kind, path), Update) => mounts::enable(host, kind, path, fields).await,
        (Route::Mount(kind, path), Delete) => mounts::disable(host, kind, path).await,
        (Route::Tune(kind, path), Read) => mounts::read_tuning(host, kind, path),
        (Route::Tune(kind, path), Update) => mounts::tune(host, kind, path, fields).await,
        (Route::Remount, Update) => mounts::remount(host, migrations, fields).await,
        (Route::Migration(id), Read) => mounts::migration(migrations, id),
        (Route::VisibleMounts, Read) => Ok(mounts::visible(host, &request.caller)),
        (Route::Preflight(path), Read) => mounts::preflight(host, path),
        #[cfg(feature = "process")]
        (Route::Unwrap, Update) => wrapping::unwrap(host, request, fields),
        (Route::OwnToken, Read | Update) => token::own(request),
        (Route::Token, Update) => token::any(host, request, fields).await,
        _ => Err(Refusal::unsupported_operation()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_routes() {
        use PluginKind::{Auth, Secret};
        for (path, route) in [
            ("sys/health", Some(Route::Health)),
            ("sys/mounts", Some(Route::Mounts(Secret))),
            ("sys/mounts/", Some(Route::Mounts(Secret))),
            ("sys/mounts/a", Some(Route::Mount(Secret, "a"))),
            ("sys/mounts/team/a/", Some(Route::Mount(Secret, "team/a"))),
            ("sys/mounts/team/a/tune", Some(Route::Tune(Secret, "team/a"))),
            ("sys/mounts/tune", Some(Route::Mount(Secret, "tune"))),
            ("sys/mounts/auth/a/tune", Some(Route::Tune(Secret, "auth/a"))),
            ("sys/auth", Some(Route::Mounts(Auth))),
            ("sys/auth/userpass", Some(Route::Mount(Auth, "userpass"))),
            ("sys/auth/userpass/tune", Some(Route::Tune(Auth, "userpass"))),
            ("sys/authors", None),
            ("sys/plugins/catalog", Some(Route::Catalog)),
            ("sys/plugins/catalog/secret/", Some(Route::CatalogEntry("secret"))),
            ("sys/plugins/catalog/secret/a/b", Some(Route::CatalogEntry("secret/a/b"))),
            ("sys/plugins/pins", Some(Route::Pins)),
            ("sys/plugins/pins/secret/a/b", Some(Route::Pin("secret/a/b"))),
            ("sys/plugins/reload/backend", Some(Route::Reload)),
            ("sys/plugins/reload/backend/status", Some(Route::ReloadStatus)),
            ("sys/plugins/reload/secret/a/b", Some(Route::ReloadPlugin("secret/a/b"))),
            ("sys/plugins/reload", None),
            ("sys/remount", Some(Route::Remount)),
            ("sys/remount/status/x", Some(Route::Migration("x"))),
            ("sys/remount/status", None),
            ("sys/internal/ui/mounts", Some(Route::VisibleMounts)),
            ("sys/internal/ui/mounts/a/b", Some(Route::Preflight("a/b"))),
            ("sys/metrics", Some(Route::Metrics)),
            ("sys/metrics/a", None),
            ("sys/healthy", None),
            ("sys/", None),
            ("sys", None),
            ("system/health", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn only_the_servers_own_state_is_open() {
        let open: Vec<_> = [
            "health",
            "init",
            "seal-status",
            "leader",
            "internal/ui/mounts",
            "metrics",
            "mounts",
            "auth",
            "remount",
            "internal/ui/mounts/a",
        ]
        .into_iter()
        .filter(|path| {
            let path = format!("sys/{path}");
            Route::of(&path).is_some_and(|route| route.admission() == Admission::WithoutBody)
        })
        .collect();
        assert_eq!(open, ["health", "init", "seal-status", "leader", "internal/ui/mounts"]);
    }
}
