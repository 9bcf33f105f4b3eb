//! Counts twice: in memory, to show what an instance forgets, and in storage, to show what lasts.
//!
//! `read volatile` counts the reads that this instance has answered. It starts over whenever the instance is replaced:
//! at a restart, at a reload, after a trap, and with each request where the mount's policy is a fresh sandbox per
//! request. `write total` adds to a number in storage, in a transaction, so that none is lost however many instances
//! there are.

use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_sdk::{
    AsyncContext, AsyncPlugin, AsyncRoute, AsyncRoutes, AsyncStorage, Call, Description, Error, Field, Request,
    Response, Spread,
};
use serde::{Deserialize, Serialize};

/// Where the persisted count is.
const KEY: &str = "total";

#[derive(Default, Deserialize, Serialize)]
struct Count {
    count: u64,
}

/// The plugin, in one mount.
pub struct Counter {
    routes: AsyncRoutes<Self>,
    reads: AtomicU64,
}

impl Counter {
    async fn volatile(&self, _ctx: &AsyncContext<'_>, _call: &Call<'_>) -> Result<Response, Error> {
        let count = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        Response::json(&Count { count })
    }

    async fn total(&self, ctx: &AsyncContext<'_>, _call: &Call<'_>) -> Result<Response, Error> {
        Response::json(&ctx.get_json::<Count>(KEY).await?.unwrap_or_default())
    }

    async fn add(&self, ctx: &AsyncContext<'_>, call: &Call<'_>) -> Result<Response, Error> {
        let by: u64 = call.field("by")?;
        let total = ctx
            .transact(async |transaction| {
                let Count { count } = transaction.get_json(KEY).await?.unwrap_or_default();
                let overflow = || Error::InvalidRequest("total would be too large to count".into());
                let total = Count { count: count.checked_add(by).ok_or_else(overflow)? };
                transaction.put_json(KEY, &total).await?;
                Ok(total)
            })
            .await?;
        Response::json(&total)
    }
}

impl AsyncPlugin for Counter {
    fn describe() -> Description {
        Description::secret("Counts, in memory and in storage.")
            .version(env!("CARGO_PKG_VERSION"))
            // One instance at a time, or `volatile` would count in several places at once.
            .spread(Spread::One)
    }

    async fn setup(_ctx: &AsyncContext<'_>) -> Result<Self, Error> {
        let volatile = AsyncRoute::at("volatile").synopsis("Counts its own reads, until this instance goes.");
        let by = Field::integer("by", "How much to add.").default(1);
        let total = AsyncRoute::at("total").synopsis("A count that lasts.").field(by);
        let routes =
            AsyncRoutes::of([]).route(volatile.read(Self::volatile)).route(total.read(Self::total).write(Self::add));
        Ok(Self { routes, reads: AtomicU64::new(0) })
    }

    async fn handle(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request).await
    }
}

cofferdam_sdk::export_async!(Counter);

fn main() {}
