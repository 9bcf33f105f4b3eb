//! An auth method on Vault's SDK: logins of people who have no token yet.

use cofferdam::ErrorKind;
use cofferdam::request::{Operation, Request};
use serde_json::json;

use crate::http;
use crate::plugins;
use crate::program::sha256;
use crate::servers;
use crate::stage::{Stage, request};

#[test]
fn a_login_without_a_token_is_answered_as_vault_does() {
    let Some(auth) = plugins::go("auth", "a login over HTTP") else { return };
    let world = servers::world(&[("people", &auth)]);
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    let digest = sha256(&world.path("plugins/people"));
    world.succeed(&server, &["plugin", "register", &format!("-sha256={digest}"), "auth", "people"]);
    let enabled = world.succeed(&server, &["auth", "enable", "people"]);
    assert_eq!(enabled, "Success! Enabled people auth method at: people/\n");
    let ada = r#"{"password":"hush","policies":"readers","ttl":90}"#;
    assert_eq!(server.ask("PUT", "auth/people/users/ada", ada).status, 204);

    let log_in = |password: &str| {
        let body = json!({"name": "ada", "password": password}).to_string();
        http::Request::new("PUT", "auth/people/login").body(body).send(&server.address)
    };
    let answer = log_in("hush");
    assert_eq!(answer.status, 200, "{answer:?}");
    let auth = answer.json()["auth"].clone();
    for (name, value) in [
        ("lease_duration", json!(90)),
        ("renewable", json!(true)),
        ("policies", json!(["default", "readers"])),
        ("token_policies", json!(["default", "readers"])),
        ("metadata", json!({"name": "ada"})),
    ] {
        assert_eq!(auth[name], value, "{name}: {auth}");
    }
    let refused = log_in("wrong");
    assert_eq!((refused.status, refused.errors().as_str()), (403, "wrong name or password"));
    // Nothing else is open.
    let stranger = http::Request::new("PUT", "auth/people/users/eve").body(ada).send(&server.address);
    assert_eq!(stranger.status, 403, "{stranger:?}");
    let redirected = http::Request::new("GET", "auth/people/elsewhere").send(&server.address);
    assert_eq!(redirected.status, 307, "{redirected:?}");
    assert!(redirected.headers.contains("location: https://example.com/elsewhere"), "{redirected:?}");
}

#[tokio::test]
async fn a_login_is_renewed_as_long_as_its_user_is_known() {
    let Some(auth) = plugins::go("auth", "renewing a login") else { return };
    let stage = Stage::new().await;
    stage.register("people", &auth).await;
    stage.enable("auth/people", "people").await;
    stage.write("auth/people/users/ada", &json!({"password": "hush", "ttl": 90})).await;
    let body = json!({"name": "ada", "password": "hush"}).to_string();
    let login = stage.ask(Operation::Update, "auth/people/login", &body).await.unwrap().login.expect("a login");
    assert_eq!((login.display_name.as_str(), login.lease.ttl_seconds), ("ada", 90));

    stage.write("auth/people/users/ada", &json!({"password": "hush", "ttl": 30})).await;
    let renew = || {
        let about = request(Operation::Renew, "auth/people/login", "");
        stage.host().handle(Request { lease: Some(login.lease.internal.clone()), ..about })
    };
    assert_eq!(renew().await.unwrap().login.expect("a login").lease.ttl_seconds, 30);
    stage.ask(Operation::Delete, "auth/people/users/ada", "").await.unwrap();
    let error = renew().await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Denied, "this user is gone"));
    assert_eq!(stage.end().await, [""; 0]);
}
