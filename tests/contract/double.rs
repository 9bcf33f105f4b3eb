//! The table on the SDK's own test mounts: what passes there holds on a host.
//!
//! A test mount is one mount of one caller. What needs more, or what a host does with an answer after the plugin gave
//! it, is left out by name.

use std::time::Duration;

use cofferdam::request::Operation as HostOperation;
use cofferdam::{ErrorKind, MountConfig};
use cofferdam_contract::json;
use cofferdam_sdk::testing::TestMount;
use cofferdam_sdk::{Caller, Error, Operation, Plugin, Request, Response, Ttls};
use serde_json::Value;

use crate::cases;
use crate::script::{Answer, Ask, Asker, Body, Case, Expected, Lease, Need, Step};

/// What a mount has that sets none of its own: Vault's 32 days.
const DEFAULT_TTL: Duration = Duration::from_secs(32 * 24 * 3600);

/// Where the case's plugin is mounted.
const MOUNT: &str = "m/";

/// Plays every case on a test mount of its plugin, and says which are left out.
pub(crate) fn play_all() {
    let mut played = 0;
    for case in cases::all() {
        if let Some(why) = left_out(&case) {
            println!("test mount: left out: {}: {why}", case.name);
            continue;
        }
        println!("test mount: {}", case.name);
        match case.plugin {
            "counter" => play::<counter_plugin::Counter>(&case),
            "hello" => play::<hello_plugin::Hello>(&case),
            "kv" => play::<kv_plugin::Kv>(&case),
            "passthrough" => play::<passthrough_plugin::Passthrough>(&case),
            "probe" => play::<probe_plugin::Probe>(&case),
            other => panic!("no test mount is made of {other}"),
        }
        played += 1;
    }
    assert!(played >= CASES_MIN, "{played} cases were played on a test mount");
}

/// So many of the cases need no more than a test mount. It grows with the table.
const CASES_MIN: usize = 15;

/// Says why a case cannot be played on a test mount, if so.
fn left_out(case: &Case) -> Option<&'static str> {
    let MountConfig { passthrough_request_headers, allowed_response_headers, .. } = &case.config;
    if !passthrough_request_headers.is_empty() || !allowed_response_headers.is_empty() {
        return Some("it passes on every header");
    }
    match case.needs {
        Some(Need::PerRequest) => return Some("it has one instance"),
        Some(Need::HostPages) => return Some("its pages are as long as a host's are by default"),
        _ => {}
    }
    match case.plugin {
        "login" => return Some("a host settles logins"),
        "probe-per-request" => return Some("it has one instance"),
        _ => {}
    }
    case.steps.iter().find_map(|step| match step {
        Step::Change(_) | Step::Refused(..) => Some("it is one mount, which stays as it is"),
        Step::Ask(ask, _) if !ask.headers.is_empty() => Some("its headers are the same for all requests"),
        Step::Ask(ask, _) if matches!(ask.asker, Asker::Nobody) => Some("it has one caller"),
        Step::Ask(ask, _) if !ask.path.starts_with(MOUNT) => Some("it is one mount"),
        Step::Invalidate(mount, _) if !MOUNT.starts_with(mount) => Some("it is one mount"),
        Step::Ask(..) | Step::Invalidate(..) | Step::Restart => None,
    })
}

fn play<P: Plugin>(case: &Case) {
    let config = &case.config;
    let ttls = Ttls {
        default: config.default_lease_ttl.unwrap_or(DEFAULT_TTL),
        max: config.max_lease_ttl.unwrap_or(DEFAULT_TTL),
    };
    let builder = TestMount::<P>::builder().path(MOUNT).ttls(ttls).caller(ada());
    let builder = case.options.iter().fold(builder, |builder, (name, value)| builder.option(name, value));
    let mut mount = builder.start().unwrap_or_else(|error| panic!("{:?}: it does not start: {error}", case.name));
    for (at, step) in case.steps.iter().enumerate() {
        let place = format!("test mount: {:?}, step {}", case.name, at + 1);
        match step {
            Step::Restart => mount.restart().unwrap_or_else(|error| panic!("{place}: {error}")),
            Step::Invalidate(_, key) => {
                let stored = mount.stored(key);
                mount.change_elsewhere(key, stored.as_deref());
            }
            Step::Ask(ask, expected) => {
                let outcome = mount.request(request(ask));
                check(&place, outcome, expected, &ttls);
            }
            Step::Change(_) | Step::Refused(..) => unreachable!("{place}: such a case is left out"),
        }
    }
}

fn ada() -> Caller {
    Caller {
        display_name: "ada".to_owned(),
        entity_id: "entity-1".to_owned(),
        token_accessor: "accessor-1".to_owned(),
        remote_address: "192.0.2.1:4711".to_owned(),
        policies: vec!["default".to_owned(), "readers".to_owned()],
    }
}

fn request(ask: &Ask) -> Request {
    let mut request = Request::new(operation(ask.operation), &ask.path[MOUNT.len()..]);
    request.id = "id".to_owned();
    request.raw_data = ask.data.as_ref().map(|data| data.to_string().into_bytes()).unwrap_or_default();
    request.raw_lease = ask.lease.as_ref().map(|lease| lease.to_string().into_bytes());
    request
}

fn operation(operation: HostOperation) -> Operation {
    match operation {
        HostOperation::Create => Operation::Create,
        HostOperation::Read => Operation::Read,
        HostOperation::Update => Operation::Update,
        HostOperation::Patch => Operation::Patch,
        HostOperation::Delete => Operation::Delete,
        HostOperation::List => Operation::List,
        HostOperation::Help => Operation::Help,
        HostOperation::Renew => Operation::Renew,
        HostOperation::Revoke => Operation::Revoke,
        HostOperation::Rollback => Operation::Rollback,
        HostOperation::AliasLookahead => Operation::AliasLookahead,
        HostOperation::ResolveRole => Operation::ResolveRole,
    }
}

fn check(place: &str, outcome: Result<Response, Error>, expected: &Expected, ttls: &Ttls) {
    match (outcome, expected) {
        (Ok(response), Expected::Answer(expected)) => assert_eq!(answer(response, ttls), **expected, "{place}"),
        (Err(error), Expected::Failure(kind, phrase)) => {
            assert!(is_kind(&error, *kind), "{place}: {error:?}, expected {kind:?}");
            assert!(error.to_string().contains(phrase), "{place}: {error}, expected {phrase:?}");
        }
        (Ok(response), Expected::Failure(kind, _)) => panic!("{place}: {response:?}, expected {kind:?}"),
        (Err(error), Expected::Answer(expected)) => panic!("{place}: {error}, expected {expected:?}"),
    }
}

/// What a host makes of a plugin's error. What no plugin may answer is an internal error of a test mount, and says so.
fn is_kind(error: &Error, kind: ErrorKind) -> bool {
    match error {
        Error::Denied(_) => kind == ErrorKind::Denied,
        Error::InvalidRequest(_) => kind == ErrorKind::InvalidRequest,
        Error::UnsupportedOperation => kind == ErrorKind::UnsupportedOperation,
        Error::UnsupportedPath | Error::NotFound(_) => kind == ErrorKind::NotFound,
        Error::Conflict(_) => kind == ErrorKind::Conflict,
        Error::Unavailable(_) => kind == ErrorKind::Unavailable,
        Error::Internal(text) if text.starts_with("the plugin answered what it may not: ") => {
            kind == ErrorKind::PluginFault
        }
        Error::Internal(_) => kind == ErrorKind::Internal,
    }
}

fn answer(response: Response, ttls: &Ttls) -> Answer {
    let Response { body, secret, login, warnings, headers } = response;
    assert!(login.is_none(), "logins are left out");
    let body = match body {
        cofferdam_sdk::Body::None => Body::Nothing,
        cofferdam_sdk::Body::Data(data) => Body::Data(json::parse(&data).expect("a test mount checks it")),
        cofferdam_sdk::Body::Raw(raw) => Body::Raw(raw.status, raw.content_type, raw.body),
        cofferdam_sdk::Body::Redirect(address) => Body::Redirect(address),
    };
    Answer { body, lease: secret.map(|lease| settled(lease, ttls)), login: None, warnings, headers }
}

/// What a host makes of a lease: the mount's TTLs stand in for those that are left to it.
fn settled(lease: cofferdam_sdk::Lease, ttls: &Ttls) -> Lease {
    let filled = |ttl: Duration, otherwise: Duration| if ttl.is_zero() { otherwise } else { ttl };
    let ttl = filled(lease.ttl, ttls.default).min(ttls.max).min(filled(lease.max_ttl, Duration::MAX));
    let internal = if lease.internal.is_null() { Value::Null } else { lease.internal };
    (ttl.as_secs(), lease.max_ttl.as_secs(), lease.renewal == cofferdam_sdk::Renewal::Allowed, internal)
}
