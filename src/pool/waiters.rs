//! Those who wait until something is given back. Whoever gives it back tells them, and pays next to nothing where
//! nobody waits.
//!
//! Either the one who gives back sees who waits, or the one who waits sees what was given back. What makes it so is a
//! mutex that both sides take for the thing itself, or a fence on both sides where there is none. `tests/loom` looks at
//! every order in which two of them can meet.

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A count of those who wait, and how they are told.
pub(super) struct Waiters {
    count: AtomicUsize,
    notify: Notify,
}

/// One that waits, counted until it is dropped.
pub(super) struct Waiting<'a>(&'a Waiters);

impl Waiters {
    pub(super) fn new() -> Self {
        Self { count: AtomicUsize::new(0), notify: Notify::new() }
    }

    /// Counts the caller among those who wait. Only what it looks at afterwards counts as not there.
    pub(super) fn join(&self) -> Waiting<'_> {
        self.count.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Waiting(self)
    }

    /// Tells one of them, if there are any, that something was given back by a store or by a read-modify-write.
    pub(super) fn tell_one_after_store(&self) {
        if self.are_there_after_store() {
            self.notify.notify_one();
        }
    }

    /// Tells one of them, if there are any, that something was given back under a mutex, which the caller has released,
    /// and under which those who wait look for it.
    pub(super) fn tell_one_after_lock(&self) {
        if self.are_there_after_lock() {
            self.notify.notify_one();
        }
    }

    /// Tells all of them, on the same terms.
    pub(super) fn tell_all_after_lock(&self) {
        if self.are_there_after_lock() {
            self.notify.notify_waiters();
        }
    }

    pub(super) fn are_there_after_store(&self) -> bool {
        // Pairs with the fence in `join`.
        fence(Ordering::SeqCst);
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(super) fn are_there_after_lock(&self) -> bool {
        // Who looked before the caller held the mutex had joined by then, and the mutex passes that on.
        self.count.load(Ordering::Relaxed) > 0
    }
}

impl<'a> Waiting<'a> {
    /// Returns a future that ends when this one is told. Once it was
    /// [enabled](tokio::sync::futures::Notified::enable), nothing is missed.
    pub(super) fn told(&self) -> Notified<'a> {
        self.0.notify.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}
