//! Counts twice: in memory, to show what an instance forgets, and in storage, to show what lasts.
//!
//! `read volatile` counts the reads that this instance has answered. It starts over whenever the instance is replaced:
//! at a restart, at a reload, after a trap, and with each request where the mount's policy is a fresh sandbox per
//! request. `write total` adds to a number in storage, in a transaction, so that none is lost however many instances
//! there are.

use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_sdk::{
    Call, Context, Description, Error, Field, Plugin, Request, Response, Route, Routes, Spread, Storage,
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
    routes: Routes<Self>,
    reads: AtomicU64,
}

impl Counter {
    fn volatile(&self, _ctx: &Context, _call: &Call) -> Result<Response, Error> {
        let count = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        Response::json(&Count { count })
    }

    fn total(&self, ctx: &Context, _call: &Call) -> Result<Response, Error> {
        Response::json(&ctx.get_json::<Count>(KEY)?.unwrap_or_default())
    }

    fn add(&self, ctx: &Context, call: &Call) -> Result<Response, Error> {
        let by: u64 = call.field("by")?;
        let total = ctx.transact(|transaction| {
            let Count { count } = transaction.get_json(KEY)?.unwrap_or_default();
            let overflow = || Error::InvalidRequest("total would be too large to count".into());
            let total = Count { count: count.checked_add(by).ok_or_else(overflow)? };
            transaction.put_json(KEY, &total)?;
            Ok(total)
        })?;
        Response::json(&total)
    }
}

impl Plugin for Counter {
    fn describe() -> Description {
        Description::secret("Counts, in memory and in storage.")
            .version(env!("CARGO_PKG_VERSION"))
            // One instance at a time, or `volatile` would count in several places at once.
            .spread(Spread::One)
    }

    fn setup(_ctx: &Context) -> Result<Self, Error> {
        let volatile = Route::new("volatile").synopsis("Counts its own reads, until this instance goes.");
        let by = Field::integer("by", "How much to add.").default(1);
        let total = Route::new("total").synopsis("A count that lasts.").field(by);
        let routes = Routes::new().route(volatile.read(Self::volatile)).route(total.read(Self::total).write(Self::add));
        Ok(Self { routes, reads: AtomicU64::new(0) })
    }

    fn handle(&self, ctx: &Context, request: Request) -> Result<Response, Error> {
        self.routes.handle(self, ctx, &request)
    }
}

cofferdam_sdk::export!(Counter);

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_sdk::testing::TestMount;
    use serde_json::json;

    fn count(response: Result<Response, Error>) -> u64 {
        response.unwrap().data::<Count>().unwrap().count
    }

    #[test]
    fn memory_starts_over_with_the_instance_and_storage_goes_on() {
        let mut mount = TestMount::<Counter>::new();
        assert_eq!([count(mount.read("volatile")), count(mount.read("volatile"))], [1, 2]);
        assert_eq!([count(mount.write("total", json!({}))), count(mount.write("total", json!({"by": "5"})))], [1, 6]);
        mount.replace_instance().unwrap();
        assert_eq!(count(mount.read("volatile")), 1);
        assert_eq!(count(mount.read("total")), 6);
    }

    #[test]
    fn no_count_is_lost_to_another_instance() {
        let mount = TestMount::<Counter>::new();
        mount.change_before_commit(KEY, br#"{"count": 10}"#);
        assert_eq!(count(mount.write("total", json!({"by": 1}))), 11);
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let mount = TestMount::<Counter>::new();
        mount.write("total", json!({"by": u64::MAX})).unwrap();
        assert!(matches!(mount.write("total", json!({"by": 1})), Err(Error::InvalidRequest(_))));
        let refused = mount.write("total", json!({"by": -1}));
        assert_eq!(refused, Err(Error::InvalidRequest("field `by`: expected u64, found another integer".into())));
    }
}
