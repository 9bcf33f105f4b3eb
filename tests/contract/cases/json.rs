//! JSON as plugins are promised it: numbers to the digit, and as deep as a request may be.

use cofferdam::ErrorKind::InvalidRequest;
use serde_json::{Value, json};

use crate::script::{Answer, Body, Case, Lease, Need, Step, case, read, write};

/// How deep JSON may be, in a request, in an answer and in what is stored.
const DEEPEST: usize = 500;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("numbers keep their digits", "passthrough", kept(&digits(), None)).needs(Need::OurSdk),
        case("numbers keep their digits in kv", "kv", kept(&digits(), A_LEASE)).needs(Need::Kv),
        case("JSON is as deep as a request may be", "passthrough", kept(&nested(DEEPEST), None)),
        case("JSON is as deep as a request may be in kv", "kv", kept(&nested(DEEPEST), A_LEASE)).needs(Need::Kv),
        case("deeper JSON is refused and nothing breaks", "passthrough", refused(None)).needs(Need::OurSdk),
        case("deeper JSON is refused by kv and nothing breaks", "kv", refused(A_LEASE)).needs(Need::Kv),
    ]
}

/// What kv gives with every secret: the TTL of a mount that has none of its own, 32 days, and nothing internal.
const A_LEASE: Option<Lease> = Some((32 * 24 * 3600, 0, false, Value::Null));

fn kept(secret: &Value, lease: Option<Lease>) -> Vec<Step> {
    let answer = Answer { body: Body::Data(secret.clone()), lease, ..Answer::default() };
    vec![write("m/a", secret.clone()).gives_nothing(), Step::Restart, read("m/a").answers(answer)]
}

fn refused(lease: Option<Lease>) -> Vec<Step> {
    let refused = write("m/a", nested(DEEPEST + 1)).fails(InvalidRequest, "JSON is nested more than 500 deep");
    let mut steps = vec![refused, read("m/a").gives_nothing()];
    steps.extend(kept(&nested(DEEPEST), lease));
    steps
}

/// Returns numbers that neither integers of 64 bits nor floats hold, and one that is not written as either would be.
fn digits() -> Value {
    let text = r#"{"large":18446744073709551616,"long":100000000000000.01,"money":1.10,"in":[{"less":-0.10e+5}]}"#;
    serde_json::from_str(text).expect("it is JSON")
}

/// Returns objects and arrays inside one another, so many of them. The outermost is an object.
fn nested(deep: usize) -> Value {
    let around = |inner, level: usize| if level.is_multiple_of(2) { json!([inner]) } else { json!({ "a": inner }) };
    (1..=deep).rev().fold(json!(1), around)
}
