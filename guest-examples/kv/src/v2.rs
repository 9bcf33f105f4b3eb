//! Version 2: all that was written, as far back as is asked for.

mod answers;
mod config;
mod custom;
mod data;
mod fields;
mod merge;
mod metadata;
pub(crate) mod record;
mod subkeys;
mod versions;

use cofferdam_sdk::{Call, Context, Error, Existence, Field, Operation, Response, Route, Routes, Storage};

use crate::Kv;
use crate::path::SecretPath;
use record::KeyMetadata;

/// Returns the routes, in an order in which whatever fits no other is told where to go.
pub(crate) fn routes() -> Routes<Kv> {
    let routes = Routes::new().route(config::route()).route(data::route()).route(metadata::route());
    let routes = versions::routes().into_iter().fold(routes, Routes::route);
    let anything = Route::new("{path..}")
        .synopsis("Paths that a versioned key-value store does not have.")
        .any_fields()
        .read(invalid_path)
        .write(invalid_path)
        .patch(invalid_path)
        .delete(invalid_path)
        .list(invalid_path);
    routes.route(subkeys::route()).route(anything)
}

fn path_field() -> Field {
    Field::string("path", "Location of the secret.")
}

/// Returns what the request's path leads to, if there can be something.
fn find(call: &Call) -> Result<Option<SecretPath>, Error> {
    SecretPath::find(&call.field::<String>("path")?)
}

/// Returns the path that the request writes to.
fn require(call: &Call) -> Result<SecretPath, Error> {
    SecretPath::require(&call.field::<String>("path")?)
}

/// A secret exists once something is known of it, be all of its versions gone.
fn exists(_: &Kv, ctx: &Context, call: &Call) -> Result<Existence, Error> {
    let Some(path) = find(call)? else { return Ok(Existence::Absent) };
    let known = ctx.get(&KeyMetadata::key(&path))?.is_some();
    Ok(if known { Existence::Present } else { Existence::Absent })
}

/// Tells whoever asks as they would of version 1 how to ask.
fn invalid_path(_: &Kv, _: &Context, call: &Call) -> Result<Response, Error> {
    let request = call.request();
    let warning = match request.path.as_str() {
        "metadata" | "data" | "delete" | "undelete" | "destroy" => {
            "Non-listing operations on the root of a K/V v2 mount are not supported.".to_owned()
        }
        _ => {
            let command = match request.operation {
                Operation::Create | Operation::Update => "put",
                Operation::Patch => "patch",
                Operation::Read => "get",
                Operation::List => "list",
                Operation::Delete => "delete",
                _ => "",
            };
            format!(
                "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If \
                 using the Vault CLI, use 'vault kv {command}' for this operation."
            )
        }
    };
    answers::not_found(request, None::<()>, &[warning])
}
