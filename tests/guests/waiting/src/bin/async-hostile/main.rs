//! Does, on request, what no plugin should whose instance serves many requests at once; and what only such a plugin
//! can, so that tests see it. The first segment of the path says what.
//!
//! It is written against the generated bindings, and ends a cancelled request by itself or not at all.

mod bell;
mod hoard;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hint::black_box;

use bell::{Bell, either};
use cofferdam::plugin::host_async::{Context, Entry, Transaction};
use cofferdam::plugin::types::{Body, Description, Error, Kind, Level, Request, Response, Spread};
use exports::cofferdam::plugin::backend_async::Guest;
use serde_json::{Value, json};

wit_bindgen::generate!({ path: "../../../wit", world: "cofferdam:plugin/plugin-async" });

type Answer = Result<Response, Error>;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BELLS: RefCell<BTreeMap<String, Bell>> = const { RefCell::new(BTreeMap::new()) };
    static CANCELLED: RefCell<BTreeMap<u64, Bell>> = const { RefCell::new(BTreeMap::new()) };
    static CONTEXT: Cell<u32> = const { Cell::new(0) };
    static KEPT: RefCell<Option<Transaction>> = const { RefCell::new(None) };
}

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
            tells_create: false,
            seal_wrap_paths: vec![],
            openapi: vec![],
        }
    }

    async fn setup(_: &Context) -> Result<(), Error> {
        Ok(())
    }

    async fn initialize(_: &Context) -> Result<(), Error> {
        Ok(())
    }

    async fn handle(ctx: &Context, request: Request) -> Answer {
        let (what, rest) = request.path.split_once('/').unwrap_or((&request.path, ""));
        match what {
            // How many requests this instance was asked this: 1 again after it was replaced.
            "count" => {
                COUNT.set(COUNT.get() + 1);
                answer(json!({ "count": COUNT.get() }))
            }
            "put" => stored(ctx.put(entry(rest, &request.data)).await),
            "get" => Ok(Response {
                body: ctx.get(rest.into()).await.ok().flatten().map_or(Body::None, Body::Data),
                ..nothing()
            }),
            // Waits for another request to ring, and goes when it is cancelled.
            "wait" => {
                say(ctx, "waiting");
                let (rung, cancelled) = (bell(rest), cancelled(ctx.call_id()));
                let is_rung = either(&rung, &cancelled).await;
                CANCELLED.with_borrow_mut(|cancelled| cancelled.remove(&ctx.call_id()));
                if !is_rung {
                    say(ctx, "cancelled");
                }
                answer(json!({ "rung": is_rung }))
            }
            // Waits too, and hears of nothing else.
            "wait-deaf" => {
                say(ctx, "waiting");
                bell(rest).rung().await;
                answer(json!({ "rung": true }))
            }
            "ring" => {
                bell(rest).ring();
                answer(json!({}))
            }
            // From here on it is another bell.
            "unring" => {
                BELLS.with_borrow_mut(|bells| bells.remove(rest));
                answer(json!({}))
            }
            "sleep" => {
                say(ctx, "asleep");
                let slept = ctx.sleep(u64::MAX / 4).await;
                say(ctx, if slept.is_ok() { "woken" } else { "given up" });
                Err(Error::Unavailable("woken".into()))
            }
            // Each nap ends at once when the call was given up, and it goes on napping.
            "nap-for-ever" => {
                say(ctx, "asleep");
                let cancelled = cancelled(ctx.call_id());
                while !cancelled.is_rung() {
                    let _ = ctx.sleep(3_600_000_000_000).await;
                }
                say(ctx, "cancelled");
                answer(json!({}))
            }
            "nap" => {
                let slept = ctx.sleep(rest.parse().expect("a number of nanoseconds")).await;
                answer(json!({ "slept": slept.is_ok() }))
            }
            // Blocks the whole instance on a clock that is none of this world's.
            "block" => {
                say(ctx, "blocked");
                std::thread::sleep(std::time::Duration::from_secs(3600));
                answer(json!({}))
            }
            "spin" => {
                say(ctx, "spinning");
                loop {
                    black_box(());
                }
            }
            "panic" => panic!("it had to happen"),
            "exit" => std::process::exit(3),
            // Ends with its context still in hand.
            "keep-context" => {
                CONTEXT.set(ctx.take_handle());
                answer(json!({}))
            }
            // Remembers only the number.
            "note-context" => {
                CONTEXT.set(ctx.handle());
                answer(json!({ "handle": ctx.handle() }))
            }
            "use-noted" => guess(CONTEXT.get()).await,
            "guess" => guess(rest.parse().expect("a number")).await,
            "keep-transaction" => {
                let begun = ctx.begin(false).await.map(|transaction| KEPT.set(Some(transaction)));
                stored(begun)
            }
            "use-kept" => {
                let kept = KEPT.take().expect("a transaction was kept");
                let read = kept.get("a".into()).await;
                let written = kept.put(entry("a", b"1")).await;
                answer(
                    json!({ "get": format!("{read:?}"), "put": format!("{written:?}"), "commit": format!("{:?}", kept.commit().await) }),
                )
            }
            "transactions" => {
                let mut open = Vec::new();
                loop {
                    match ctx.begin(false).await {
                        Ok(transaction) => open.push(transaction),
                        Err(error) => return answer(json!({ "open": open.len(), "error": format!("{error:?}") })),
                    }
                }
            }
            "hoard-writes" | "hoard-abandoned" | "hoard-transactions" | "hoard-reads" => {
                hoard::all(ctx, what, rest).await
            }
            _ => Err(Error::UnsupportedPath),
        }
    }

    async fn exists(_: &Context, _: Request) -> Result<Option<bool>, Error> {
        Ok(None)
    }

    async fn background(ctx: &Context) -> Result<(), Error> {
        let cancelled = cancelled(ctx.call_id());
        let options = ctx.options();
        let work = options.iter().find(|(name, _)| name == "background").map(|(_, what)| what.as_str());
        if work.is_some() {
            either(&bell("go"), &cancelled).await;
        }
        match work {
            // Never pauses.
            Some("compute") if !cancelled.is_rung() => loop {
                black_box(());
            },
            // Begins a transaction, and never ends it.
            Some("hold") => {
                let held = ctx.begin(false).await.expect("it can be begun");
                say(ctx, "holding");
                either(&bell("use"), &cancelled).await;
                say(ctx, &format!("held: {:?}", held.get("a".into()).await));
                cancelled.rung().await;
            }
            // Pauses, and is never at rest.
            Some("churn") => {
                while !cancelled.is_rung() {
                    (0..200_000_u64).for_each(|number| drop(black_box(number)));
                    let _ = ctx.sleep(0).await;
                }
            }
            _ => {}
        }
        let written = ctx.put(entry("background", b"{}")).await;
        say(ctx, &format!("working: {written:?}"));
        cancelled.rung().await;
        say(ctx, "done working");
        Ok(())
    }

    async fn invalidate(_: &Context, _: String) {}

    async fn cleanup(ctx: &Context) {
        say(ctx, "cleaning up");
    }

    async fn cancel(call: u64) {
        let bell = CANCELLED.with_borrow(|cancelled| cancelled.get(&call).cloned());
        if let Some(bell) = bell {
            bell.ring();
        }
    }
}

export!(Hostile);

fn main() {}

fn say(ctx: &Context, what: &str) {
    ctx.log(Level::Info, what, &[]);
}

fn bell(name: &str) -> Bell {
    BELLS.with_borrow_mut(|bells| bells.entry(name.to_owned()).or_default().clone())
}

fn cancelled(call: u64) -> Bell {
    CANCELLED.with_borrow_mut(|cancelled| cancelled.entry(call).or_default().clone())
}

/// Uses a context of which it has no more than a number.
async fn guess(handle: u32) -> Answer {
    // SAFETY: it is not safe, which is the point: the host has to stop it.
    let guessed = std::mem::ManuallyDrop::new(unsafe { Context::from_handle(handle) });
    answer(json!({ "guessed": guessed.mount_id(), "read": format!("{:?}", guessed.get("a".into()).await) }))
}

fn entry(key: &str, value: &[u8]) -> Entry {
    Entry { key: key.into(), value: value.into(), seal_wrap: false }
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
