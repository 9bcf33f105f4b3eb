//! How instances are kept, as an operator says it and sees it.

use serde_json::{Value, json};

use crate::http::Answer;
use crate::program::{Server, World, guest, sha256};

fn mount(server: &Server, path: &str) -> Value {
    server.ask("GET", &format!("sys/mounts/{path}"), "").json()["data"].clone()
}

fn instance(server: &Server, path: &str) -> Value {
    let answer = server.ask("GET", &format!("{path}/instance"), "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"]["instance"].clone()
}

#[track_caller]
fn refused(answer: &Answer, because: &str) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.errors().contains(because), "{because}: {answer:?}");
}

#[test]
fn what_is_chosen_is_kept_shown_and_holds_at_once() {
    let world = World::new();
    world.add_plugin("shelf", &guest("shelf"));
    let server = world.dev_server();
    let run = |typed: &[&str]| {
        let ran = world.run(&server, typed);
        assert_eq!(ran.exit, 0, "{typed:?}: {}", ran.stderr);
        ran.stdout
    };
    let digest = format!("-sha256={}", sha256(&world.path("plugins/shelf")));
    let chosen = ["-instances=pooled", "-max-instances=3", "-max-idle=2", "-idle-timeout=90s", "-max-requests=1000"];
    run(&[&["plugin", "register", &*digest][..], &chosen, &["-max-concurrency=9", "secret", "shelf"]].concat());
    let entry = server.ask("GET", "sys/plugins/catalog/secret/shelf", "").json()["data"].clone();
    let shown = |of: &Value| {
        let names = ["instances", "max_instances", "max_idle", "idle_timeout", "max_requests", "max_concurrency"];
        names.map(|name| of[name].clone())
    };
    assert_eq!(shown(&entry), [json!("pooled"), json!(3), json!(2), json!(90), json!(1000), json!(9)]);

    for path in ["a", "b"] {
        run(&["secrets", "enable", &format!("-path={path}"), "shelf"]);
    }
    run(&["secrets", "enable", "-path=alone", "-instances=per-mount", "-max-instances=1", "shelf"]);
    assert_eq!(instance(&server, "a"), instance(&server, "b"), "they share one");
    let alone = instance(&server, "alone");
    assert_ne!(instance(&server, "a"), alone);
    assert_eq!(instance(&server, "alone"), alone);
    assert_eq!(mount(&server, "a")["instances"], "pooled");
    assert_eq!(shown(&mount(&server, "a")["config"]), [const { Value::Null }; 6], "nothing of its own");
    assert_eq!(shown(&mount(&server, "alone")["config"])[..2], [json!("per-mount"), json!(1)]);

    // At once, and no answer is lost.
    run(&["secrets", "tune", "-instances=per-request", "-max-instances=0", "alone"]);
    assert_eq!(mount(&server, "alone")["instances"], "per-request");
    assert_eq!(shown(&mount(&server, "alone")["config"])[..2], [json!("per-request"), Value::Null]);
    assert_ne!(instance(&server, "alone"), instance(&server, "alone"));

    refused(&server.ask("POST", "sys/mounts/a/tune", r#"{"instances":"all"}"#), "\"all\" is not an instance policy");
    refused(&server.ask("POST", "sys/mounts/a/tune", r#"{"max_idle":"x"}"#), "\"max_idle\" must be a number from 0 on");
    let ran = world.run(&server, &["secrets", "enable", "-path=c", "-max-requests=-1", "shelf"]);
    assert_eq!(ran.exit, 1, "{}", ran.stderr);
}

#[test]
fn a_choice_outlives_the_server() {
    let world = World::new();
    world.add_plugin("shelf", &guest("shelf"));
    let server = world.first_server();
    let body = json!({"sha256": sha256(&world.path("plugins/shelf")), "command": "shelf", "instances": "per-request"});
    let answer = server.ask("PUT", "sys/plugins/catalog/secret/shelf", &body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    for (path, config) in [("a", json!({})), ("b", json!({"instances": "pooled", "max_instances": 2}))] {
        let body = json!({"type": "shelf", "config": config});
        assert_eq!(server.ask("POST", &format!("sys/mounts/{path}"), &body.to_string()).status, 204);
    }
    let token = server.token.clone();
    server.stop();
    let server = world.next_server(&token);
    assert_ne!(instance(&server, "a"), instance(&server, "a"));
    assert_eq!(instance(&server, "b"), instance(&server, "b"));
    assert_eq!(mount(&server, "a")["instances"], "per-request");
    assert_eq!(
        (&mount(&server, "b")["instances"], &mount(&server, "b")["config"]["max_instances"]),
        (&json!("pooled"), &json!(2))
    );
}
