//! A mount of version 2, and what it answers with the moments left out.

#![allow(dead_code, reason = "each test program needs its own part")]

use cofferdam_sdk::testing::TestMount;
use cofferdam_sdk::{Body, Error, Operation, Request, Response};
use kv_plugin::Kv;
use serde_json::{Value, json};

pub(crate) fn mount() -> TestMount<Kv> {
    TestMount::builder().option("version", "2").start().unwrap()
}

pub(crate) fn invalid(text: &str) -> Result<Response, Error> {
    Err(Error::InvalidRequest(text.into()))
}

/// Returns what is answered; moments that have to be there are checked and left out.
#[track_caller]
pub(crate) fn answer(response: Result<Response, Error>) -> Value {
    let mut answer = response.unwrap().data::<Value>().unwrap();
    leave_out_moments(&mut answer);
    answer
}

fn leave_out_moments(value: &mut Value) {
    let Value::Object(members) = value else { return };
    for name in ["created_time", "updated_time"] {
        if let Some(time) = members.remove(name) {
            let time = time.as_str().unwrap();
            assert!(time.starts_with("20") && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        }
    }
    members.values_mut().for_each(leave_out_moments);
}

/// Returns what is said of a version that is there and stays.
pub(crate) fn version(number: u64) -> Value {
    json!({"custom_metadata": null, "deletion_time": "", "destroyed": false, "version": number})
}

#[track_caller]
pub(crate) fn put(mount: &TestMount<Kv>, path: &str, secret: Value) -> Value {
    answer(mount.write(&format!("data/{path}"), json!({ "data": secret })))
}

#[track_caller]
pub(crate) fn data(mount: &TestMount<Kv>, path: &str, version: i64) -> Value {
    let request = Request::new(Operation::Read, format!("data/{path}"));
    answer(mount.request(request.with_data(&json!({ "version": version })).unwrap()))
}

#[track_caller]
pub(crate) fn metadata(mount: &TestMount<Kv>, path: &str) -> Value {
    answer(mount.read(&format!("metadata/{path}")))
}

/// Returns the envelope of a 404 that has one.
#[track_caller]
pub(crate) fn not_found(response: Result<Response, Error>) -> Value {
    match response.unwrap().body {
        Body::Raw(raw) if raw.status == 404 && raw.content_type == "application/json" => {
            serde_json::from_slice(&raw.body).unwrap()
        }
        other => panic!("{other:?}"),
    }
}
