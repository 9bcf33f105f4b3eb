//! Version 2: all that was written.

mod stage;

use cofferdam_sdk::{Error, Operation, Request, Response};
use serde_json::{Value, json};
use stage::{answer, data, invalid, metadata, mount, not_found, put, version};

#[test]
fn every_write_makes_a_version() {
    let mut mount = mount();
    assert_eq!(answer(mount.write("data/a/b", json!({"data": {"k": "v1"}}))), version(1));
    assert_eq!(put(&mount, "a/b", json!({"k": "v2"})), version(2));
    mount.restart().unwrap();
    assert_eq!(data(&mount, "a/b", 0), json!({"data": {"k": "v2"}, "metadata": version(2)}));
    assert_eq!(data(&mount, "a/b", 2), data(&mount, "a/b", 0));
    assert_eq!(data(&mount, "a/b", 1), json!({"data": {"k": "v1"}, "metadata": version(1)}));
    assert_eq!(data(&mount, "a/b", -7), data(&mount, "a/b", 0), "a number that is none means the current one");
    for (path, number) in [("a/b", 3), ("a", 0), ("a/b/c", 0), ("", 0)] {
        let read =
            Request::new(Operation::Read, format!("data/{path}")).with_data(&json!({"version": number})).unwrap();
        assert_eq!(mount.request(read), Ok(Response::none()), "{path} {number}");
    }
    assert_eq!(
        mount.stored_keys(),
        ["2/metadata/a/b", "2/upgrade", "2/versions/a/b/1", "2/versions/a/b/2"],
        "nothing else is stored"
    );
}

#[test]
fn paths_may_look_like_anything() {
    let mount = mount();
    for path in ["a", "a/1", "a/1/2", "data/data", "metadata", "with space", "é+%2F{x}", "config", "-.."] {
        put(&mount, path, json!({"path": path}));
        put(&mount, path, json!({"path": path}));
    }
    for path in ["a", "a/1", "a/1/2", "data/data", "metadata", "with space", "é+%2F{x}", "config", "-.."] {
        assert_eq!(data(&mount, path, 1)["data"]["path"], path);
    }
    let keys = json!({"keys": ["-..", "a", "a/", "config", "data/", "metadata", "with space", "é+%2F{x}"]});
    assert_eq!(answer(mount.list("metadata")), keys);
    assert_eq!(answer(mount.list("metadata/a")), json!({"keys": ["1", "1/"]}));
    assert_eq!(mount.list("metadata/none"), Ok(Response::none()));
}

#[test]
fn data_is_kept_to_the_digit() {
    let mount = mount();
    let secret = r#"{"z":1.50, "a":12345678901234567890123}"#;
    let mut request = Request::new(Operation::Update, "data/a");
    request.raw_data = format!(r#"{{"data":{secret}}}"#).into_bytes();
    mount.request(request).unwrap();
    assert_eq!(mount.stored("2/versions/a/1").as_deref(), Some(secret.as_bytes()));
    mount.write("data/a", json!({"data": "{\"as\":\"text\"}"})).unwrap();
    assert_eq!(data(&mount, "a", 0)["data"], json!({"as": "text"}));
}

#[test]
fn a_write_may_say_which_version_it_is_made_of() {
    let mount = mount();
    let did_not_match = "check-and-set parameter did not match the current version";
    let write = |cas: Value| mount.write("data/a", json!({"data": {"k": "v"}, "options": {"cas": cas}}));
    assert_eq!(write(json!(1)), invalid(did_not_match));
    assert_eq!(answer(write(json!(0))), version(1));
    assert_eq!(write(json!(0)), invalid(did_not_match));
    assert_eq!(write(json!(-1)), invalid(did_not_match));
    assert_eq!(write(json!("one")), invalid("error parsing check-and-set parameter"));
    assert_eq!(write(json!([1])), invalid("error parsing check-and-set parameter"));
    assert_eq!(answer(write(json!("1"))), version(2), "the command line writes numbers as text");
    assert_eq!(answer(write(json!(2))), version(3));
    let required = invalid("check-and-set parameter required for this call");
    mount.write("metadata/a", json!({"cas_required": true})).unwrap();
    assert_eq!(mount.write("data/a", json!({"data": {}})), required);
    assert_eq!(mount.patch("data/a", json!({"data": {}})), required);
    assert_eq!(answer(write(json!(3))), version(4));
    mount.write("config", json!({"cas_required": "true"})).unwrap();
    assert_eq!(mount.write("data/other", json!({"data": {}})), required);
}

#[test]
fn two_writes_of_one_version_do_not_both_succeed() {
    let mount = mount();
    put(&mount, "a", json!({"k": 1}));
    let second = mount.stored("2/metadata/a").unwrap();
    let mut other: Value = serde_json::from_slice(&second).unwrap();
    other["current_version"] = json!(2);
    other["versions"]["2"] = other["versions"]["1"].clone();
    mount.change_before_commit("2/metadata/a", other.to_string().as_bytes());
    let write = mount.write("data/a", json!({"data": {"k": 2}, "options": {"cas": 1}}));
    assert_eq!(write, invalid("check-and-set parameter did not match the current version"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mount = mount();
    for (path, body, text) in [
        ("data/a", json!({}), "no data provided"),
        ("data/a", json!({"data": null}), "no data provided"),
        ("data/a", json!({"data": [1]}), "field `data`: expected an object"),
        ("data/a", json!({"data": "text"}), "field `data`: expected an object"),
        ("data/a", json!({"data": {}, "options": 1}), "field `options`: expected an object"),
        ("data/", json!({"data": {}}), "missing path"),
        ("delete/a", json!({}), "No version number provided"),
        ("undelete/a", json!({"versions": []}), "No version number provided"),
        ("destroy/a", json!({"versions": ""}), "no version number provided"),
        ("destroy/a", json!({"versions": ["one"]}), "field `versions`: expected a list of integers"),
        ("metadata/", json!({"max_versions": 1}), "missing path"),
        ("metadata/a", json!({"max_versions": -1}), "field `max_versions`: expected a number from 0 to 4294967295"),
        (
            "metadata/a",
            json!({"delete_version_after": 9_223_372_037_u64}),
            "field `delete_version_after`: expected a duration of at most 292 years",
        ),
        (
            "config",
            json!({"delete_version_after": "soon"}),
            "field `delete_version_after`: expected a duration in seconds or like \"1h30m\"",
        ),
    ] {
        assert_eq!(mount.write(path, &body), invalid(text), "{path} {body}");
    }
    assert_eq!(mount.read("delete/a"), Err(Error::UnsupportedOperation));
    assert_eq!(mount.stored_keys(), ["2/upgrade"]);
}

#[test]
fn unknown_fields_are_named() {
    let mount = mount();
    let response = mount.write("data/a", json!({"data": {}, "dta": 1})).unwrap();
    assert_eq!(response.warnings, ["Endpoint ignored these unrecognized parameters: [dta]"]);
}

#[test]
fn a_patch_merges_into_the_current_version() {
    let mount = mount();
    let patch = |body: Value| mount.patch("data/a", body);
    assert_eq!(patch(json!({"data": {"a": 1}})), Ok(Response::raw(404, "application/json", "")));
    assert_eq!(patch(json!({})), invalid("no data provided"));
    put(&mount, "a", json!({"a": 1, "b": {"c": 2, "d": 3}, "e": 4}));
    let change = json!({"data": {"a": null, "b": {"c": null, "x": 5}, "new": [1]}, "options": {"cas": 1}});
    assert_eq!(answer(patch(change.clone())), version(2));
    assert_eq!(data(&mount, "a", 0)["data"], json!({"b": {"d": 3, "x": 5}, "e": 4, "new": [1]}));
    assert_eq!(data(&mount, "a", 1)["data"]["a"], 1, "the version before stays");
    assert_eq!(patch(change), invalid("check-and-set parameter did not match the current version"));
    mount.delete("data/a").unwrap();
    let gone = not_found(patch(json!({"data": {}})));
    assert_eq!((&gone["data"]["version"], &gone["data"]["destroyed"]), (&json!(2), &json!(false)));
    mount.write("destroy/a", json!({"versions": 2})).unwrap();
    assert_eq!(not_found(patch(json!({"data": {}})))["data"]["destroyed"], true);
}

#[test]
fn what_is_deleted_is_hidden_until_it_is_brought_back() {
    let mount = mount();
    put(&mount, "a", json!({"k": 1}));
    put(&mount, "a", json!({"k": 2}));
    assert_eq!(mount.delete("data/a"), Ok(Response::none()));
    let read = || mount.request(Request { id: "an-id".into(), ..Request::new(Operation::Read, "data/a") });
    let response = read().unwrap();
    let cofferdam_sdk::Body::Raw(raw) = &response.body else { panic!("{response:?}") };
    let text = String::from_utf8(raw.body.clone()).unwrap();
    let head = r#"{"request_id":"an-id","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":null,"metadata":{"created_time":""#;
    assert!(text.starts_with(head), "{text}");
    assert!(
        text.ends_with(r#","destroyed":false,"version":2}},"wrap_info":null,"warnings":null,"auth":null}"#),
        "{text}"
    );
    let gone = not_found(Ok(response));
    let deleted = gone["data"]["metadata"]["deletion_time"].as_str().unwrap().to_owned();
    assert!(deleted.ends_with('Z') && deleted.len() > "2006-01-02T15:04:05".len(), "{deleted}");
    assert_eq!(mount.delete("data/a"), Ok(Response::none()), "twice is not an error");
    assert_eq!(not_found(read()), gone, "and changes nothing");
    assert_eq!(data(&mount, "a", 1)["data"]["k"], 1);

    mount.write("undelete/a", json!({"versions": [2]})).unwrap();
    assert_eq!(data(&mount, "a", 0), json!({"data": {"k": 2}, "metadata": version(2)}));

    mount.write("delete/a", json!({"versions": "1,2,9,-1"})).unwrap();
    mount.write("delete/none", json!({"versions": "1"})).unwrap();
    for number in [1, 2] {
        let read = Request::new(Operation::Read, "data/a").with_data(&json!({"version": number})).unwrap();
        assert_eq!(not_found(mount.request(read))["data"]["data"], Value::Null);
    }
    assert_eq!(answer(mount.write("data/a", json!({"data": {"k": 3}}))), version(3), "a write goes on");
    assert_eq!(data(&mount, "a", 0)["data"]["k"], 3);
}

#[test]
fn what_is_destroyed_is_gone() {
    let mount = mount();
    for number in 1..=3 {
        put(&mount, "a", json!({"k": number}));
    }
    assert_eq!(mount.write("destroy/a", json!({"versions": ["1", 3, 7]})), Ok(Response::none()));
    assert_eq!(mount.stored("2/versions/a/1"), None);
    assert_eq!(mount.stored("2/versions/a/3"), None);
    let gone = not_found(mount.read("data/a"));
    assert_eq!((&gone["data"]["data"], &gone["data"]["metadata"]["destroyed"]), (&Value::Null, &json!(true)));
    assert_eq!(gone["data"]["metadata"]["deletion_time"], "");
    mount.write("undelete/a", json!({"versions": 3})).unwrap();
    not_found(mount.read("data/a"));
    assert_eq!(data(&mount, "a", 2)["data"]["k"], 2);
    assert_eq!(metadata(&mount, "a")["versions"]["1"]["destroyed"], true);
}

#[test]
fn old_versions_go_when_there_are_too_many() {
    let mount = mount();
    mount.write("config", json!({"max_versions": 2})).unwrap();
    for number in 1..=4 {
        put(&mount, "a", json!({"k": number}));
    }
    let known = metadata(&mount, "a");
    assert_eq!(
        (&known["current_version"], &known["oldest_version"], &known["max_versions"]),
        (&json!(4), &json!(3), &json!(0))
    );
    assert_eq!(known["versions"].as_object().unwrap().keys().collect::<Vec<_>>(), ["3", "4"]);
    let versions: Vec<_> = mount.stored_keys().into_iter().filter(|key| key.starts_with("2/versions")).collect();
    assert_eq!(versions, ["2/versions/a/3", "2/versions/a/4"]);
    let read = Request::new(Operation::Read, "data/a").with_data(&json!({"version": "1"})).unwrap();
    assert_eq!(mount.request(read), Ok(Response::none()));
}

#[test]
fn versions_may_go_by_themselves() {
    let mount = mount();
    mount.write("config", json!({"delete_version_after": "3h25m19s"})).unwrap();
    put(&mount, "a", json!({"k": 1}));
    let read = data(&mount, "a", 0);
    assert_ne!(read["metadata"]["deletion_time"], "", "it is yet to come");
    assert_eq!(read["data"]["k"], 1);
    // The same secret, much later.
    let stored = mount.stored("2/metadata/a").unwrap();
    let mut stored: Value = serde_json::from_slice(&stored).unwrap();
    stored["versions"]["1"]["deletion_time"] = json!([1, 0]);
    mount.change_elsewhere("2/metadata/a", Some(stored.to_string().as_bytes()));
    assert_eq!(not_found(mount.read("data/a"))["data"]["metadata"]["deletion_time"], "1970-01-01T00:00:01Z");
    mount.write("undelete/a", json!({"versions": 1})).unwrap();
    let again = data(&mount, "a", 0);
    assert!(again["metadata"]["deletion_time"].as_str() > Some("2020"), "the time begins anew");
    mount.write("config", json!({"delete_version_after": "-1h"})).unwrap();
    mount.write("metadata/a", json!({"delete_version_after": 5})).unwrap();
    assert_eq!(put(&mount, "a", json!({}))["deletion_time"], "", "the settings forbid it");
}

#[test]
fn subkeys_are_the_structure() {
    let mount = mount();
    assert_eq!(mount.read("subkeys/a"), Ok(Response::none()));
    put(&mount, "a", json!({"a": "hush", "b": {"c": [1]}}));
    assert_eq!(
        answer(mount.read("subkeys/a")),
        json!({"subkeys": {"a": null, "b": {"c": null}}, "metadata": version(1)})
    );
    let shallow = Request::new(Operation::Read, "subkeys/a").with_data(&json!({"depth": "1", "version": "1"})).unwrap();
    assert_eq!(answer(mount.request(shallow))["subkeys"], json!({"a": null, "b": null}));
    mount.delete("data/a").unwrap();
    assert_eq!(not_found(mount.read("subkeys/a"))["data"]["subkeys"], Value::Null);
}

#[test]
fn who_asks_as_of_version_1_is_told_how() {
    let mount = mount();
    let put_there = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. \
                     If using the Vault CLI, use 'vault kv put' for this operation.";
    assert_eq!(not_found(mount.write("a", json!({"k": "v"})))["warnings"], json!([put_there]));
    for (response, command) in [(mount.read("a/b"), "get"), (mount.list("a"), "list"), (mount.delete("a"), "delete")] {
        let warning = not_found(response)["warnings"][0].as_str().unwrap().to_owned();
        assert!(warning.contains(&format!("'vault kv {command}'")), "{warning}");
    }
    let root = "Non-listing operations on the root of a K/V v2 mount are not supported.";
    assert_eq!(not_found(mount.read("data"))["warnings"], json!([root]));
    not_found(mount.list("data/a"));
    not_found(mount.read("data/a/"));
}

#[test]
fn help_names_every_path() {
    let help = mount().help("").unwrap();
    for path in ["config", "data/", "metadata/", "delete/", "undelete/", "destroy/", "subkeys/"] {
        assert!(help.contains(path), "{path} is missing: {help}");
    }
}
