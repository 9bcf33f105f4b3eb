//! `plugin top` where nobody watches: two looks, one table.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::{Case, Server, check, program};

/// Returns an answer of a server on which a mount was asked and failed so often, each time within a millisecond.
fn metrics(answered: u64, trapped: u64) -> String {
    let of_plugin = json!({"plugin": "kv", "version": "v1.0.0", "kind": "secret"});
    let of_mount = |more: &[(&str, &str)]| {
        let mut labels = of_plugin.clone();
        labels["mount"] = json!("my-secrets/");
        more.iter().for_each(|(name, value)| labels[name] = json!(value));
        labels
    };
    let requests = |outcome: &str, count: u64| {
        let labels = of_mount(&[("outcome", outcome)]);
        json!({"Name": "cofferdam_mount_requests_total", "Count": count, "Sum": count, "Labels": labels})
    };
    let buckets = json!([{"UpTo": 0.001, "Count": answered + trapped}, {"UpTo": null, "Count": 0}]);
    json!({
        "Timestamp": "2026-01-01 00:00:00 +0000 UTC",
        "Gauges": [
            {"Name": "cofferdam_plugin_instances_live", "Value": 2, "Labels": of_plugin},
            {"Name": "cofferdam_plugin_instances_idle", "Value": 1, "Labels": of_plugin},
            {"Name": "cofferdam_plugin_memory_bytes", "Value": 2_228_224, "Labels": of_plugin},
        ],
        "Points": [],
        "Counters": [requests("answered", answered), requests("trapped", trapped)],
        "Samples": [{"Name": "cofferdam_mount_request_duration_seconds", "Count": answered + trapped, "Sum": 0.5, "Mean": 0.1,
            "Buckets": buckets, "Labels": of_mount(&[])}],
    })
    .to_string()
}

#[test]
fn what_stands_still_is_shown_to_the_byte() {
    let answer = metrics(5, 1);
    let header = "Plugin    Version    Mount          Req/s    Err/s    p50    p99    Wait p99    CPU %    Background %    \
                  Live    Idle    Memory     Read/s    Written/s\n------    -------    -----          -----    -----    \
                  ---    ---    --------    -----    ------------    ----    ----    ------     ------    ---------\n";
    let rows = "kv        v1.0.0     (all)          0.0      0.0      n/a    n/a    n/a         0.0      0.0             2       1       \
                2.1 MiB    0 B       0 B\nkv        v1.0.0     my-secrets/    0.0      0.0      n/a    n/a    n/a         \
                0.0      n/a             n/a     n/a     n/a        0 B       0 B\n";
    for once in [&[][..], &["-once"]] {
        check(Case {
            typed: &[&["plugin", "top", "-interval=200ms"], once].concat(),
            answers: &[(200, &answer), (200, &answer)],
            requests: &["GET /v1/sys/metrics", "GET /v1/sys/metrics"],
            headers: &[("x-vault-token", "hush")],
            stdout: &[header, rows].concat(),
            ..Case::default()
        });
    }
}

#[test]
fn rates_are_what_happened_between_two_looks() {
    let (before, after) = (metrics(5, 1), metrics(65, 21));
    let server = Server::start(&[(200, &before), (200, &after)]);
    let mut command = program();
    command.env("VAULT_ADDR", &server.address).env("VAULT_TOKEN", "hush");
    let mut child = command.args(["plugin", "top", "-once", "-interval", "200ms", "-format=json"]).spawn().unwrap();
    child.stdin.take().unwrap().flush().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();

    let seconds = report["interval_seconds"].as_f64().unwrap();
    assert!(seconds >= 0.2, "{report}");
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{report}");
    for (row, mount) in rows.iter().zip([Value::Null, json!("my-secrets/")]) {
        assert_eq!((&row["plugin"], &row["mount"]), (&json!("kv"), &mount));
        for (member, count) in [("requests_per_second", 80.0), ("errors_per_second", 20.0)] {
            let rate = row[member].as_f64().unwrap();
            assert!((rate - count / seconds).abs() < 0.01, "{member} of {row} over {seconds} s");
        }
        let p50 = row["latency_p50_seconds"].as_f64().unwrap();
        assert!((p50 - 0.0005).abs() < 1e-9, "{row}");
    }
    assert_eq!((&rows[0]["memory_bytes"], &rows[1]["memory_bytes"]), (&json!(2_228_224), &Value::Null));
}

#[test]
fn what_cannot_be_is_told() {
    check(Case {
        typed: &["plugin", "top", "-interval=1ms"],
        stderr: "Invalid interval 1ms: it is at least 200ms and at most 3600s\n",
        exit: 1,
        ..Case::default()
    });
    check(Case {
        typed: &["plugin", "top"],
        answers: &[(403, r#"{"errors":["permission denied"]}"#)],
        requests: &["GET /v1/sys/metrics"],
        stderr: "Error reading metrics: Error making API request.\n\nURL: GET ADDRESS/v1/sys/metrics\nCode: 403. Errors:\n\n\
                 * permission denied\n",
        exit: 2,
        ..Case::default()
    });
    check(Case {
        typed: &["plugin", "top"],
        answers: &[(200, r#"{"data":{}}"#)],
        requests: &["GET /v1/sys/metrics"],
        stderr: "Error reading metrics: the server answers something else than metrics: missing field `Gauges`\n",
        exit: 2,
        ..Case::default()
    });
}
