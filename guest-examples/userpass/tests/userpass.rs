//! Users, and how they log in.

use std::time::Duration;

use cofferdam_sdk::testing::TestMount;
use cofferdam_sdk::{Caller, DefaultPolicy, Error, Lease, Login, Operation, Renewal, Request, Response};
use serde_json::{Value, json};
use userpass_plugin::Userpass;

/// The bcrypt hash of "hush", made elsewhere and at the least cost.
const HUSH: &str = "$2b$04$AnFO1EZ1mdBcwEaFXLTnFOAThh3to0QBMzvTe3.EGbKx.wKIWYvCS";

fn mount() -> TestMount<Userpass> {
    at("192.0.2.1:4711")
}

/// Returns a mount whose requests come from this address.
fn at(remote_address: &str) -> TestMount<Userpass> {
    let caller = Caller { remote_address: remote_address.into(), ..Caller::default() };
    TestMount::builder().caller(caller).start().unwrap()
}

/// Returns a mount with the user ada, whose password is "hush".
fn with_ada(parameters: Value) -> TestMount<Userpass> {
    let mount = mount();
    write_ada(&mount, parameters).unwrap();
    mount
}

fn write_ada(mount: &TestMount<Userpass>, mut parameters: Value) -> Result<Response, Error> {
    parameters["password_hash"] = json!(HUSH);
    mount.write("users/ada", parameters)
}

fn log_in(mount: &TestMount<Userpass>, name: &str, password: &str) -> Result<Response, Error> {
    mount.write(&format!("login/{name}"), json!({ "password": password }))
}

fn invalid(text: &str) -> Result<Response, Error> {
    Err(Error::InvalidRequest(text.into()))
}

fn wrong() -> Result<Response, Error> {
    invalid("invalid username or password")
}

fn read(mount: &TestMount<Userpass>) -> Value {
    mount.read("users/ada").unwrap().data().unwrap()
}

#[test]
fn who_knows_the_password_is_let_in() {
    let mut mount = mount();
    assert_eq!(mount.write("users/Ada", json!({"password": "hush", "policies": "Readers,b,b"})), Ok(Response::none()));
    mount.restart().unwrap();
    let expected = Login {
        policies: vec!["b".into(), "readers".into()],
        display_name: "ada".into(),
        metadata: vec![("username".into(), "ada".into())],
        lease: Lease::renewable(Duration::ZERO, json!({"username": "ada", "policies": ["b", "readers"]})),
        alias: Some("ada".into()),
        ..Login::default()
    };
    assert_eq!(log_in(&mount, "ADA", "hush"), Ok(Response::login(expected)));
    for (name, password) in [("ada", "hush!"), ("ada", "HUSH"), ("bob", "hush"), ("ada", &"x".repeat(100))] {
        assert_eq!(log_in(&mount, name, password), wrong(), "{name}");
    }
    assert_eq!(log_in(&mount, "ada", ""), invalid("missing password"));
    assert_eq!(mount.write("login/ada", json!({})), invalid("missing password"));
    assert_eq!(log_in(&mount, "a b", "hush"), Err(Error::UnsupportedPath));
    assert_eq!(mount.stored_keys(), ["user/ada"]);
}

#[test]
fn a_password_is_stored_as_its_hash_and_said_nowhere() {
    let mount = mount();
    mount.write("users/ada", json!({"password": "hunter2"})).unwrap();
    let stored = String::from_utf8(mount.stored("user/ada").unwrap()).unwrap();
    assert!(stored.contains("$2b$10$") && !stored.contains("hunter2"), "{stored}");
    assert!(!read(&mount).to_string().contains("$2b$"), "a hash is not to be seen");
    let refused = format!("{:?}", log_in(&mount, "ada", "hunter3"));
    assert!(!refused.contains("hunter"), "{refused}");
    assert!(mount.logs().is_empty());
}

#[test]
fn users_are_listed_and_deleted() {
    let mount = with_ada(json!({}));
    mount.write("users/bob.b-1", json!({"password_hash": HUSH})).unwrap();
    assert_eq!(mount.list("users").unwrap().data::<Value>(), Ok(json!({"keys": ["ada", "bob.b-1"]})));
    assert_eq!(mount.delete("users/ADA"), Ok(Response::none()));
    assert_eq!(mount.delete("users/ada"), Ok(Response::none()));
    assert_eq!(mount.read("users/ada"), Ok(Response::none()));
    assert_eq!(log_in(&mount, "ada", "hush"), wrong());
    mount.delete("users/bob.b-1").unwrap();
    assert_eq!(mount.list("users"), Ok(Response::none()));
}

#[test]
fn a_user_is_shown_with_the_names_that_were_used() {
    let nothing = json!({
        "token_bound_cidrs": [],
        "token_explicit_max_ttl": 0,
        "token_max_ttl": 0,
        "token_no_default_policy": false,
        "token_num_uses": 0,
        "token_period": 0,
        "token_policies": [],
        "token_ttl": 0,
        "token_type": "default",
    });
    let mount = with_ada(json!({}));
    assert_eq!(read(&mount), nothing);
    let with = |changes: Value| {
        let mut expected = nothing.clone();
        expected.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        expected
    };
    for (written, changes) in [
        (
            json!({"policies": "B,a", "ttl": "1h", "max_ttl": 7200, "bound_cidrs": "10.0.0.0/8,::1"}),
            json!({
                "policies": ["a", "b"], "token_policies": ["a", "b"], "ttl": 3600, "token_ttl": 3600, "max_ttl": 7200,
                "token_max_ttl": 7200, "bound_cidrs": ["10.0.0.0/8", "::1"], "token_bound_cidrs": ["10.0.0.0/8", "::1"],
            }),
        ),
        (
            json!({"token_policies": ["x", "y"], "policies": "z", "token_ttl": "30m", "token_max_ttl": 7200}),
            json!({
                "policies": ["x", "y"], "token_policies": ["x", "y"], "token_ttl": 1800, "token_max_ttl": 7200,
                "bound_cidrs": ["10.0.0.0/8", "::1"], "token_bound_cidrs": ["10.0.0.0/8", "::1"],
            }),
        ),
        (
            json!({
                "token_policies": "", "token_ttl": 0, "token_max_ttl": 0, "token_bound_cidrs": "", "token_type": "service",
                "token_num_uses": "3", "token_period": "24h", "token_explicit_max_ttl": 60, "token_no_default_policy": "true",
            }),
            json!({
                "token_type": "service", "token_num_uses": 3, "token_period": 86_400, "token_explicit_max_ttl": 60,
                "token_no_default_policy": true,
            }),
        ),
        // What is empty is reset, as a flag without a value or an empty query parameter says it.
        (
            json!({
                "token_ttl": "1.5h", "token_num_uses": "", "token_period": "", "token_explicit_max_ttl": "1500ms",
                "token_no_default_policy": "", "token_policies": "a,,b",
            }),
            json!({
                "token_type": "service", "token_ttl": 5400, "token_explicit_max_ttl": 1, "token_policies": ["a", "b"],
            }),
        ),
    ] {
        assert_eq!(mount.write("users/ada", &written), Ok(Response::none()));
        assert_eq!(read(&mount), with(changes), "{written}");
    }
    assert_eq!(log_in(&mount, "ada", "hush").map(|response| response.login.is_some()), Ok(true), "the password stays");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mount = mount();
    for (body, text) in [
        (json!({}), "missing password"),
        (json!({"password": ""}), "missing password"),
        (json!({"password": "x".repeat(73)}), "password is longer than 72 bytes"),
        (json!({"password_hash": "hunter2"}), "password_hash is not a bcrypt hash"),
        (
            json!({"password": "a", "password_hash": HUSH}),
            "password and password_hash cannot be given at the same time",
        ),
        (json!({"token_ttl": "2h", "token_max_ttl": "1h"}), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (json!({"token_num_uses": -1}), "'token_num_uses' cannot be negative"),
        (json!({"token_num_uses": 4_294_967_296_u64}), "'token_num_uses' cannot be greater than 4294967295"),
        (json!({"token_ttl": 9_223_372_037_u64}), "field `token_ttl`: expected a duration of at most 292 years"),
        (json!({"token_ttl": -1}), "field `token_ttl`: expected a duration that is not negative"),
        (json!({"token_type": "root"}), "invalid 'token_type' value \"root\""),
        (
            json!({"token_type": "batch", "token_period": 1}),
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
        ),
        (
            json!({"token_type": "batch", "token_num_uses": 1}),
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
        ),
        (json!({"token_bound_cidrs": "here"}), "error parsing address \"here\": not an address or a CIDR block"),
        (json!({"token_policies": [{}]}), "field `token_policies`: expected a list of strings"),
    ] {
        let mut whole = body.clone();
        if body.as_object().unwrap().keys().all(|name| name.starts_with("token_")) && body != json!({}) {
            whole["password_hash"] = json!(HUSH);
        }
        assert_eq!(mount.write("users/ada", &whole), invalid(text), "{body}");
    }
    assert!(mount.stored_keys().is_empty());
    assert_eq!(mount.write("users/-", json!({"password_hash": HUSH})), Err(Error::UnsupportedPath));
}

#[test]
fn a_login_gets_what_the_user_is_given() {
    let parameters = json!({
        "token_policies": "a", "token_ttl": "1h", "token_max_ttl": "4h", "token_explicit_max_ttl": "2h", "token_num_uses": 5,
        "token_period": "10m", "token_no_default_policy": true,
    });
    let login = log_in(&with_ada(parameters), "ada", "hush").unwrap().login.unwrap();
    assert_eq!(login.lease.ttl, Duration::from_secs(3_600));
    assert_eq!(login.lease.max_ttl, Duration::from_secs(7_200), "the shorter maximum holds");
    assert_eq!((login.num_uses, login.period), (5, Duration::from_secs(600)));
    assert_eq!(login.default_policy, DefaultPolicy::LeftOut);
    let batch = log_in(&with_ada(json!({"token_type": "batch"})), "ada", "hush").unwrap().login.unwrap();
    assert_eq!(batch.lease.renewal, Renewal::Refused);
}

#[test]
fn a_login_comes_from_where_it_may() {
    for (remote, let_in) in
        [("10.1.2.3:4711", true), ("[::ffff:10.1.2.3]:1", true), ("192.0.2.1:4711", false), ("", false)]
    {
        let mount = at(remote);
        write_ada(&mount, json!({"token_bound_cidrs": ["10.0.0.0/8", "2001:db8::/32"]})).unwrap();
        let answer = log_in(&mount, "ada", "hush").map(|response| response.login.is_some());
        let expected = if let_in { Ok(true) } else { Err(Error::Denied("permission denied".into())) };
        assert_eq!(answer, expected, "{remote:?}");
        assert_eq!(log_in(&mount, "ada", "wrong"), wrong(), "where it may come from is not told to strangers");
    }
}

#[test]
fn passwords_and_policies_have_paths_of_their_own() {
    let mount = mount();
    for (path, body) in [("password", json!({"password_hash": HUSH})), ("policies", json!({"policies": "a"}))] {
        assert_eq!(mount.write(&format!("users/ada/{path}"), body), invalid("username does not exist"));
    }
    write_ada(&mount, json!({"policies": "a"})).unwrap();
    assert_eq!(mount.write("users/ADA/password", json!({"password": "other"})), Ok(Response::none()));
    assert_eq!(log_in(&mount, "ada", "hush"), wrong());
    assert!(log_in(&mount, "ada", "other").is_ok());
    assert_eq!(mount.write("users/ada/password", json!({})), invalid("missing password"));
    assert_eq!(mount.write("users/ada/policies", json!({"token_policies": "C,b"})), Ok(Response::none()));
    let shown = read(&mount);
    assert_eq!((&shown["token_policies"], shown.get("policies")), (&json!(["b", "c"]), None));
    mount.write("users/ada/policies", json!({"policies": "d"})).unwrap();
    let shown = read(&mount);
    assert_eq!((&shown["token_policies"], &shown["policies"]), (&json!(["d"]), &json!(["d"])));
}

#[test]
fn a_renewal_needs_the_user_and_the_policies_of_before() {
    let mount = with_ada(json!({"token_policies": "a,b", "token_ttl": "1h"}));
    let internal = log_in(&mount, "ada", "hush").unwrap().login.unwrap().lease.internal;
    let renew = || mount.request(Request::new(Operation::Renew, "login/ada").with_lease(&internal).unwrap());
    mount.write("users/ada", json!({"token_policies": ["B", "default", "a"], "token_ttl": "2h"})).unwrap();
    let login = renew().unwrap().login.unwrap();
    assert_eq!(login.lease.ttl, Duration::from_secs(7_200), "the lifetime is the one that is set now");
    mount.write("users/ada", json!({"token_policies": "a"})).unwrap();
    assert_eq!(renew(), invalid("policies have changed, not renewing"));
    mount.delete("users/ada").unwrap();
    assert_eq!(renew(), invalid("user no longer exists"));
}

#[test]
fn who_would_log_in_is_said_beforehand() {
    let response = mount().request(Request::new(Operation::AliasLookahead, "login/Ada")).unwrap();
    assert_eq!(response.login.unwrap().alias.as_deref(), Some("ada"));
}

#[test]
fn a_change_of_two_at_once_is_not_lost() {
    let mount = with_ada(json!({"token_policies": "a"}));
    let mut other: Value = serde_json::from_slice(&mount.stored("user/ada").unwrap()).unwrap();
    other["token"]["ttl"] = json!(60);
    mount.change_before_commit("user/ada", other.to_string().as_bytes());
    mount.write("users/ada", json!({"token_policies": "b"})).unwrap();
    assert_eq!((&read(&mount)["token_ttl"], &read(&mount)["token_policies"]), (&json!(60), &json!(["b"])));
}
