//! What a guest is told of its call, whichever world it is of.

use super::output::emit;
use crate::request::Caller as RequestCaller;
use crate::runtime::Call;
use crate::runtime::wasm::bindings::cofferdam::plugin::types::{Caller, Level, Ttls};
use crate::storage;

pub(in crate::runtime::wasm) fn options(call: &Call) -> Vec<(String, String)> {
    call.scope.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(in crate::runtime::wasm) fn ttls(call: &Call) -> Ttls {
    Ttls { default_seconds: call.scope.default_ttl.as_secs(), max_seconds: call.scope.max_ttl.as_secs() }
}

pub(in crate::runtime::wasm) fn caller(call: &Call) -> Caller {
    let remote_address = call.remote_address.map(|address| address.to_string()).unwrap_or_default();
    match &call.caller {
        RequestCaller::Known(identity) => Caller {
            display_name: identity.display_name.clone(),
            entity_id: identity.entity_id.clone(),
            token_accessor: identity.token_accessor.clone(),
            remote_address,
            policies: identity.policies.clone(),
        },
        RequestCaller::Anonymous => Caller {
            display_name: String::new(),
            entity_id: String::new(),
            token_accessor: String::new(),
            remote_address,
            policies: Vec::new(),
        },
    }
}

pub(in crate::runtime::wasm) fn header(call: &Call, name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    if !call.scope.passthrough_headers.contains(&name) {
        return Vec::new();
    }
    call.headers.as_ref().map(|headers| headers.get(&name)).unwrap_or_default()
}

/// Writes a line to the log, no longer than may be.
pub(in crate::runtime::wasm) fn log(
    call: &Call,
    level: Level,
    message: String,
    fields: Vec<(String, String)>,
    line_bytes_max: usize,
) {
    let mut line = message;
    for (name, value) in fields {
        line.push(' ');
        line.push_str(&name);
        line.push('=');
        line.push_str(&value);
    }
    line.truncate(line.floor_char_boundary(line_bytes_max));
    emit(&call.scope, Some(call.scope.path.as_str()), tracing_level(level), &line);
}

/// Returns an entry's value for a guest.
pub(in crate::runtime::wasm) fn value_of(entry: Option<storage::Entry>) -> Option<Vec<u8>> {
    entry.map(|entry| entry.value.into())
}

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Trace => tracing::Level::TRACE,
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    }
}
