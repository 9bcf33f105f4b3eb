//! `sys/metrics`: what was done is what is counted, in both formats, and nothing that anybody stored.

use serde_json::{Value, json};

use crate::http::Request;
use crate::program::{Server, World, guest, sha256};

/// A value that is stored, and must be seen nowhere.
const STORED: &str = "hunter2-the-stored-value";

/// The path of a mount that no format may trip over, as it is sent.
const ODD_PATH: &str = "odd%22%5Cn%20%7Bx%3D%22y%22%7D";

/// Returns the value of one series of the text.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("there is no {series} in\n{text}")).parse().unwrap()
}

fn scrape(server: &Server) -> String {
    let answer = server.ask("GET", "sys/metrics?format=prometheus", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let headers = answer.headers.to_lowercase();
    assert!(headers.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{headers}");
    answer.body
}

/// Returns the labels of a mount of `passthrough-plugin`, as the text has them.
fn of_mount(path: &str, plugin: &str) -> String {
    format!(r#"{{mount="{path}",kind="secret",plugin="{plugin}",version="""#)
}

/// Starts a server with the hostile plugin at `bad`, and another at `kv`.
fn world() -> (World, Server) {
    let world = World::new();
    world.add_plugin("hostile", &guest("hostile_plugin"));
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    let digest = sha256(&world.path("plugins/hostile"));
    world.succeed(&server, &["plugin", "register", &format!("-sha256={digest}"), "secret", "hostile"]);
    world.succeed(&server, &["secrets", "enable", "-path=bad", "hostile"]);
    (world, server)
}

#[test]
fn requests_are_counted_by_how_they_ended() {
    let (_world, server) = world();
    let before = scrape(&server);
    assert!(!before.contains("cofferdam_mount_requests_total{"), "nobody has asked a mount yet:\n{before}");

    let anonymous = |path: &str| Request::new("GET", path).send(&server.address).status;
    for (times, (method, path, body), status) in [
        (3, ("PUT", "kv/a", json!({ "password": STORED }).to_string()), 204),
        (2, ("GET", "kv/a", String::new()), 200),
        (1, ("PUT", "kv/a", "{}".to_owned()), 400),
        (2, ("GET", "bad/panic", String::new()), 502),
        (1, ("GET", "bad/no/such/path", String::new()), 404),
        (1, ("GET", "bad/error", String::new()), 500),
        (1, ("GET", "bad/malformed", String::new()), 502),
        (1, ("GET", "bad/raw-600", String::new()), 502),
        (1, ("GET", "nowhere/a", String::new()), 404),
    ] {
        for _ in 0..times {
            let answer = server.ask(method, path, &body);
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!((anonymous("kv/a"), anonymous("kv/b")), (403, 403));

    let text = scrape(&server);
    let (kv, bad) = (of_mount("kv/", "passthrough-plugin"), of_mount("bad/", "hostile"));
    for (mount, counted) in [
        (&kv, &[("answered", 5.0), ("declined", 1.0), ("denied", 2.0)][..]),
        (&bad, &[("trapped", 2.0), ("declined", 1.0), ("errored", 1.0), ("unusable", 2.0)]),
    ] {
        for outcome in OUTCOMES {
            let expected = counted.iter().find(|(name, _)| *name == outcome).map_or(0.0, |(_, count)| *count);
            let series = format!(r#"cofferdam_mount_requests_total{mount},outcome="{outcome}"}}"#);
            assert_eq!(value(&text, &series), expected, "{series}");
        }
        let requests: f64 = counted.iter().map(|(_, count)| count).sum();
        assert_eq!(value(&text, &format!("cofferdam_mount_request_duration_seconds_count{mount}}}")), requests);
        let last = format!(r#"cofferdam_mount_request_duration_seconds_bucket{{le="+Inf",{}}}"#, &mount[1..]);
        assert_eq!(value(&text, &last), requests);
        assert!(value(&text, &format!("cofferdam_mount_guest_cpu_seconds_total{mount}}}")) > 0.0);
    }
    // Who is denied needs no instance.
    for mount in [&kv, &bad] {
        assert_eq!(value(&text, &format!("cofferdam_mount_queue_wait_seconds_count{mount}}}")), 6.0);
    }
    let hostile = r#"{kind="secret",plugin="hostile",version="""#;
    let retired =
        |reason| value(&text, &format!(r#"cofferdam_plugin_instances_retired_total{hostile},reason="{reason}"}}"#));
    assert_eq!((retired("crashed"), retired("deadline"), retired("evicted")), (2.0, 0.0, 0.0));
    for gauge in ["live", "idle"] {
        assert_eq!(value(&text, &format!("cofferdam_plugin_instances_{gauge}{hostile}}}")), 1.0, "{gauge}");
    }
    let gone: f64 = REASONS.map(retired).iter().sum();
    assert_eq!(value(&text, &format!("cofferdam_plugin_instances_created_total{hostile}}}")), gone + 1.0);
    assert!(
        value(&text, &format!("cofferdam_plugin_memory_bytes{hostile}}}")) >= 65_536.0,
        "a page of its one instance"
    );
    assert_eq!(value(&text, r#"cofferdam_mounts{state="running"}"#), 2.0);
    assert_eq!(value(&text, &format!("cofferdam_build_info{{version={:?}}}", env!("CARGO_PKG_VERSION"))), 1.0);
    assert!(text.ends_with("# EOF\n"), "{text}");
}

const REASONS: [&str; 10] = [
    "mount_ended",
    "finished",
    "recycled",
    "idle",
    "evicted",
    "reloaded",
    "crashed",
    "deadline",
    "cancelled",
    "setup_failed",
];

const OUTCOMES: [&str; 13] = [
    "answered",
    "declined",
    "errored",
    "denied",
    "trapped",
    "unusable",
    "deadline",
    "busy",
    "failing",
    "not_started",
    "closing",
    "cancelled",
    "host_fault",
];

#[test]
fn both_formats_tell_the_same_and_no_secret() {
    let (_world, server) = world();
    for _ in 0..2 {
        assert_eq!(server.ask("PUT", "kv/a", &json!({ "password": STORED }).to_string()).status, 204);
    }
    assert_eq!(server.ask("GET", "kv/a", "").status, 200);
    assert_eq!(server.ask("LIST", "kv", "").status, 200);
    assert_eq!(server.ask("DELETE", "kv/a", "").status, 204);

    let (text, answer) = (scrape(&server), server.ask("GET", "sys/metrics", ""));
    for shown in [&text, &answer.body] {
        assert!(!shown.contains(STORED) && !shown.contains("password"), "{shown}");
        assert!(!shown.contains(&format!("\"{}\"", server.token)), "{shown}");
    }
    let metrics = answer.json();
    let find = |list: &str, name: &str| {
        let mut series = metrics[list].as_array().unwrap().iter();
        let found = series.find(|series| series["Name"] == name && series["Labels"]["mount"] == "kv/");
        found.cloned().unwrap_or_else(|| panic!("no {name}: {metrics}"))
    };
    let labels = json!({"mount": "kv/", "kind": "secret", "plugin": "passthrough-plugin", "version": ""});
    let kv = of_mount("kv/", "passthrough-plugin");
    // Each write asks first whether there is something; the SDK lists until a page is empty.
    for (name, expected) in [("reads", 3.0), ("lists", 2.0), ("writes", 3.0)] {
        let name = format!("cofferdam_mount_storage_{name}_total");
        assert_eq!(value(&text, &format!("{name}{kv}}}")), expected, "{name}");
        let counter = find("Counters", &name);
        assert_eq!((&counter["Sum"], &counter["Labels"]), (&json!(expected), &labels), "{name}");
    }
    let written = value(&text, &format!("cofferdam_mount_storage_written_bytes_total{kv}}}"));
    // A value as stored has a checksum and the like around it, and it was stored twice.
    assert!(written >= 2.0 * STORED.len() as f64 && written < 2.0 * 200.0, "{written}");
    assert_eq!(find("Counters", "cofferdam_mount_storage_written_bytes_total")["Count"], json!(written as u64));

    let sample = find("Samples", "cofferdam_mount_request_duration_seconds");
    let buckets = sample["Buckets"].as_array().unwrap();
    assert_eq!((&sample["Count"], buckets.len(), &buckets[15]["UpTo"]), (&json!(5), 16, &Value::Null));
    assert_eq!(buckets.iter().map(|bucket| bucket["Count"].as_u64().unwrap()).sum::<u64>(), 5);
    assert!(metrics["Timestamp"].as_str().unwrap().ends_with(" +0000 UTC"), "{metrics}");
    assert_eq!(metrics["Points"], json!([]));
}

#[test]
fn odd_paths_are_escaped_and_follow_a_move() {
    let (world, server) = world();
    let enabled = server.ask("PUT", &format!("sys/mounts/{ODD_PATH}"), r#"{"type":"passthrough-plugin"}"#);
    assert_eq!(enabled.status, 204, "{enabled:?}");
    assert_eq!(server.ask("GET", &format!("{ODD_PATH}/a"), "").status, 404);

    let odd = of_mount(r#"odd\"\\n {x=\"y\"}/"#, "passthrough-plugin");
    let text = scrape(&server);
    assert_eq!(value(&text, &format!("cofferdam_mount_storage_reads_total{odd}}}")), 1.0);
    for line in text.lines() {
        assert!(line.starts_with("# ") || line.starts_with("cofferdam_"), "{line:?}");
    }

    world.succeed(&server, &["secrets", "move", "odd\"\\n {x=\"y\"}", "even"]);
    world.succeed(&server, &["secrets", "tune", "-description=moved", "even"]);
    assert_eq!(server.ask("GET", "even/a", "").status, 404);
    let text = scrape(&server);
    assert!(!text.contains("odd"), "{text}");
    let even = of_mount("even/", "passthrough-plugin");
    assert_eq!(value(&text, &format!("cofferdam_mount_storage_reads_total{even}}}")), 2.0, "it counts on");
    world.succeed(&server, &["secrets", "disable", "even"]);
    assert!(!scrape(&server).contains("even/"));
}

#[test]
fn metrics_need_a_token_and_a_known_format() {
    let (_world, server) = world();
    let ask = |path: &str, token: &str| Request::new("GET", path).token(token).send(&server.address);
    for path in ["sys/metrics", "sys/metrics?format=prometheus"] {
        assert_eq!((ask(path, "").status, ask(path, "wrong").status), (403, 403), "{path}");
    }
    let answer = ask("sys/metrics?format=graphite", &server.token);
    assert_eq!(answer.status, 400);
    assert!(answer.errors().contains(r#"unknown format "graphite": it is "prometheus" or "json""#), "{answer:?}");
    assert_eq!(server.ask("PUT", "sys/metrics", "").status, 405);
}

#[test]
fn a_plugin_that_a_mount_runs_stays_in_the_catalog_and_is_shown() {
    let (world, server) = world();
    assert!(scrape(&server).contains(r#"cofferdam_plugin_instances_live{kind="secret",plugin="hostile",version=""}"#));
    assert_eq!(world.run(&server, &["plugin", "deregister", "secret", "hostile"]).exit, 2);
    assert!(scrape(&server).contains(r#"plugin="hostile""#), "it runs on where it is mounted");
}

#[test]
fn the_command_shows_what_the_server_counts() {
    let (world, server) = world();
    assert_eq!(server.ask("PUT", "kv/a", &json!({ "password": STORED }).to_string()).status, 204);
    let report = world.succeed(&server, &["plugin", "top", "-once", "-interval=200ms", "-format=json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let rows: Vec<_> = report["rows"].as_array().unwrap().iter().map(|row| (&row["plugin"], &row["mount"])).collect();
    let (hostile, passthrough) = (json!("hostile"), json!("passthrough-plugin"));
    assert_eq!(rows, [(&hostile, &Value::Null), (&passthrough, &Value::Null), (&passthrough, &json!("kv/"))]);
    assert!(report["rows"][2]["requests_per_second"].as_f64().is_some_and(|rate| rate == 0.0), "{report}");
}
