//! Version 1: what was written last.

use std::time::Duration;

use cofferdam_sdk::testing::TestMount;
use cofferdam_sdk::{Body, Error, Lease, Operation, Request, Response};
use kv_plugin::Kv;
use serde_json::{Value, json};

#[test]
fn what_was_written_is_read_until_it_is_deleted() {
    let mut mount = TestMount::<Kv>::new();
    let secret = json!({ "user": "ada", "path": "a field of its own", "odd": [1, { "a": null }] });
    for path in ["db/prod", "db", "with space/é+%25", "a.b/c-d_e/{x}"] {
        assert_eq!(mount.write(path, &secret), Ok(Response::none()), "{path}");
        mount.restart().unwrap();
        assert_eq!(mount.read(path).unwrap().data::<Value>().unwrap(), secret, "{path}");
        assert_eq!(mount.delete(path), Ok(Response::none()));
        assert_eq!(mount.read(path), Ok(Response::none()), "{path}");
    }
    assert_eq!(mount.delete("never/there"), Ok(Response::none()));
    assert!(mount.stored_keys().is_empty());
}

#[test]
fn a_secret_is_kept_to_the_digit() {
    let mount = TestMount::<Kv>::new();
    let mut request = Request::new(Operation::Update, "a");
    request.raw_data = br#" {"n": 12345678901234567890123.10, "z": 1, "a": 1e2} "#.to_vec();
    let written = request.raw_data.trim_ascii().to_vec();
    mount.request(request).unwrap();
    assert_eq!(mount.read("a").unwrap().body, Body::Data(written));
}

#[test]
fn a_secret_says_when_to_read_it_again() {
    let mount = TestMount::<Kv>::new();
    for (secret, seconds) in [
        (json!({ "a": 1 }), 0),
        (json!({ "ttl": "1h" }), 3_600),
        (json!({ "ttl": 30 }), 30),
        (json!({ "ttl": "30", "lease": "1h" }), 30),
        (json!({ "lease": "2m" }), 120),
        (json!({ "ttl": "soon" }), 0),
        (json!({ "ttl": -5 }), 0),
        (json!({ "ttl": "-5s" }), 0),
        (json!({ "ttl": "1.5h" }), 5_400),
        (json!({ "ttl": "1500ms" }), 1),
        (json!({ "ttl": "9223372036" }), 9_223_372_036),
        (json!({ "ttl": 1e300 }), 0),
        (json!({ "ttl": 1.5 }), 0),
        (json!({ "ttl": [] }), 0),
    ] {
        mount.write("a", &secret).unwrap();
        let lease = Lease { ttl: Duration::from_secs(seconds), ..Lease::default() };
        assert_eq!(mount.read("a").unwrap().secret, Some(lease), "{secret}");
    }
}

#[test]
fn lists_one_level() {
    let mount = TestMount::<Kv>::new();
    for path in ["a", "b/c", "b/d", "b/e/f"] {
        mount.write(path, json!({ "k": "v" })).unwrap();
    }
    assert_eq!(mount.list("").unwrap().data::<Value>(), Ok(json!({ "keys": ["a", "b/"] })));
    assert_eq!(mount.list("b").unwrap().data::<Value>(), Ok(json!({ "keys": ["c", "d", "e/"] })));
    assert_eq!(mount.list("none"), Ok(Response::none()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mount = TestMount::<Kv>::new();
    let invalid = |text: &str| Err(Error::InvalidRequest(text.into()));
    assert_eq!(mount.write("a", json!({})), invalid("missing data fields"));
    assert_eq!(mount.write("", json!({ "a": 1 })), invalid("missing path"));
    assert_eq!(mount.write(&"x".repeat(993), json!({ "a": 1 })), invalid("path is longer than 992 bytes"));
    assert!(matches!(mount.write("a/../b", json!({ "a": 1 })), Err(Error::InvalidRequest(_))));
    assert_eq!(mount.read(""), Ok(Response::none()));
    assert_eq!(mount.patch("a", json!({ "a": 1 })), Err(Error::UnsupportedOperation));
    assert!(mount.stored_keys().is_empty());
}

#[test]
fn a_version_that_is_none_does_not_start() {
    let started = TestMount::<Kv>::builder().option("version", "3").start();
    assert_eq!(started.err(), Some(Error::InvalidRequest("option version must be 1 or 2, not \"3\"".into())));
    assert!(TestMount::<Kv>::builder().option("version", "").start().is_ok());
    assert!(TestMount::<Kv>::builder().option("version", "1").start().is_ok());
}
