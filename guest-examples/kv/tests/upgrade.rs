//! From version 1 to version 2.

use cofferdam_sdk::testing::{TestMount, TestMountBuilder};
use cofferdam_sdk::{Error, Operation, Request, Response};
use kv_plugin::Kv;
use serde_json::{Value, json};

const UNAVAILABLE: &str = "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period \
                           and will resume service shortly.";

fn unavailable() -> Result<Response, Error> {
    Err(Error::Unavailable(UNAVAILABLE.into()))
}

/// Returns a mount with so many secrets of version 1.
fn with_secrets(count: usize) -> TestMountBuilder<Kv> {
    let secrets = (0..count).map(|number| format!("1/folder{}/secret{number}", number % 7));
    secrets.fold(TestMount::builder(), |builder, key| {
        let secret = json!({ "key": key }).to_string();
        builder.stored(&key, secret.as_bytes())
    })
}

#[track_caller]
fn check_all_versioned(mount: &TestMount<Kv>, count: usize) {
    for number in 0..count {
        let path = format!("folder{}/secret{number}", number % 7);
        let read = mount.read(&format!("data/{path}")).unwrap().data::<Value>().unwrap();
        assert_eq!((&read["data"]["key"], &read["metadata"]["version"]), (&json!(format!("1/{path}")), &json!(1)));
        assert_eq!(mount.read(&format!("metadata/{path}")).unwrap().data::<Value>().unwrap()["oldest_version"], 1);
    }
    assert!(mount.stored_keys().iter().all(|key| key.starts_with("2/")), "something is left behind");
    assert_eq!(mount.stored("2/upgrade").as_deref(), Some(&br#"{"done":true}"#[..]));
}

#[test]
fn a_tuned_mount_takes_its_secrets_along() {
    let mut mount = TestMount::<Kv>::new();
    for path in ["a", "a/b", "c/d/e"] {
        mount.write(path, json!({ "path": path })).unwrap();
    }
    mount.set_option("version", "2").unwrap();
    for path in ["a", "a/b", "c/d/e"] {
        let read = mount.read(&format!("data/{path}")).unwrap().data::<Value>().unwrap();
        assert_eq!((&read["data"]["path"], &read["metadata"]["version"]), (&json!(path), &json!(1)));
    }
    mount.restart().unwrap();
    assert_eq!(mount.list("metadata").unwrap().data::<Value>(), Ok(json!({ "keys": ["a", "a/", "c/"] })));
    assert_eq!(mount.stored_keys().len(), 7, "{:?}", mount.stored_keys());
}

#[test]
fn a_start_upgrades_in_batches() {
    check_all_versioned(&with_secrets(250).option("version", "2").start().unwrap(), 250);
}

#[test]
fn requests_wait_for_a_long_upgrade_and_do_their_share() {
    let mut mount = with_secrets(1_200).start().unwrap();
    mount.set_option("version", "2").unwrap();
    let mut refused = 0;
    while mount.read("data/folder0/secret0") == unavailable() {
        refused += 1;
        assert!(refused < 10, "it does not get on");
    }
    assert!(refused > 0, "one request did it all");
    check_all_versioned(&mount, 1_200);
}

#[test]
fn the_hosts_own_call_does_its_share_too() {
    let mut mount = with_secrets(600).start().unwrap();
    mount.set_option("version", "2").unwrap();
    let roll_back = || mount.request(Request::new(Operation::Rollback, ""));
    assert_eq!(roll_back(), unavailable());
    assert_eq!(roll_back(), Ok(Response::none()));
    check_all_versioned(&mount, 600);
}

#[test]
fn a_crash_in_the_middle_loses_nothing() {
    // A batch had moved when the server died: one secret is versioned, the others are not.
    let mut mount = with_secrets(3).start().unwrap();
    mount.set_option("version", "2").unwrap();
    mount.read("data/folder0/secret0").unwrap();
    let moved =
        ["2/metadata/folder0/secret0", "2/versions/folder0/secret0/1"].map(|key| (key, mount.stored(key).unwrap()));
    let crashed = moved.iter().fold(TestMount::<Kv>::builder(), |builder, (key, value)| builder.stored(key, value));
    let crashed = crashed
        .stored("2/upgrade", br#"{"done":false}"#)
        .stored("1/folder1/secret1", br#"{"key":"1/folder1/secret1"}"#)
        .stored("1/folder2/secret2", br#"{"key":"1/folder2/secret2"}"#);
    check_all_versioned(&crashed.option("version", "2").start().unwrap(), 3);
}

#[test]
fn large_secrets_move_few_at_a_time() {
    let secret = json!({ "key": "x".repeat(1_000_000) }).to_string();
    let builder = (0..12)
        .fold(TestMount::<Kv>::builder(), |builder, number| builder.stored(&format!("1/{number}"), secret.as_bytes()));
    let mount = builder.option("version", "2").start().unwrap();
    let read = mount.read("data/11").unwrap().data::<Value>().unwrap();
    assert_eq!(read["data"]["key"].as_str().map(str::len), Some(1_000_000));
    assert!(mount.stored_keys().iter().all(|key| key.starts_with("2/")));
}

#[test]
fn nothing_is_written_in_version_1_once_an_upgrade_has_begun() {
    let mut mount = TestMount::<Kv>::new();
    mount.write("a", json!({ "k": "v" })).unwrap();
    // Another instance begins, just before this one commits.
    mount.change_before_commit("2/upgrade", br#"{"done":false}"#);
    assert_eq!(mount.write("b", json!({ "k": "v" })), unavailable());
    assert_eq!(mount.delete("a"), unavailable());
    assert_eq!(mount.read("moved"), unavailable());
    assert_eq!(mount.list(""), unavailable());
    mount.set_option("version", "2").unwrap();
    assert_eq!(mount.read("data/a").unwrap().data::<Value>().unwrap()["data"], json!({ "k": "v" }));
    assert_eq!(mount.stored("1/b"), None);
}

#[test]
fn there_is_no_way_back() {
    let mut mount = TestMount::<Kv>::builder().option("version", "2").start().unwrap();
    let refused = Err(Error::InvalidRequest("cannot downgrade mount from version 2".into()));
    assert_eq!(mount.set_option("version", "1"), refused);
    mount.write("data/a", json!({ "data": { "k": "v" } })).unwrap();
}
