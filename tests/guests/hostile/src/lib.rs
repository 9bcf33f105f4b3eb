//! Does, on request, what no plugin should. The first segment of the path says what; a mount's options say what it does
//! in its life cycle.
//!
//! It is written against the generated bindings and not with the SDK, which does not let its users do half of this.

mod closed;
mod consume;
mod lie;
mod reach;
mod shout;

use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam::plugin::host::{Context, Entry};
use cofferdam::plugin::types::{Body, Description, Error, Kind, Request, Response, Spread};
use exports::cofferdam::plugin::backend::Guest;
use serde_json::{Value, json};

wit_bindgen::generate!({ path: "../../../wit", world: "cofferdam:plugin/plugin" });

static COUNT: AtomicU64 = AtomicU64::new(0);

type Answer = Result<Response, Error>;

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Description {
        Description {
            kind: Kind::Secret,
            spread: Spread::One,
            version: String::new(),
            help: "Does what no plugin should.".into(),
            root_paths: vec![],
            unauthenticated_paths: vec![],
            tells_create: true,
            seal_wrap_paths: vec![],
            openapi: vec![],
        }
    }

    fn setup(ctx: &Context) -> Result<(), Error> {
        live(ctx, "setup")
    }

    fn initialize(ctx: &Context) -> Result<(), Error> {
        live(ctx, "initialize")
    }

    fn handle(ctx: &Context, request: Request) -> Answer {
        let (what, rest) = request.path.split_once('/').unwrap_or((&request.path, ""));
        match what {
            // How many requests this instance was asked this: 1 again after it was replaced.
            "count" => answer(json!({ "count": COUNT.fetch_add(1, Ordering::Relaxed) + 1 })),
            "put" => stored(ctx.put(&Entry { key: rest.into(), value: request.data, seal_wrap: false })),
            "get" => Ok(Response { body: ctx.get(rest).ok().flatten().map_or(Body::None, Body::Data), ..nothing() }),
            "exit" => std::process::exit(3),
            "panic" => panic!("forged\n2026-01-01T00:00:00Z  INFO all is well \u{1b}[31m"),
            "cut-off" => {
                eprint!("the last words");
                std::process::abort()
            }
            "spin" | "allocate" | "allocate-gently" | "recurse" | "random" => consume::all(what),
            "sleep" => consume::sleep(ctx),
            "spin-aloud" => consume::spin_aloud(ctx),
            "stdout" | "stderr" | "log" | "lines" | "long" => shout::loudly(ctx, what),
            "huge" | "deep" | "raw-deep" | "malformed" | "raw-99" | "raw-600" | "raw-secret" | "login"
            | "login-secret" | "error" => lie::about(what),
            "transactions" | "hoard" | "leak" | "keep" | "use-kept" | "keys" | "large" | "loot" | "note-context"
            | "use-noted" | "guess" => reach::out(ctx, what, rest),
            "files" | "network" | "environment" => closed::doors(what),
            _ => Err(Error::UnsupportedPath),
        }
    }

    fn exists(_: &Context, request: Request) -> Result<Option<bool>, Error> {
        match request.path.as_str() {
            "exists-spin" => consume::spin(),
            "exists-panic" => panic!("it cannot be known"),
            _ => Ok(None),
        }
    }

    fn invalidate(_: &Context, _: String) {}

    fn cleanup(ctx: &Context) {
        // Nobody would hear an error.
        drop(live(ctx, "cleanup"));
    }
}

export!(Hostile);

/// Does what the mount's option with this step's name says.
fn live(ctx: &Context, step: &str) -> Result<(), Error> {
    let options = ctx.options();
    let Some((_, what)) = options.iter().find(|(name, _)| name == step) else { return Ok(()) };
    match what.as_str() {
        "decline" => Err(Error::InvalidRequest(format!("{step} declined"))),
        "fail" => Err(Error::Internal(format!("{step} failed\nforged line \u{1b}[31mred"))),
        "panic" => panic!("{step} panics"),
        "spin" => consume::spin(),
        "sleep" => consume::sleep(ctx),
        // Starts, and does not start again.
        "write-anew" if ctx.get("seen").is_ok_and(|seen| seen.is_none()) => ctx
            .put(&Entry { key: "seen".into(), value: b"{}".to_vec(), seal_wrap: false })
            .map_err(|error| Error::Internal(format!("{error:?}"))),
        "write" | "write-anew" => {
            let written = ctx.put(&Entry { key: "a".into(), value: b"{}".to_vec(), seal_wrap: false });
            let begun = ctx.begin(false).and_then(|transaction| {
                transaction.put(&Entry { key: "b".into(), value: b"{}".to_vec(), seal_wrap: false })?;
                transaction.commit()
            });
            Err(Error::Internal(format!("put: {written:?}, delete: {:?}, transaction: {begun:?}", ctx.delete("a"))))
        }
        _ => Ok(()),
    }
}

fn nothing() -> Response {
    Response { body: Body::None, secret: None, login: None, warnings: vec![], headers: vec![] }
}

fn answer(data: Value) -> Answer {
    Ok(Response { body: Body::Data(data.to_string().into_bytes()), ..nothing() })
}

fn stored<E: std::fmt::Debug>(result: Result<(), E>) -> Answer {
    answer(json!({ "result": format!("{result:?}") }))
}
