//! What a context tells of its call at once, in both worlds.

use super::output::emit;
use crate::request::Caller as RequestCaller;
use crate::runtime::Call;
use crate::runtime::wasm::bindings::cofferdam::plugin::types::{Caller, Level, Ttls};

/// The functions that `context` of `host` and of `host-async` have in common: both worlds' generated traits ask for
/// them, each on its own. The context is the handle that the guest names.
macro_rules! context_facts {
    () => {
        fn mount_id(&mut self, context: Context) -> wasmtime::Result<String> {
            Ok(self.lent.call(&context)?.scope.id.to_string())
        }

        fn mount_path(&mut self, context: Context) -> wasmtime::Result<String> {
            Ok(self.lent.call(&context)?.scope.path.to_string())
        }

        fn options(&mut self, context: Context) -> wasmtime::Result<Vec<(String, String)>> {
            Ok(facts::options(self.lent.call(&context)?))
        }

        fn ttls(&mut self, context: Context) -> wasmtime::Result<types::Ttls> {
            Ok(facts::ttls(self.lent.call(&context)?))
        }

        fn caller(&mut self, context: Context) -> wasmtime::Result<types::Caller> {
            Ok(facts::caller(self.lent.call(&context)?))
        }

        fn header(&mut self, context: Context, name: String) -> wasmtime::Result<Vec<String>> {
            Ok(facts::header(self.lent.call(&context)?, &name))
        }

        fn log(
            &mut self,
            context: Context,
            level: types::Level,
            message: String,
            fields: Vec<(String, String)>,
        ) -> wasmtime::Result<()> {
            facts::log(self.lent.call(&context)?, level, message, fields, self.output.line_bytes_max());
            Ok(())
        }

        fn drop(&mut self, _context: Context) -> wasmtime::Result<()> {
            // A context is only ever lent; there is nothing to free.
            Ok(())
        }
    };
}
pub(super) use context_facts;

pub(super) fn options(call: &Call) -> Vec<(String, String)> {
    call.scope.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn ttls(call: &Call) -> Ttls {
    Ttls { default_seconds: call.scope.default_ttl.as_secs(), max_seconds: call.scope.max_ttl.as_secs() }
}

pub(super) fn caller(call: &Call) -> Caller {
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

pub(super) fn header(call: &Call, name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    if !call.scope.passthrough_headers.contains(&name) {
        return Vec::new();
    }
    call.headers.as_ref().map(|headers| headers.get(&name)).unwrap_or_default()
}

/// Writes a line to the log, no longer than may be.
pub(super) fn log(call: &Call, level: Level, message: String, fields: Vec<(String, String)>, line_bytes_max: usize) {
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

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Trace => tracing::Level::TRACE,
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    }
}
