//! The plugins' processes that this process started and has not reaped.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;

static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Keeps a process from being taken for an orphan, until it is dropped.
#[derive(Debug)]
pub(super) struct Owned(i32);

impl Owned {
    pub(super) fn new(pid: Pid) -> Self {
        let pid = pid.as_raw_nonzero().get();
        own().insert(pid);
        Self(pid)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        own().remove(&self.0);
    }
}

/// Returns their numbers.
#[cfg(feature = "cli")]
pub(super) fn pids() -> BTreeSet<i32> {
    own().clone()
}

fn own() -> MutexGuard<'static, BTreeSet<i32>> {
    // A set of numbers is whole, whoever panicked.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}
