//! Version 2: settings, and what is known of secrets.

mod stage;

use cofferdam_sdk::{Operation, Request, Response};
use serde_json::{Value, json};
use stage::{answer, data, metadata, mount, put};

#[test]
fn settings_are_shown_as_they_are_set() {
    let mount = mount();
    let config = || answer(mount.read("config"));
    assert_eq!(config(), json!({"max_versions": 0, "cas_required": false, "delete_version_after": "0s"}));
    for (body, expected) in [
        (json!({"max_versions": "5"}), json!({"max_versions": 5, "cas_required": false, "delete_version_after": "0s"})),
        (json!({"cas_required": true}), json!({"max_versions": 5, "cas_required": true, "delete_version_after": "0s"})),
        (
            json!({"delete_version_after": "90m"}),
            json!({"max_versions": 5, "cas_required": true, "delete_version_after": "1h30m0s"}),
        ),
        (
            json!({"delete_version_after": -1}),
            json!({"max_versions": 5, "cas_required": true, "delete_version_after": "-1s"}),
        ),
        (
            json!({"delete_version_after": 0, "cas_required": "false"}),
            json!({"max_versions": 5, "cas_required": false, "delete_version_after": "0s"}),
        ),
        (
            json!({"delete_version_after": "1.5h"}),
            json!({"max_versions": 5, "cas_required": false, "delete_version_after": "1h30m0s"}),
        ),
        (
            json!({"delete_version_after": ""}),
            json!({"max_versions": 5, "cas_required": false, "delete_version_after": "0s"}),
        ),
        (json!({}), json!({"max_versions": 5, "cas_required": false, "delete_version_after": "0s"})),
    ] {
        assert_eq!(mount.write("config", &body), Ok(Response::none()), "{body}");
        assert_eq!(config(), expected, "{body}");
    }
}

#[test]
fn all_is_known_of_a_secret_and_its_versions() {
    let mount = mount();
    assert_eq!(mount.read("metadata/a"), Ok(Response::none()));
    put(&mount, "a", json!({"k": 1}));
    put(&mount, "a", json!({"k": 2}));
    mount
        .write("metadata/a", json!({"custom_metadata": {"team": "x"}, "max_versions": 3, "delete_version_after": "1h"}))
        .unwrap();
    mount.write("destroy/a", json!({"versions": 1})).unwrap();
    let expected = json!({
        "cas_required": false,
        "current_version": 2,
        "custom_metadata": {"team": "x"},
        "delete_version_after": "1h0m0s",
        "max_versions": 3,
        "oldest_version": 0,
        "versions": {
            "1": {"deletion_time": "", "destroyed": true},
            "2": {"deletion_time": "", "destroyed": false},
        },
    });
    assert_eq!(metadata(&mount, "a"), expected);
    assert_eq!(data(&mount, "a", 0)["metadata"]["custom_metadata"], json!({"team": "x"}));
}

#[test]
fn a_secret_may_be_set_up_before_it_is_written() {
    let mount = mount();
    assert_eq!(mount.write("metadata/a", json!({})), Ok(Response::none()));
    assert_eq!(mount.read("metadata/a"), Ok(Response::none()), "nothing was said, so nothing is there");
    mount.write("metadata/a", json!({"cas_required": true})).unwrap();
    let known = metadata(&mount, "a");
    assert_eq!((&known["current_version"], &known["versions"]), (&json!(0), &json!({})));
    assert_eq!(mount.read("data/a"), Ok(Response::none()));
    assert_eq!(
        mount.patch("data/a", json!({"data": {}, "options": {"cas": 0}})).unwrap(),
        Response::raw(404, "application/json", "")
    );
    mount.write("data/a", json!({"data": {}, "options": {"cas": 0}})).unwrap();
}

#[test]
fn a_write_of_metadata_replaces_and_a_patch_merges() {
    let mount = mount();
    let nothing = Response::raw(404, "application/json", "");
    assert_eq!(mount.patch("metadata/a", json!({"max_versions": 1})), Ok(nothing));
    let custom = || metadata(&mount, "a")["custom_metadata"].clone();
    mount.write("metadata/a", json!({"custom_metadata": {"a": "1", "b": "2"}, "max_versions": 7})).unwrap();
    assert_eq!(mount.patch("metadata/a", json!({"custom_metadata": {"a": null, "c": "3"}})), Ok(Response::none()));
    assert_eq!(custom(), json!({"b": "2", "c": "3"}));
    mount
        .patch("metadata/a", json!({"max_versions": null, "cas_required": true, "delete_version_after": "30s"}))
        .unwrap();
    let known = metadata(&mount, "a");
    assert_eq!(
        (&known["max_versions"], &known["cas_required"], &known["delete_version_after"]),
        (&json!(0), &json!(true), &json!("30s"))
    );
    mount.write("metadata/a", json!({"custom_metadata": {"z": 5}})).unwrap();
    assert_eq!(custom(), json!({"z": "5"}));
    assert_eq!(metadata(&mount, "a")["cas_required"], true, "what is not named stays");
    assert!(mount.patch("metadata/a", json!({"custom_metadata": {"z": ""}})).is_err());
    assert_eq!(custom(), json!({"z": "5"}));
    mount.write("metadata/a", json!({"custom_metadata": {}})).unwrap();
    assert_eq!(custom(), Value::Null);
}

#[test]
fn what_the_settings_demand_cannot_be_waived() {
    let mount = mount();
    mount.write("config", json!({"cas_required": true})).unwrap();
    let warning = "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.";
    let response = mount.write("metadata/a", json!({"cas_required": false})).unwrap();
    assert_eq!(response.warnings, [warning]);
    assert_eq!(mount.patch("metadata/a", json!({"cas_required": false})).unwrap().warnings, [warning]);
    assert!(mount.write("data/a", json!({"data": {}})).is_err());
}

#[test]
fn a_deletion_of_metadata_leaves_nothing() {
    let mount = mount();
    for _ in 0..3 {
        put(&mount, "a", json!({"k": "v"}));
        put(&mount, "a/b", json!({"k": "v"}));
    }
    assert_eq!(mount.delete("metadata/a"), Ok(Response::none()));
    assert_eq!(mount.delete("metadata/a"), Ok(Response::none()));
    let left = ["2/metadata/a/b", "2/upgrade", "2/versions/a/b/1", "2/versions/a/b/2", "2/versions/a/b/3"];
    assert_eq!(mount.stored_keys(), left);
    assert_eq!(put(&mount, "a", json!({}))["version"], 1, "it starts over");
}

#[test]
fn many_versions_go_in_several_transactions() {
    let mount = mount();
    mount.write("metadata/a", json!({"max_versions": 600})).unwrap();
    for _ in 0..600 {
        put(&mount, "a", json!({}));
    }
    let all: Vec<u32> = (1..=600).collect();
    mount.write("destroy/a", json!({"versions": all})).unwrap();
    assert_eq!(mount.stored_keys(), ["2/metadata/a", "2/upgrade"]);
    mount.delete("metadata/a").unwrap();
    assert_eq!(mount.stored_keys(), ["2/upgrade"]);
}

#[test]
fn a_list_may_leave_out_what_is_deleted() {
    let mount = mount();
    for path in ["a", "b", "c/d"] {
        put(&mount, path, json!({}));
    }
    mount.delete("data/b").unwrap();
    assert_eq!(answer(mount.list("metadata")), json!({"keys": ["a", "b", "c/"]}));
    let list = Request::new(Operation::List, "metadata/").with_data(&json!({"exclude_deleted": "true"})).unwrap();
    assert_eq!(answer(mount.request(list)), json!({"keys": ["a", "c/"]}));
}
