//! An OpenAPI 3.0.2 document of routes. Paths are relative to the mount, as in Vault's own.

use cofferdam_contract::FieldType;
use serde_json::{Map, Value, json};

use super::field::{Field, Presence};
use super::pattern::Pattern;
use super::{Mode, Route};
use crate::Operation;

/// Writes the document.
pub(super) fn document<'a, P: 'a, M: Mode<P> + 'a>(routes: impl IntoIterator<Item = &'a Route<P, M>>) -> Value {
    let mut paths = Map::new();
    for route in routes {
        // The first match wins, so a second route that looks the same here never answers.
        paths.entry(format!("/{}", route.pattern.openapi_path())).or_insert_with(|| path_item(route));
    }
    json!({ "openapi": "3.0.2", "info": { "title": "plugin", "version": "" }, "paths": paths })
}

fn path_item<P, M: Mode<P>>(route: &Route<P, M>) -> Value {
    let mut item = Map::new();
    if !route.synopsis.is_empty() {
        item.insert("description".into(), json!(route.synopsis));
    }
    let captured = |field: &Field| route.pattern.captures().any(|name| name == field.name);
    let (path, body): (Vec<Field>, Vec<Field>) = route.all_fields().partition(captured);
    if !path.is_empty() {
        item.insert("parameters".into(), path.iter().map(path_parameter).collect());
    }
    let has = |operation| route.handler(operation).is_some();
    if has(Operation::Read) || has(Operation::List) {
        item.insert("get".into(), get(route, &body));
    }
    if has(Operation::Create) || has(Operation::Update) {
        item.insert("post".into(), with_body(&route.pattern, "write", "application/json", &body));
    }
    if has(Operation::Patch) {
        item.insert("patch".into(), with_body(&route.pattern, "patch", "application/merge-patch+json", &body));
    }
    if has(Operation::Delete) {
        item.insert("delete".into(), json!({ "operationId": id(&route.pattern, "delete"), "responses": responses() }));
    }
    Value::Object(item)
}

/// A read and a list are both a GET; `list` tells them apart.
fn get<P, M: Mode<P>>(route: &Route<P, M>, fields: &[Field]) -> Value {
    let lists = route.handler(Operation::List).is_some();
    let reads = route.handler(Operation::Read).is_some();
    let mut parameters: Vec<Value> = fields.iter().map(query_parameter).collect();
    if lists {
        parameters.push(json!({
            "name": "list",
            "in": "query",
            "description": "Must be set to `true` to list",
            "required": !reads,
            "schema": { "type": "string", "enum": ["true"] },
        }));
    }
    let verb = if reads { "read" } else { "list" };
    json!({ "operationId": id(&route.pattern, verb), "parameters": parameters, "responses": responses() })
}

fn with_body(pattern: &Pattern, verb: &str, media_type: &str, fields: &[Field]) -> Value {
    let mut operation = json!({ "operationId": id(pattern, verb), "responses": responses() });
    if fields.is_empty() {
        return operation;
    }
    let mut properties = Map::new();
    for field in fields {
        properties.insert(field.name.clone(), schema(field));
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    let required: Vec<&str> =
        fields.iter().filter(|field| is_required(field)).map(|field| field.name.as_str()).collect();
    // OpenAPI 3.0 forbids an empty list here, and a merge patch requires nothing.
    if !required.is_empty() && verb != "patch" {
        schema["required"] = json!(required);
    }
    operation["requestBody"] = json!({ "content": { media_type: { "schema": schema } } });
    operation
}

fn path_parameter(field: &Field) -> Value {
    json!({
        "name": field.name, "in": "path", "required": true, "description": field.description, "schema": schema(field),
    })
}

fn query_parameter(field: &Field) -> Value {
    json!({
        "name": field.name,
        "in": "query",
        "required": is_required(field),
        "description": field.description,
        "schema": schema(field),
    })
}

fn schema(field: &Field) -> Value {
    use FieldType::*;
    let mut schema = match field.kind {
        String => json!({ "type": "string" }),
        LowerCaseString => json!({ "type": "string", "format": "lowercase" }),
        NameString => json!({ "type": "string", "pattern": r"^\w(([\w-.]+)?\w)?$" }),
        Int64 => json!({ "type": "integer", "format": "int64" }),
        Float => json!({ "type": "number", "format": "float" }),
        Bool => json!({ "type": "boolean" }),
        DurationSecond | SignedDurationSecond => json!({ "type": "integer", "format": "seconds" }),
        Slice => json!({ "type": "array", "items": {} }),
        StringSlice | CommaStringSlice => json!({ "type": "array", "items": { "type": "string" } }),
        CommaIntSlice => json!({ "type": "array", "items": { "type": "integer" } }),
        Map => json!({ "type": "object" }),
        KvPairs => json!({ "type": "object", "format": "kvpairs" }),
        Header => json!({ "type": "object" }),
        Time => json!({ "type": "string", "format": "date-time" }),
    };
    schema["description"] = json!(field.description);
    if let Presence::Default(value) = &field.presence {
        schema["default"] = value.clone();
    }
    schema
}

fn responses() -> Value {
    json!({ "200": { "description": "OK" } })
}

fn is_required(field: &Field) -> bool {
    matches!(field.presence, Presence::Required)
}

/// Unique in the document: no two paths are alike, and no path has a verb twice.
fn id(pattern: &Pattern, verb: &str) -> String {
    format!("{verb} /{}", pattern.openapi_path())
}
