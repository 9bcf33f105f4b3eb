//! Room for a number of instances, and those who wait for it.

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

use super::waiters::{Waiters, Waiting};

/// How many instances live, of those that may.
pub(super) struct Room {
    live_max: usize,
    live: AtomicUsize,
    waiters: Waiters,
}

impl Room {
    pub(super) fn new(live_max: usize) -> Self {
        Self { live_max, live: AtomicUsize::new(0), waiters: Waiters::new() }
    }

    /// Takes room for one more instance, if there is any. Returns whether there was.
    pub(super) fn try_take(&self) -> bool {
        let more = |live| (live < self.live_max).then_some(live + 1);
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back what [`Self::try_take`] took.
    pub(super) fn give_back(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
        self.waiters.tell_one_after_store();
    }

    /// Says that an instance became idle, and so can make room. The caller has released the lock under which the
    /// instance is looked for.
    pub(super) fn can_be_made(&self) {
        self.waiters.tell_one_after_lock();
    }

    /// Waits for room: only what the caller looks at afterwards counts as not there.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiters.join()
    }
}
