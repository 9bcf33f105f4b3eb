//! What plugins store: keys, listings, transactions.

use cofferdam::ErrorKind::{InvalidRequest, NotFound, UnsupportedOperation};
use cofferdam::request::Operation;
use serde_json::json;

use crate::script::{Case, Need, Step, ask, case, delete, list, read, write};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "what was written is read until it is deleted",
            "passthrough",
            [
                read("m/a").gives_nothing(),
                write("m/a", json!({ "user": "ada", "n": { "deep": [1, null, "ü"] } })).gives_nothing(),
                read("m/a").gives(json!({ "user": "ada", "n": { "deep": [1, null, "ü"] } })),
                write("m/a", json!({ "b": "c" })).gives_nothing(),
                read("m/a").gives(json!({ "b": "c" })),
                delete("m/a").gives_nothing(),
                read("m/a").gives_nothing(),
                delete("m/a").gives_nothing(),
                write("m/a", json!({})).fails(InvalidRequest, "missing data fields"),
            ],
        ),
        case(
            "a listing shows one level in byte order",
            "passthrough",
            [
                list("m/").gives_nothing(),
                write("m/b/d", json!({ "k": "v" })).gives_nothing(),
                write("m/b/c/e", json!({ "k": "v" })).gives_nothing(),
                write("m/a", json!({ "k": "v" })).gives_nothing(),
                write("m/b", json!({ "k": "v" })).gives_nothing(),
                write("m/Z", json!({ "k": "v" })).gives_nothing(),
                list("m/").gives(json!({ "keys": ["Z", "a", "b", "b/"] })),
                list("m/b/").gives(json!({ "keys": ["c/", "d"] })),
                list("m/a/").gives_nothing(),
            ],
        ),
        case("keys may hold what is not a separator", "passthrough", special_keys()),
        case("segments of a key may be empty", "probe", nameless_segments()),
        case("a listing can be read page by page", "probe", paging(PAGES)),
        case("a listing gives as many keys as the host allows", "probe", paging(HOST_PAGES)).needs(Need::HostPages),
        case(
            "a write to what is not there creates",
            "probe",
            [
                write("m/kv/a", json!({ "v": 1 })).gives(json!({ "operation": "create" })),
                write("m/kv/a", json!({ "v": 2 })).gives(json!({ "operation": "update" })),
                ask(Operation::Patch, "m/kv/a").with(json!({ "v": 3 })).gives(json!({ "operation": "patch" })),
                read("m/kv/a").gives(json!({ "v": 3 })),
                delete("m/kv/a").gives_nothing(),
                write("m/kv/a", json!({ "v": 4 })).gives(json!({ "operation": "create" })),
            ],
        ),
        case(
            "a transaction appears whole, at its commit",
            "probe",
            [
                read("m/tx/commit").gives(json!({
                    "inside": "1", "outside": null, "listed": ["a", "b"], "commit": "done", "after": ["1", "2"],
                })),
                read("m/tx/abandon").gives(json!({ "after": null })),
            ],
        )
        .needs(Need::Transactions),
        case(
            "a transaction that was overtaken conflicts",
            "probe",
            [
                read("m/tx/conflict").gives(json!({ "read": "1", "commit": "conflict", "after": "2" })),
                read("m/tx/retry").gives(json!({ "rounds": 2, "after": "2+" })),
            ],
        )
        .needs(Need::Transactions),
        case(
            "a read-only transaction sees one moment and writes nothing",
            "probe",
            [read("m/tx/snapshot").gives(json!({
                "read": "1", "put": "read-only", "delete": "read-only", "commit": "done", "after": "2",
            }))],
        )
        .needs(Need::Transactions),
        case(
            "a count in storage lasts, one in memory does not",
            "counter",
            [
                read("m/volatile").gives(json!({ "count": 1 })),
                read("m/volatile").gives(json!({ "count": 2 })),
                write("m/total", json!({})).gives(json!({ "count": 1 })),
                write("m/total", json!({ "by": "5" })).gives(json!({ "count": 6 })),
                write("m/total", json!({ "by": -1 })).fails(InvalidRequest, "field `by`"),
                Step::Restart,
                read("m/volatile").gives(json!({ "count": 1 })),
                read("m/total").gives(json!({ "count": 6 })),
            ],
        ),
        case(
            "a path that a plugin does not have is not found",
            "hello",
            [
                read("m/greet/ada").gives(json!({ "greeting": "hello, ada" })),
                read("m/greet/ä \"%2e<🦀").gives(json!({ "greeting": "hello, ä \"%2e<🦀" })),
                write("m/greet/ada", json!({})).fails(UnsupportedOperation, "unsupported operation"),
                read("m/insult/ada").fails(NotFound, "unsupported path"),
                read("m/").fails(NotFound, "unsupported path"),
                read("m").fails(NotFound, ""),
                read("elsewhere/greet/ada").fails(NotFound, "no handler for route"),
            ],
        ),
    ]
}

fn special_keys() -> Vec<Step> {
    const KEYS: [&str; 9] = [" ", "%2e%2e", "...", "a b", "a:b?c#d", "ünï/çødé", "\"'<>&\\", "🦀", "~"];
    let longest = "k".repeat(1024);
    let written = KEYS.iter().copied().chain([longest.as_str()]).flat_map(|key| {
        let data = json!({ "key": key });
        [write(format!("m/{key}"), data.clone()).gives_nothing(), read(format!("m/{key}")).gives(data)]
    });
    let mut top: Vec<&str> = KEYS.iter().map(|key| if key.contains('/') { "ünï/" } else { key }).collect();
    top.push(&longest);
    top.sort_unstable();
    let mut steps: Vec<Step> = written.collect();
    steps.push(list("m/").gives(json!({ "keys": top })));
    steps.push(read(format!("m/{longest}k")).fails(InvalidRequest, "longer than 1024 bytes"));
    steps.push(write(format!("m/{longest}k"), json!({ "a": 1 })).fails(InvalidRequest, "longer than 1024 bytes"));
    steps
}

/// Keys that Vault's storage takes, and plugins for it use: OpenBao's PKI keeps a list of what is revoked at
/// `crls//NAME`.
fn nameless_segments() -> Vec<Step> {
    const KEYS: [&str; 10] = ["", "/", "//", "/a", "a/", "a//b", "crls//now", "crls//then", "only/", "deep///x"];
    let at = |key: &str| format!("m/kv/{key}");
    let mut steps = Vec::new();
    for key in KEYS {
        steps.push(write(at(key), json!({ "key": key })).gives(json!({ "operation": "create" })));
        steps.push(write(at(key), json!({ "key": key })).gives(json!({ "operation": "update" })));
    }
    steps.push(Step::Restart);
    steps.extend(KEYS.map(|key| read(at(key)).gives(json!({ "key": key }))));
    // The probe keeps its own `starts` beside them.
    for (prefix, keys) in [
        ("", ["", "/", "a/", "crls/", "deep/", "only/", "starts"].as_slice()),
        ("/", &["", "/", "a"]),
        ("//", &[""]),
        ("a/", &["", "/"]),
        ("a//", &["b"]),
        ("crls/", &["/"]),
        ("crls//", &["now", "then"]),
        ("only/", &[""]),
        ("deep/", &["/"]),
        ("deep//", &["/"]),
        ("deep///", &["x"]),
    ] {
        steps.push(list(at(prefix)).gives(json!({ "keys": keys })));
    }
    steps.extend(KEYS.map(|key| delete(at(key)).gives_nothing()));
    steps.extend(KEYS.map(|key| read(at(key)).gives_nothing()));
    steps.push(list("m/kv/").gives(json!({ "keys": ["starts"] })));
    steps
}

/// A page that is asked for, and what it holds.
type Page = (&'static str, &'static [&'static str]);

const PAGES: &[Page] = &[
    ("{}", &["a", "b/", "c", "d", "e"]),
    (r#"{"limit":2}"#, &["a", "b/"]),
    (r#"{"limit":2,"after":"b/"}"#, &["c", "d"]),
    (r#"{"limit":2,"after":"bb"}"#, &["c", "d"]),
    (r#"{"limit":2,"after":"d"}"#, &["e"]),
];

/// The host of these tests gives three at most.
const HOST_PAGES: &[Page] = &[(r#"{"limit":0}"#, &["a", "b/", "c"]), (r#"{"limit":100}"#, &["a", "b/", "c"])];

fn paging(pages: &[Page]) -> Vec<Step> {
    let write = |key: &str| write(format!("m/kv/p/{key}"), json!({})).gives(json!({ "operation": "create" }));
    let page = |page: &str| list("m/kv/p/").with(serde_json::from_str(page).expect("a page is asked for in JSON"));
    let mut steps: Vec<Step> = ["a", "b/x", "b/y", "c", "d", "e"].map(write).into();
    steps.extend(pages.iter().map(|(asked, keys)| page(asked).gives(json!({ "keys": keys }))));
    steps.push(page(r#"{"limit":2,"after":"e"}"#).gives_nothing());
    steps
}
