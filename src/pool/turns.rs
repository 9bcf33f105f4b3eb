//! Turns that are taken in a queue of bounded length.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use crate::runtime::{Call, Failure};

/// So many turns at a time, and a queue for them.
pub(super) struct Turns {
    free: Semaphore,
    waiting: AtomicUsize,
    queue_max: usize,
}

impl Turns {
    /// Returns so many turns, for which `queue_max` calls may wait at a time.
    pub(super) fn new(turns: u32, queue_max: usize) -> Self {
        Self { free: Semaphore::new(turns as usize), waiting: AtomicUsize::new(0), queue_max }
    }

    /// Takes a turn if nobody has to be waited for.
    pub(super) fn try_take(&self) -> Option<SemaphorePermit<'_>> {
        self.free.try_acquire().ok()
    }

    /// Takes a turn as soon as there is one, until the call's deadline.
    pub(super) async fn take(&self, call: &Call) -> Result<SemaphorePermit<'_>, Failure> {
        if let Some(turn) = self.try_take() {
            return Ok(turn);
        }
        let queue_max = self.queue_max;
        let _waiting = Waiting::join(&self.waiting, queue_max)
            .ok_or_else(|| Failure::Busy(format!("its queue of {queue_max} is full; try again later")))?;
        match timeout_at(call.deadline, self.free.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(Failure::Host("its queue is closed".to_owned())),
            Err(_) => Err(Failure::Busy("it was busy with other requests until the deadline".to_owned())),
        }
    }
}

/// One that waits, counted until it is dropped.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    /// Counts one more, unless so many wait already.
    pub(super) fn join(waiting: &'a AtomicUsize, waiting_max: usize) -> Option<Self> {
        let joined = waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| (waiting < waiting_max).then_some(waiting + 1));
        joined.ok().map(|_| Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
