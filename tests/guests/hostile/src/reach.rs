//! Reaches for storage that it should not have.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

use crate::cofferdam::plugin::host::{Context, Entry, Transaction};
use crate::{Answer, answer, stored};
use serde_json::json;

thread_local! {
    static KEPT: RefCell<Option<Transaction>> = const { RefCell::new(None) };
    static NOTED: Cell<u32> = const { Cell::new(0) };
}

pub(crate) fn out(ctx: &Context, what: &str, rest: &str) -> Answer {
    match what {
        "transactions" => {
            let mut open = Vec::new();
            loop {
                match ctx.begin(false) {
                    Ok(transaction) => open.push(transaction),
                    Err(error) => return answer(json!({ "open": open.len(), "error": format!("{error:?}") })),
                }
            }
        }
        // Fills one transaction after the other, as far as it is let.
        "hoard" => {
            let (mut open, mut kept, mut why) = (Vec::new(), 0, Vec::new());
            while let Ok(transaction) = ctx.begin(false) {
                let mut key = 0;
                let refused = loop {
                    match transaction.put(&entry(key.to_string(), rest.parse().expect("a number of bytes"))) {
                        Ok(()) => key += 1,
                        Err(refused) => break refused,
                    }
                };
                kept += key;
                why.push(format!("{refused:?}"));
                open.push(transaction);
            }
            answer(json!({ "kept": kept, "why": why }))
        }
        "keep" => {
            let begun = ctx.begin(false).map(|transaction| KEPT.set(Some(transaction)));
            stored(begun)
        }
        // Each call ends with handles that nobody gives back.
        "leak" => {
            let begun = std::iter::from_fn(|| ctx.begin(true).ok());
            answer(json!({ "opened": begun.map(std::mem::forget).count() }))
        }
        "use-kept" => KEPT.with_borrow(|kept| {
            let kept = kept.as_ref().expect("a transaction was kept");
            let read = kept.get("a");
            let written = kept.put(&entry("a".into(), 1));
            answer(json!({ "get": format!("{read:?}"), "put": format!("{written:?}"), "commit": format!("{:?}", kept.commit()) }))
        }),
        // Notes the number of its context, which nobody takes back; another call uses it.
        "note-context" => {
            NOTED.set(ctx.handle());
            answer(json!({ "noted": ctx.mount_path() }))
        }
        "use-noted" => guess(NOTED.get()),
        "guess" => guess(rest.parse().expect("a number")),
        "keys" => {
            let long = "k".repeat(10_000);
            let keys = ["", "/", "/abs", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\0b", "a\nb", &long];
            let refused = |key: &str| {
                ctx.get(key).is_err() && ctx.put(&entry(key.into(), 1)).is_err() && ctx.delete(key).is_err()
            };
            let taken: Vec<&str> = keys.into_iter().filter(|key| !refused(key)).collect();
            answer(json!({ "taken": taken, "why": format!("{:?}", ctx.get("../a")) }))
        }
        "large" => stored(ctx.put(&entry("large".into(), rest.parse().expect("a number of bytes")))),
        _ => {
            // Everything that a mount elsewhere might be found at, given its id.
            let prefixes = ["", "../", "/", "logical/", "core/", "../core/", &format!("{rest}/"), &format!("../{rest}/")];
            let listed: Vec<_> = prefixes.iter().map(|prefix| ctx.list(prefix, None, 0).unwrap_or_default()).collect();
            let keys = [format!("../{rest}/secret"), format!("logical/{rest}/secret"), "core/mounts".into()];
            let read: Vec<_> = keys.iter().map(|key| ctx.get(key).ok().flatten()).collect();
            answer(json!({ "listed": listed, "read": read }))
        }
    }
}

fn guess(handle: u32) -> Answer {
    // SAFETY: it is not safe, which is the point: the host has to stop it.
    let guessed = ManuallyDrop::new(unsafe { Context::from_handle(handle) });
    answer(json!({ "guessed": guessed.mount_path(), "read": format!("{:?}", guessed.get("a")) }))
}

fn entry(key: String, bytes: usize) -> Entry {
    Entry { key, value: vec![b'v'; bytes], seal_wrap: false }
}
