//! Turns that calls take, one after the other, in a queue of bounded length.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use crate::runtime::{Call, Failure};

/// A number of turns that may be taken at a time, and a queue for more.
pub(super) struct Turns {
    free: Semaphore,
    queued: AtomicUsize,
    queue_max: usize,
}

/// A turn, until it is dropped.
pub(super) type Turn<'a> = SemaphorePermit<'a>;

impl Turns {
    /// Returns this many turns, for which `queue_max` calls may wait at a time.
    pub(super) fn new(turns: u32, queue_max: usize) -> Self {
        Self { free: Semaphore::new(turns as usize), queued: AtomicUsize::new(0), queue_max }
    }

    /// Takes a turn if one is free.
    pub(super) fn try_take(&self) -> Option<Turn<'_>> {
        self.free.try_acquire().ok()
    }

    /// Takes a turn as soon as one is free, and waits for it no longer than the call has time.
    pub(super) async fn take(&self, call: &Call) -> Result<Turn<'_>, Failure> {
        if let Some(turn) = self.try_take() {
            return Ok(turn);
        }
        let queue_max = self.queue_max;
        let _queued = Queued::join(&self.queued, queue_max)
            .ok_or_else(|| Failure::Busy(format!("its queue of {queue_max} is full; try again later")))?;
        match timeout_at(call.deadline, self.free.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(Failure::Host("its queue is closed".to_owned())),
            Err(_) => Err(Failure::Busy("it was busy with other requests until the deadline".to_owned())),
        }
    }
}

/// A call in the queue, until it is dropped.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    /// Counts one more, unless the queue is full.
    fn join(queued: &'a AtomicUsize, queue_max: usize) -> Option<Self> {
        let joined = queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| (queued < queue_max).then_some(queued + 1));
        joined.ok().map(|_| Self(queued))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
