//! The doors that nobody opened: files, network, other mounts' data. A plugin that tries them is told, and lives on.

use cofferdam::ErrorKind::PluginFault;
use cofferdam::{InstanceLimits, InstancePolicy};
use serde_json::{Value, json};

use crate::bench::{Bench, SECRET, check_refused, component, limits};

#[tokio::test]
async fn a_closed_door_is_an_error_that_the_plugin_can_handle() {
    let bench = Bench::with_hostile(limits()).await;
    let id = bench.host.mount(&"good".parse().unwrap()).expect("the mount is there").uuid.to_string();
    bench.ask("good/put/secret").await.expect("a value can be stored");
    let unavailable = "StorageError::Unavailable(\"too many transactions are open in this call\")";
    let rows: [(String, Value); 10] = [
        ("files".into(), json!({ "open": [] })),
        ("network".into(), json!({ "open": [] })),
        (
            "environment".into(),
            json!({ "arguments": ["hostile", "-v"], "variables": [["EMPTY", ""], ["REGION", "eu"]] }),
        ),
        ("transactions".into(), json!({ "open": 4, "error": unavailable })),
        ("keep".into(), json!({ "result": "Ok(())" })),
        ("use-kept".into(), {
            let over = "(StorageError::Unavailable(\"the transaction is over: it ended with the call that began it\"))";
            let over = format!("Err{over}");
            json!({ "get": over, "put": over, "commit": over })
        }),
        (
            "keys".into(),
            json!({
                // What Vault's storage takes. None of it leads anywhere but below the mount.
                "taken": ["", "/", "/abs", "a/", "a//b", ".", "a/./b"],
                "why": "Err(StorageError::InvalidKey(\"\\\"../a\\\" holds a '..' segment\"))",
            }),
        ),
        ("large/65536".into(), json!({ "result": "Ok(())" })),
        ("large/65537".into(), json!({ "result": "Err(StorageError::TooLarge(65536))" })),
        (
            format!("loot/{id}"),
            json!({ "listed": [["large"], [], [], [], [], [], [], []], "read": [null, null, null] }),
        ),
    ];
    for (path, expected) in rows {
        assert_eq!(bench.ask(&format!("bad/{path}")).await.expect("the plugin copes"), expected, "{path}");
    }
    assert_eq!(bench.count("bad").await, 1);
    assert_eq!(bench.ask("good/get/secret").await.expect("the value is there")["password"], SECRET);
}

#[tokio::test]
async fn malformed_json_is_refused_and_the_instance_lives_on() {
    let bench = Bench::with_hostile(limits()).await;
    assert_eq!(bench.count("bad").await, 1);
    let answer = bench.host.handle(crate::bench::request("bad/malformed")).await;
    check_refused("malformed", answer, PluginFault, &["hostile at bad/", "something that is not a JSON object"]);
    assert_eq!(bench.count("bad").await, 2);
}

/// Two mounts in one instance: what one noted of its call is of no use in a call of the other, and no number that is
/// guessed is anybody else's context.
#[tokio::test]
async fn a_context_that_is_kept_or_guessed_leads_to_no_other_mount() {
    let bench = Bench::start(limits()).await;
    let shared = |registration: &mut cofferdam::Registration| {
        registration.instances = InstancePolicy::Pooled;
        registration.instance_limits = InstanceLimits { max_instances: Some(1), ..InstanceLimits::default() };
    };
    bench.register("hostile", &component("hostile_plugin"), shared).await.expect("the plugin can be registered");
    for path in ["victim", "thief"] {
        bench.enable(path, &[]).await.expect("the plugin can be mounted");
    }
    bench.ask("victim/put/a").await.expect("a value can be stored");
    let own = json!({ "guessed": "thief/", "read": "Ok(None)" });
    let attempts =
        ["use-noted", "guess/0", "guess/1", "guess/2", "guess/3", "guess/9", "guess/999", "guess/4294967295"];
    let mut stopped = 0;
    for attempt in attempts {
        let noted = bench.ask("victim/note-context").await.expect("knowing a number is no crime");
        assert_eq!(noted, json!({ "noted": "victim/" }));
        match bench.ask(&format!("thief/{attempt}")).await {
            // The number of its own context, which it may use.
            Ok(answer) => assert_eq!(answer, own, "{attempt}"),
            refused => {
                check_refused(attempt, refused, PluginFault, &["at thief/", "crashed"]);
                stopped += 1;
            }
        }
        assert_eq!(bench.ask("victim/get/a").await.expect("the value is there")["password"], SECRET);
    }
    assert!(stopped >= attempts.len() - 2, "only its own context is of use to it: {stopped} were stopped");
}
