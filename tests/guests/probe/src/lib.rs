//! Tells what it sees of its mount, and does what it is asked to: the plugin that the contract is checked with.
//!
//! `seen` is what a request looks like from inside; `kv/…` stores, and says whether a write created; `tx/…` are stories
//! of transactions; `say/…` answers in each way that a plugin can; `fail/…` declines in each way; `memory` is what an
//! instance remembers, and `invalidated` what it was told to forget; `open/…` needs no token.

mod say;
mod tx;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cofferdam_sdk::{Context, Description, Error, Existence, Operation, Plugin, Request, Response, Storage};
use serde_json::{Map, Value, json};

/// Counts how often the mount was started.
const STARTS: &str = "starts";

/// A plugin value, as each mount of an instance has one.
pub struct Probe {
    reads: AtomicU64,
    invalidated: Mutex<Vec<String>>,
    starts_at_setup: Option<u64>,
}

impl Plugin for Probe {
    fn describe() -> Description {
        Description::secret("Tells what it sees.").version("1.2.3").tells_create().unauthenticated_path("open/*")
    }

    fn setup(ctx: &Context) -> Result<Self, Error> {
        Ok(Self { reads: AtomicU64::new(0), invalidated: Mutex::default(), starts_at_setup: ctx.get_json(STARTS)? })
    }

    fn initialize(&self, ctx: &Context) -> Result<(), Error> {
        ctx.put_json(STARTS, &(self.starts_at_setup.unwrap_or(0) + 1))
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        match request.operation {
            Operation::Help => {
                return Response::json(&json!({ "help": format!("about {:?}", request.path), "see_also": "" }));
            }
            Operation::Renew | Operation::Revoke => {
                return Response::json(
                    &json!({ "operation": operation(&request), "lease": request.lease::<Value>()? }),
                );
            }
            _ => {}
        }
        let (what, rest) = request.path.split_once('/').unwrap_or((&request.path, ""));
        match what {
            "seen" | "open" => seen(ctx, &request),
            "memory" => Response::json(&json!({ "reads": self.reads.fetch_add(1, Ordering::Relaxed) + 1 })),
            "invalidated" => Response::json(&json!({ "keys": *self.told() })),
            "starts" => Response::json(&json!({ "starts": ctx.get_json::<u64>(STARTS)? })),
            "kv" => kv(ctx, &request, rest),
            "tx" => tx::story(ctx, rest),
            "say" => say::so(rest),
            "fail" => Err(say::no(rest)),
            _ => Err(Error::UnsupportedPath),
        }
    }

    fn invalidate(&self, _ctx: &Context, key: &str) {
        self.told().push(key.to_owned());
    }

    fn exists(&self, ctx: &Context, request: Request) -> Result<Existence, Error> {
        match request.path.strip_prefix("kv/") {
            None => Ok(Existence::Unknown),
            Some(key) if ctx.get(key)?.is_some() => Ok(Existence::Present),
            Some(_) => Ok(Existence::Absent),
        }
    }
}

impl Probe {
    /// What it was told that somebody else changed.
    fn told(&self) -> MutexGuard<'_, Vec<String>> {
        self.invalidated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(target_family = "wasm")]
cofferdam_sdk::export!(Probe);

fn operation(request: &Request) -> String {
    format!("{:?}", request.operation).to_lowercase()
}

fn seen(ctx: &Context, request: &Request) -> Result<Response, Error> {
    let (caller, ttls) = (ctx.caller(), ctx.ttls());
    Response::json(&json!({
        "operation": operation(request),
        "path": request.path,
        "has_id": !request.id.is_empty(),
        "data": request.data::<Map<String, Value>>()?,
        "mount_path": ctx.mount_path(),
        "options": ctx.options(),
        "ttls": [ttls.default.as_secs(), ttls.max.as_secs()],
        "caller": [caller.display_name, caller.entity_id, caller.token_accessor, caller.remote_address],
        "policies": caller.policies,
        "headers": [ctx.header("X-Allowed"), ctx.header("x-secret")],
    }))
}

fn kv(ctx: &Context, request: &Request, key: &str) -> Result<Response, Error> {
    match request.operation {
        Operation::Read => match ctx.get_json::<Value>(key)? {
            Some(value) => Response::json(&value),
            None => Ok(Response::none()),
        },
        Operation::Create | Operation::Update | Operation::Patch => {
            ctx.put_json(key, &request.data::<Map<String, Value>>()?)?;
            Response::json(&json!({ "operation": operation(request) }))
        }
        Operation::Delete => {
            ctx.delete(key)?;
            Ok(Response::none())
        }
        Operation::List => {
            let data: Value = request.data()?;
            let after = data["after"].as_str();
            let keys = match data["limit"].as_u64() {
                Some(limit) => ctx.list_page(key, after, limit.try_into().unwrap_or(u32::MAX))?,
                None => ctx.list(key)?,
            };
            Ok(Response::list(keys))
        }
        _ => Err(Error::UnsupportedOperation),
    }
}
