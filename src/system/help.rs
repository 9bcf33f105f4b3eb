//! `?help=1` below `sys/`: what a path is for.

use serde::Serialize;

use super::Route;
use super::reply::Reply;
use crate::ident::PluginKind;
use crate::json;

/// Shows the help of a path in Vault's shape, without an envelope.
pub(super) fn of(route: Route<'_>) -> Reply {
    #[derive(Serialize)]
    struct Help {
        help: &'static str,
        openapi: Option<()>,
        see_also: Option<()>,
    }
    Reply::Bare(json::line(&Help { help: text(route), openapi: None, see_also: None }))
}

fn text(route: Route<'_>) -> &'static str {
    match route {
        Route::Health => "Says whether the server is up. The status is 200, or the one in the parameter activecode.",
        Route::Init => "Says that the server is initialised.",
        Route::SealStatus => "Says that the server is unsealed.",
        Route::Leader => "Says which server leads.",
        Route::Metrics => "Shows what the server counted since it started, as JSON or with format=prometheus.",
        Route::Catalog => "Lists the plugins that may be mounted.",
        Route::CatalogEntry(_) => "Registers, shows and deregisters a plugin, or lists the plugins of a type.",
        Route::Pins => "Lists the versions that plugins are pinned to.",
        Route::Pin(_) => "Pins a plugin to a version, shows the pin or removes it.",
        Route::Reload => "Starts the mounts of a plugin, or the mounts that are named, again.",
        Route::ReloadStatus => "Says how a reload ended.",
        Route::ReloadPlugin(_) => "Starts the mounts of a plugin again.",
        Route::Mounts(PluginKind::Secret) => "Lists the secrets engines that are mounted.",
        Route::Mounts(PluginKind::Auth) => "Lists the auth methods that are enabled.",
        Route::Mount(PluginKind::Secret, _) => "Mounts a secrets engine, shows it or disables it.",
        Route::Mount(PluginKind::Auth, _) => "Enables an auth method, shows it or disables it.",
        Route::Tune(..) => "Shows the settings of a mount, or changes them.",
        Route::Remount => "Moves a mount to another path.",
        Route::Migration(_) => "Says how a move ended.",
        Route::VisibleMounts => "Lists the mounts that a user interface may show.",
        #[cfg(feature = "process")]
        Route::Unwrap => "Shows what a wrapping token stands for, once.",
        Route::OwnToken => "Shows what is known of the caller's own token.",
        Route::Token => "Shows what is known of a token.",
        Route::Preflight(_) => "Shows the mount that would answer for a path.",
    }
}
