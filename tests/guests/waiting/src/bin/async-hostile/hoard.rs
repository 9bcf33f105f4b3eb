//! Makes the host keep as much as it lets: many things that wait at once, or that nobody waits for any more.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use serde_json::json;

use crate::cofferdam::plugin::host_async::Context;
use crate::cofferdam::plugin::types::StorageError;
use crate::{Answer, answer, entry, say};

type Asked<'a> = Pin<Box<dyn Future<Output = Result<usize, StorageError>> + 'a>>;

/// Begins so many things of so many bytes each, says how many the host refused, and waits for the rest. `rest` is
/// `COUNT/BYTES`.
pub(crate) async fn all(ctx: &Context, what: &str, rest: &str) -> Answer {
    let (count, bytes) = rest.split_once('/').expect("a count and a number of bytes");
    let count: usize = count.parse().expect("a count");
    let bytes: usize = bytes.parse().expect("a number of bytes");
    let value = vec![b'v'; bytes];
    let key = |number: usize| format!("hoard/{number}");
    // They stay open until all is done.
    let transactions = RefCell::new(Vec::new());
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for number in 0..count {
        let (value, transactions) = (&value, &transactions);
        asked.push(match what {
            "hoard-transactions" => Box::pin(async move {
                let transaction = ctx.begin(false).await?;
                let mut kept = 0;
                let refused = loop {
                    match transaction.put(entry(&key(kept), value)).await {
                        Ok(()) => kept += 1,
                        Err(refused) => break refused,
                    }
                };
                transactions.borrow_mut().push(transaction);
                Err(refused)
            }),
            "hoard-reads" => Box::pin(async move { Ok(ctx.get("large".into()).await?.map_or(0, |value| value.len())) }),
            _ => Box::pin(async move { ctx.put(entry(&key(number), value)).await.map(|()| 1) }),
        });
    }
    let (mut done, mut refused, mut why) = (0, 0, BTreeSet::new());
    let mut take = |asked: &mut Vec<Asked<'_>>, context: &mut std::task::Context<'_>| {
        asked.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(count)) => {
                done += count;
                false
            }
            Poll::Ready(Err(error)) => {
                refused += 1;
                why.insert(format!("{error:?}"));
                false
            }
        });
        refused
    };
    // Once, so that all of it is on its way.
    let refused_at_once = poll_fn(|context| Poll::Ready(take(&mut asked, context))).await;
    say(ctx, &format!("hoarding: {} wait, {refused_at_once} refused", asked.len()));
    if what == "hoard-abandoned" {
        asked.clear();
    }
    poll_fn(|context| {
        take(&mut asked, context);
        if asked.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answer(json!({ "done": done, "refused": refused, "why": why }))
}
