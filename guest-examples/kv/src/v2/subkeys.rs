//! `subkeys/{path}`: what a secret is made of, without what it says.

use cofferdam_sdk::contract::json;
use cofferdam_sdk::{Call, Context, Error, Field, Response, Route};
use serde::Serialize;
use serde_json::{Map, Value};

use super::answers::{self, VersionView};
use super::record::{self, KeyMetadata};
use super::{find, path_field};
use crate::Kv;

pub(super) fn route() -> Route<Kv> {
    Route::new("subkeys/{path..}")
        .synopsis("Read the structure of a secret entry from the Key-Value store with the values removed.")
        .description(
            "Every value is null that is not an object with members, and every object as deep as is asked for.",
        )
        .field(path_field())
        .field(Field::integer(
            "depth",
            "The maximum depth to traverse. No limit will be imposed if not provided or if 0.",
        ))
        .field(Field::integer(
            "version",
            "Specifies which version to retrieve. If not provided, the current version will be used.",
        ))
        .read(read)
}

#[derive(Serialize)]
struct SubkeysView<'a> {
    metadata: VersionView<'a>,
    subkeys: Option<Map<String, Value>>,
}

fn read(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let Some(path) = find(call)? else { return Ok(Response::none()) };
    let asked: Option<i64> = call.field("version")?;
    let depth: i64 = call.field::<Option<_>>("depth")?.unwrap_or(0);
    let snapshot = ctx.snapshot()?;
    let Some(metadata) = KeyMetadata::get(&snapshot, &path)? else { return Ok(Response::none()) };
    let Some((number, version)) = metadata.version(asked) else { return Ok(Response::none()) };
    let view = VersionView::of(&metadata, number, version);
    if version.is_gone() {
        return answers::not_found(call.request(), Some(SubkeysView { metadata: view, subkeys: None }), &[]);
    }
    let mut data: Map<String, Value> = json::parse(&record::get_version(&snapshot, &path, number)?)?;
    remove_values(&mut data, depth, 1);
    Response::json(&SubkeysView { metadata: view, subkeys: Some(data) })
}

/// Removes all values, and all members below the deepest level. It goes as deep as what was parsed, which has a limit.
fn remove_values(members: &mut Map<String, Value>, depth_max: i64, depth: i64) {
    for value in members.values_mut() {
        match value {
            Value::Object(inner) if !inner.is_empty() && (depth_max == 0 || depth < depth_max) => {
                remove_values(inner, depth_max, depth + 1);
            }
            value => *value = Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_structure_is_left() {
        let secret = json!({"a": 1, "b": {"c": "x", "d": {"e": [1]}}, "f": {}});
        for (depth, expected) in [
            (0, json!({"a": null, "b": {"c": null, "d": {"e": null}}, "f": null})),
            (1, json!({"a": null, "b": null, "f": null})),
            (2, json!({"a": null, "b": {"c": null, "d": null}, "f": null})),
            (3, json!({"a": null, "b": {"c": null, "d": {"e": null}}, "f": null})),
            (-1, json!({"a": null, "b": null, "f": null})),
        ] {
            let mut members = secret.as_object().unwrap().clone();
            remove_values(&mut members, depth, 1);
            assert_eq!(Value::from(members), expected, "{depth}");
        }
    }
}
