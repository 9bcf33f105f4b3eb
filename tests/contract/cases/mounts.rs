//! What a plugin sees of its mount, and what happens to it when mounts come, go and move.

use std::collections::BTreeMap;
use std::time::Duration;

use cofferdam::ErrorKind::{Denied, NotFound};
use cofferdam::request::Operation;
use cofferdam::{MountConfig, TtlChange, Tune};
use serde_json::{Value, json};

use crate::script::{Ask, Case, Change, Need, Step, ask, case, list, read, write};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            options: &[("color", "red"), ("size", "")],
            config: MountConfig {
                default_lease_ttl: Some(Duration::from_secs(60)),
                max_lease_ttl: Some(Duration::from_secs(120)),
                passthrough_request_headers: vec!["X-Allowed".into()],
                ..MountConfig::default()
            },
            ..case(
                "a plugin sees its mount, its request and its caller",
                "probe",
                [
                    with_headers(write("m/seen/a", json!({ "k": ["v"] }))).gives(seen(json!({
                        "operation": "update", "path": "seen/a", "data": { "k": ["v"] },
                        "options": [["color", "red"], ["size", ""]], "ttls": [60, 120],
                        "headers": [["one", "two"], []],
                    }))),
                    Change::tune(
                        "m",
                        Tune {
                            default_lease_ttl: Some(TtlChange::To(Duration::from_secs(30))),
                            max_lease_ttl: Some(TtlChange::System),
                            options: Some(BTreeMap::from([("color".into(), "blue".into())])),
                            passthrough_request_headers: Some(vec!["x-secret".into()]),
                            ..Tune::default()
                        },
                    )
                    .works(),
                    with_headers(ask(Operation::Delete, "m/seen/b/")).gives(seen(json!({
                        "operation": "delete", "path": "seen/b/",
                        "options": [["color", "blue"], ["size", ""]], "ttls": [30, 768 * 3600],
                        "headers": [[], ["hush"]],
                    }))),
                ],
            )
        },
        case(
            "an open path needs no token, and never learns whose it was",
            "probe",
            [
                read("m/open/door").by_nobody().gives(seen_by_nobody()),
                read("m/open/door").gives(seen_by_nobody()),
                read("m/open").by_nobody().fails(Denied, "permission denied"),
                read("m/seen").by_nobody().fails(Denied, "permission denied"),
                read("m/nowhere").by_nobody().fails(Denied, "permission denied"),
            ],
        ),
        case(
            "memory lives as long as the instance",
            "probe",
            [
                read("m/memory").gives(json!({ "reads": 1 })),
                read("m/memory").gives(json!({ "reads": 2 })),
                read("m/starts").gives(json!({ "starts": 1 })),
            ],
        ),
        case(
            "a plugin hears of what somebody else changed",
            "probe",
            [
                // There is an instance to tell from its first request on.
                read("m/memory").gives(json!({ "reads": 1 })),
                Step::Invalidate("m", "b"),
                Step::Invalidate("m", "kv/a"),
                read("m/invalidated").gives(json!({ "keys": ["b", "kv/a"] })),
            ],
        ),
        case(
            "a fresh instance for each request remembers nothing",
            "probe-per-request",
            [
                read("m/memory").gives(json!({ "reads": 1 })),
                read("m/memory").gives(json!({ "reads": 1 })),
                write("m/kv/a", json!({ "v": 1 })).gives(json!({ "operation": "create" })),
                read("m/kv/a").gives(json!({ "v": 1 })),
                read("m/starts").gives(json!({ "starts": 1 })),
            ],
        )
        .needs(Need::PerRequest),
        case(
            "two mounts of a plugin share nothing",
            "probe",
            [
                Change::Enable("n/deep").works(),
                write("m/kv/a", json!({ "at": "m" })).gives(json!({ "operation": "create" })),
                read("n/deep/kv/a").gives_nothing(),
                write("n/deep/kv/a", json!({ "at": "n" })).gives(json!({ "operation": "create" })),
                read("m/kv/a").gives(json!({ "at": "m" })),
                read("m/memory").gives(json!({ "reads": 1 })),
                read("m/memory").gives(json!({ "reads": 2 })),
                read("n/deep/memory").gives(json!({ "reads": 1 })),
                Change::Disable("m").works(),
                read("m/kv/a").fails(NotFound, "no handler for route"),
                read("n/deep/kv/a").gives(json!({ "at": "n" })),
            ],
        ),
        case(
            "a move keeps what is stored and what is remembered",
            "probe",
            [
                write("m/kv/a", json!({ "v": 1 })).gives(json!({ "operation": "create" })),
                read("m/memory").gives(json!({ "reads": 1 })),
                Change::Move("m", "else/where").works(),
                read("m/kv/a").fails(NotFound, "no handler for route"),
                read("else/where/kv/a").gives(json!({ "v": 1 })),
                read("else/where/memory").gives(json!({ "reads": 2 })),
                read("else/where/seen").gives(seen(json!({ "mount_path": "else/where/" }))),
                Step::Restart,
                read("else/where/kv/a").gives(json!({ "v": 1 })),
                read("m/kv/a").fails(NotFound, "no handler for route"),
            ],
        ),
        case(
            "disabling a mount wipes what it stored",
            "probe",
            [
                write("m/kv/a", json!({ "v": 1 })).gives(json!({ "operation": "create" })),
                Change::Disable("m").works(),
                Change::Enable("m").works(),
                read("m/kv/a").gives_nothing(),
                list("m/kv/").gives(json!({ "keys": ["starts"] })),
                read("m/starts").gives(json!({ "starts": 1 })),
            ],
        ),
        case(
            "a restart keeps what is stored and starts the mount once",
            "probe",
            [
                write("m/kv/a", json!({ "v": 1 })).gives(json!({ "operation": "create" })),
                read("m/memory").gives(json!({ "reads": 1 })),
                Step::Restart,
                read("m/kv/a").gives(json!({ "v": 1 })),
                read("m/memory").gives(json!({ "reads": 1 })),
                read("m/starts").gives(json!({ "starts": 2 })),
            ],
        ),
    ]
}

fn with_headers(ask: Ask) -> Ask {
    ask.with_headers(&[("x-allowed", "one"), ("x-secret", "hush"), ("X-ALLOWED", "two")])
}

/// Returns what `seen` answers to a plain request of ada's, but for these fields.
fn seen(but: Value) -> Value {
    let mut seen = json!({
        "operation": "read", "path": "seen", "has_id": true, "data": {}, "mount_path": "m/", "options": [],
        "ttls": [768 * 3600, 768 * 3600], "caller": ["ada", "entity-1", "accessor-1", "192.0.2.1:4711"],
        "policies": ["default", "readers"], "headers": [[], []],
    });
    let Value::Object(fields) = but else { panic!("fields are an object") };
    fields.into_iter().for_each(|(name, value)| seen[name] = value);
    seen
}

fn seen_by_nobody() -> Value {
    seen(json!({ "path": "open/door", "caller": ["", "", "", "192.0.2.1:4711"], "policies": [] }))
}
