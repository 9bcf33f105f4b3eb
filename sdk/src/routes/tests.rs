//! Routing as a plugin and its client see it.

use serde_json::{Value, json};

use crate::testing::TestMount;
use crate::*;

struct Roles {
    routes: Routes<Self>,
}

impl Roles {
    fn echo(&self, _ctx: &Context, call: &Call) -> Result<Response, Error> {
        Response::json(&call.fields::<Value>()?)
    }

    fn silent(&self, _ctx: &Context, _call: &Call) -> Result<Response, Error> {
        Ok(Response::none())
    }

    fn fixed(&self, _ctx: &Context, _call: &Call) -> Result<Response, Error> {
        Response::json(&json!({ "route": "fixed" }))
    }

    fn operation(&self, _ctx: &Context, call: &Call) -> Result<Response, Error> {
        Response::json(&json!({ "operation": format!("{:?}", call.request().operation) }))
    }

    fn only_old(&self, _ctx: &Context, call: &Call) -> Result<Existence, Error> {
        let name: String = call.field("name")?;
        Ok(if name == "old" { Existence::Present } else { Existence::Absent })
    }
}

impl Plugin for Roles {
    fn describe() -> Description {
        Description::secret("Keeps roles.").tells_create()
    }

    fn setup(_ctx: &Context) -> Result<Self, Error> {
        let role = Route::new("roles/{name}")
            .synopsis("Manages a role.")
            .description("A role says who may.")
            .field(Field::string("name", "The role's name."))
            .field(Field::duration("ttl", "How long.").default("1h"))
            .field(Field::list("policies", "What it may.").required())
            .read(Self::silent)
            .write(Self::echo)
            .patch(Self::echo);
        let routes = Routes::new()
            .route(Route::new("roles/fixed").read(Self::fixed))
            .route(role)
            .route(Route::new("roles").list(Self::operation))
            .route(Route::new("kinds/{name}").write(Self::operation).exists(Self::only_old))
            .route(Route::new("free/{rest..}").any_fields().write(Self::echo))
            .route(Route::new("quiet").write(Self::silent))
            .revoke(Self::operation);
        Ok(Self { routes })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request)
    }

    fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        self.routes.exists(self, ctx, &request)
    }
}

fn data(response: Result<Response, Error>) -> Value {
    response.unwrap().data().unwrap()
}

#[test]
fn the_first_match_answers_even_if_it_lacks_the_operation() {
    let mount = TestMount::<Roles>::new();
    assert_eq!(data(mount.read("roles/fixed")), json!({ "route": "fixed" }));
    assert_eq!(mount.write("roles/fixed", json!({})), Err(Error::UnsupportedOperation));
    assert_eq!(mount.read("elsewhere"), Err(Error::UnsupportedPath));
    assert_eq!(data(mount.list("roles")), json!({ "operation": "List" }));
}

#[test]
fn fields_are_converted_and_defaults_stand_in() {
    let mount = TestMount::<Roles>::new();
    let role = mount.write("roles/r", json!({ "policies": "a,b" }));
    assert_eq!(data(role), json!({ "name": "r", "policies": ["a", "b"], "ttl": 3600 }));
}

#[test]
fn a_bad_field_is_named() {
    let mount = TestMount::<Roles>::new();
    let rows = [
        (json!({}), "missing field `policies`"),
        (json!({ "policies": null }), "missing field `policies`"),
        (json!({ "policies": { "a": 1 } }), "field `policies`: expected a list of strings"),
        (json!({ "policies": [], "ttl": "hunter2" }), "field `ttl`: expected a duration in seconds or like \"1h30m\""),
    ];
    for (body, message) in rows {
        assert_eq!(mount.write("roles/r", &body), Err(Error::InvalidRequest(message.into())), "{body}");
    }
}

#[test]
fn what_a_write_must_say_a_read_need_not() {
    assert_eq!(TestMount::<Roles>::new().read("roles/r"), Ok(Response::none()));
}

#[test]
fn a_patch_needs_nothing_and_fills_in_nothing() {
    let mount = TestMount::<Roles>::new();
    assert_eq!(data(mount.patch("roles/r", json!({ "ttl": null }))), json!({ "name": "r", "ttl": null }));
}

#[test]
fn the_path_wins_over_the_body_and_the_client_is_told() {
    let mount = TestMount::<Roles>::new();
    let response = mount.write("roles/r", json!({ "name": "other", "policies": [], "typo": 1 })).unwrap();
    assert_eq!(response.data::<Value>(), Ok(json!({ "name": "r", "policies": [], "ttl": 3600 })));
    assert_eq!(
        response.warnings,
        [
            "Endpoint ignored these unrecognized parameters: [typo]",
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [name]",
        ]
    );
}

#[test]
fn any_fields_are_taken_where_they_are_welcome() {
    let mount = TestMount::<Roles>::new();
    let response = mount.write("free/a/b", json!({ "typo": 1 })).unwrap();
    assert_eq!(response.data::<Value>(), Ok(json!({ "rest": "a/b", "typo": 1 })));
    assert!(response.warnings.is_empty());
}

#[test]
fn an_answer_without_a_body_gets_no_warnings() {
    let mount = TestMount::<Roles>::new();
    assert_eq!(mount.write("quiet", json!({ "typo": 1 })), Ok(Response::none()));
}

#[test]
fn existence_decides_between_create_and_update() {
    let mount = TestMount::<Roles>::new();
    assert_eq!(data(mount.write("kinds/new", json!({}))), json!({ "operation": "Create" }));
    assert_eq!(data(mount.write("kinds/old", json!({}))), json!({ "operation": "Update" }));
}

#[test]
fn leases_are_revoked_whatever_their_path() {
    let mount = TestMount::<Roles>::new();
    let revoked = mount.request(Request::new(Operation::Revoke, "gone/long/ago"));
    assert_eq!(data(revoked), json!({ "operation": "Revoke" }));
    let rollback = mount.request(Request::new(Operation::Rollback, ""));
    assert_eq!(rollback, Err(Error::UnsupportedOperation));
}

#[test]
fn help_shows_a_route_in_vaults_layout() {
    let mount = TestMount::<Roles>::new();
    let expected = "\
Request:        roles/r
Matching Route: roles/{name}

Manages a role.

## PARAMETERS

    name (string)

        The role's name.

    policies (slice)

        What it may.

    ttl (duration (sec))

        How long.

## DESCRIPTION

A role says who may.
";
    assert_eq!(mount.help("roles/r").unwrap(), expected);
    assert_eq!(mount.help("elsewhere"), Err(Error::UnsupportedPath));
}

#[test]
fn help_of_the_plugin_lists_all_routes() {
    let help = TestMount::<Roles>::new().help("").unwrap();
    assert!(help.starts_with("## DESCRIPTION\n\nKeeps roles.\n\n## PATHS\n\nThe following paths"), "{help}");
    assert!(help.contains("\n\n    roles/{name}\n        Manages a role.\n\n"), "{help}");
    assert!(help.contains("\n\n    quiet\n        <no synopsis>\n"), "{help}");
}

#[test]
fn help_carries_openapi() {
    let mount = TestMount::<Roles>::new();
    let help = data(mount.request(Request::new(Operation::Help, "")));
    assert_eq!(help["see_also"], json!([]), "Vault's clients read a list");
    let document = &help["openapi"];
    assert_eq!(document["openapi"], "3.0.2");
    let role = &document["paths"]["/roles/{name}"];
    assert_eq!(role["parameters"][0]["name"], "name");
    let body = &role["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["required"], json!(["policies"]));
    assert_eq!(body["properties"]["ttl"]["format"], "seconds");
    assert_eq!(body["properties"]["name"], Value::Null, "a path parameter is not in the body too");
    assert_eq!(document["paths"]["/roles"]["get"]["parameters"][0]["required"], true);
    assert!(role["delete"].is_null());
    assert!(!document["paths"]["/free/{rest}"].is_null());
}
