//! The door that the requests of a mount's generation go through: who is inside, and how it is closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A door that is closed once. What opens again gets a new one.
#[derive(Default)]
pub(super) struct Gate {
    closing: AtomicBool,
    inside: TaskTracker,
    /// Ends the requests that outlast the drain deadline.
    abort: CancellationToken,
}

impl Gate {
    /// Lets a request in, until what is returned is dropped; `None` when the door is closing.
    pub(super) fn enter(&self) -> Option<TaskTrackerToken> {
        let inside = self.inside.token();
        // Looked at only after this request counts as inside: whoever closes the door either sees the request or is
        // seen.
        (!self.closing.load(Ordering::SeqCst)).then_some(inside)
    }

    /// Refuses from now on, and returns at once.
    pub(super) fn refuse(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Returns when those who are still inside have to leave.
    pub(super) async fn aborted(&self) {
        self.abort.cancelled().await;
    }

    /// Lets nobody in any more, waits for those inside, and after the limit makes them leave.
    pub(super) async fn close(&self, limit: Duration) {
        self.refuse();
        self.inside.close();
        if timeout(limit, self.inside.wait()).await.is_err() {
            self.abort.cancel();
            self.inside.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_those_inside_and_then_makes_them_leave() {
        let gate = Gate::default();
        let inside = gate.enter().expect("the door is open");
        let leaving = async {
            gate.aborted().await;
            assert!(gate.enter().is_none(), "nobody comes in while others leave");
            drop(inside);
        };
        tokio::join!(gate.close(Duration::from_secs(10)), leaving);
    }
}
