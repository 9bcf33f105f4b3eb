//! The host's own paths, below `sys/`: the catalog, mounts, and what a client asks of the server itself.
//!
//! One [`Route`] a path, one `match` for what each takes, one file for each subject behind it.

mod catalog;
mod help;
mod instances;
mod metrics;
mod migrations;
mod mount_body;
mod mount_view;
mod mounts;
mod pins;
mod reload;
mod status;
#[cfg(feature = "process")]
mod wrapping;

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::Api;
use super::answer::{self, Envelope, Placement};
use super::call::Call;
use super::fields::Fields;
use super::refusal::Refusal;
use crate::ident::PluginKind;
use crate::request::{Caller, Operation};

pub(super) use migrations::Migrations;
pub(super) use reload::Reloads;
#[cfg(feature = "process")]
pub(super) use wrapping::{is_unwrapping, unwrap};

/// Answers a request for a path below `sys/`.
pub(super) async fn answer(api: Arc<Api>, call: Call, caller: Caller) -> Result<Response, Refusal> {
    let path = call.path.as_str();
    let route = Route::of(path);
    if matches!(caller, Caller::Anonymous) && !route.as_ref().is_some_and(Route::is_open) {
        return Err(Refusal::denied());
    }
    let route = route.ok_or_else(|| Refusal::no_route(path))?;
    let fields = Fields::parse(&call.data.bytes)?;
    let reply = dispatch(&api, route, call.operation, fields, &caller).await?;
    Ok(reply.into_response())
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
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
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

    /// Says whether it is answered without a token.
    fn is_open(&self) -> bool {
        matches!(self, Route::Health | Route::Init | Route::SealStatus | Route::Leader | Route::VisibleMounts)
    }
}

async fn dispatch(
    api: &Api,
    route: Route<'_>,
    operation: Operation,
    fields: Fields,
    caller: &Caller,
) -> Result<Reply, Refusal> {
    use Operation::{Delete, List, Read, Update};
    let host = &api.host;
    match (route, operation) {
        (route, Operation::Help) => Ok(help::of(route)),
        (Route::Health, Read) => status::health(&api.info, fields),
        (Route::Init, Read) => Ok(status::init()),
        (Route::SealStatus, Read) => Ok(status::seal_status(&api.info)),
        (Route::Leader, Read) => Ok(status::leader(&api.info)),
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
        (Route::Reload, Update) => reload::backend(host, &api.reloads, fields).await,
        (Route::ReloadStatus, Read) => reload::status(host, &api.reloads, fields),
        (Route::ReloadPlugin(rest), Update) => reload::plugin(host, &api.reloads, rest, fields).await,
        (Route::Mounts(kind), Read) => Ok(mounts::list(host, kind)),
        (Route::Mount(kind, path), Read) => mounts::read(host, kind, path),
        (Route::Mount(kind, path), Update) => mounts::enable(host, kind, path, fields).await,
        (Route::Mount(kind, path), Delete) => mounts::disable(host, kind, path).await,
        (Route::Tune(kind, path), Read) => mounts::read_tuning(host, kind, path),
        (Route::Tune(kind, path), Update) => mounts::tune(host, kind, path, fields).await,
        (Route::Remount, Update) => mounts::remount(host, &api.migrations, fields).await,
        (Route::Migration(id), Read) => mounts::migration(&api.migrations, id),
        (Route::VisibleMounts, Read) => Ok(mounts::visible(host, caller)),
        (Route::Preflight(path), Read) => mounts::preflight(host, path),
        _ => Err(Refusal::unsupported_operation()),
    }
}

/// What a path below `sys/` answers.
enum Reply {
    /// It is done, and there is nothing to say.
    Done,
    /// Data in Vault's envelope.
    Data {
        status: StatusCode,
        /// A JSON object; `None` shows as `null`.
        data: Option<Vec<u8>>,
        placement: Placement,
        warnings: Vec<String>,
    },
    /// JSON without an envelope.
    Bare(Vec<u8>),
    /// The same with another status than 200.
    BareWith(StatusCode, Vec<u8>),
    /// Text of this type.
    Text(HeaderValue, Vec<u8>),
}

impl Reply {
    /// Returns an envelope with data.
    fn data(data: &impl Serialize) -> Self {
        Self::placed(Placement::Data, data)
    }

    /// Returns an envelope with data that is repeated at the top.
    fn data_and_top(data: &impl Serialize) -> Self {
        Self::placed(Placement::DataAndTop, data)
    }

    /// Returns an envelope that holds a warning and nothing else.
    fn warning(warning: impl Into<String>) -> Self {
        let (data, placement) = (None, Placement::Data);
        Reply::Data { status: StatusCode::OK, data, placement, warnings: vec![warning.into()] }
    }

    /// Returns the reply with one more warning. Only data carries any.
    fn with_warning(mut self, warning: impl Into<String>) -> Self {
        if let Reply::Data { warnings, .. } = &mut self {
            warnings.push(warning.into());
        }
        self
    }

    /// Returns data as the answer to what goes on elsewhere, with a status of its own. Only data has one.
    fn accepted(mut self) -> Self {
        if let Reply::Data { status, .. } = &mut self {
            *status = StatusCode::ACCEPTED;
        }
        self
    }

    fn placed(placement: Placement, data: &impl Serialize) -> Self {
        let mut data = answer::to_json(data);
        data.truncate(data.trim_ascii_end().len());
        Reply::Data { status: StatusCode::OK, data: Some(data), placement, warnings: Vec::new() }
    }

    fn into_response(self) -> Response {
        match self {
            Reply::Done => answer::empty(StatusCode::NO_CONTENT),
            Reply::Bare(json) => answer::json(StatusCode::OK, json),
            Reply::BareWith(status, json) => answer::json(status, json),
            Reply::Text(content_type, text) => answer::with_type(StatusCode::OK, content_type, text),
            Reply::Data { status, data, placement, warnings } => {
                let request_id = uuid::Uuid::new_v4().to_string();
                let envelope = Envelope {
                    request_id: &request_id,
                    lease_seconds: 0,
                    data: data.as_deref(),
                    warnings: &warnings,
                    auth: None,
                    placement,
                };
                answer::json(status, envelope.to_json())
            }
        }
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
        .filter(|path| Route::of(&format!("sys/{path}")).is_some_and(|route| route.is_open()))
        .collect();
        assert_eq!(open, ["health", "init", "seal-status", "leader", "internal/ui/mounts"]);
    }
}
