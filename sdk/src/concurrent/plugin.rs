//! What a plugin is whose instance serves many requests at once.

use crate::{AsyncContext, Description, Error, Existence, Request, Response};

/// A secrets engine or an auth method that waits for other things than storage, or long enough for others not to wait
/// with it: while one request waits, the same instance serves the next.
///
/// It is [`Plugin`](crate::Plugin) with `async`, and means the same. One value serves all requests of a mount, and they
/// take turns at each `.await`: guard a read-modify-write with [`AsyncContext::transact`], since what was read before
/// an `.await` may have changed after it, and hold no lock across one.
///
/// A request that is given up (its deadline has passed, or its client left) is dropped at the `.await` that it is in,
/// and all that it holds with it. So what must be undone belongs in a `Drop`, and what must not be cut in half in a
/// transaction.
///
/// A panic ends the instance, and every request in it: those are told that they may try again. So does a request that
/// computes past its deadline without an `.await`. There is no native build of such a plugin yet.
#[allow(async_fn_in_trait, reason = "an instance has one thread, and nothing of a call ever leaves it")]
pub trait AsyncPlugin: Sized + Send + Sync + 'static {
    /// Says what this plugin is; the answer must not depend on anything.
    fn describe() -> Description;

    /// Prepares for serving a mount. Storage can be read, not written.
    async fn setup(ctx: &AsyncContext<'_>) -> Result<Self, Error>;

    /// Runs once each time the mount starts. An error keeps the mount from starting.
    async fn initialize(&self, ctx: &AsyncContext<'_>) -> Result<(), Error> {
        let _ = ctx;
        Ok(())
    }

    /// Answers one request. Most plugins hand it to their [`AsyncRoutes`](crate::AsyncRoutes).
    async fn handle(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Response, Error>;

    /// Says whether a path exists; it decides between a create and an update. The host asks only a plugin whose
    /// description says so, with [`Description::tells_create`].
    async fn exists(&self, ctx: &AsyncContext<'_>, request: Request) -> Result<Existence, Error> {
        let _ = (ctx, request);
        Ok(Existence::Unknown)
    }

    /// Works beside the requests, such as on renewing what expires. It is called once for each mount that the instance
    /// is set up for, where instances are kept, has no deadline, and returns when there is nothing to do any more.
    ///
    /// It is dropped when the mount's time in this instance ends, and cut off when the host lets an idle instance go;
    /// the next one calls it again. An error is worth a log line of its own, as nobody waits for the answer.
    async fn background(&self, ctx: &AsyncContext<'_>) -> Result<(), Error> {
        let _ = ctx;
        Ok(())
    }

    /// Drops what was cached of a storage key that another instance or node has changed.
    async fn invalidate(&self, ctx: &AsyncContext<'_>, key: &str) {
        let _ = (ctx, key);
    }

    /// Ends the service of this mount in this instance. Nothing follows it.
    async fn cleanup(&self, ctx: &AsyncContext<'_>) {
        let _ = ctx;
    }
}
