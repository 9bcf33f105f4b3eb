//! WHAT HAPPENED: what requests and instances count on, and what a scrape reads.
//!
//! * [`MountMeter`] — one for each mount: requests by [`Outcome`], latency, waiting, guests' processor time, storage.
//! * [`PluginMeter`] — one for each program: instances by what became of them ([`Retired`]), memory, processes.
//!
//! Counting is a few relaxed additions: no lock, and nothing is allocated after a mount's first request. So a scrape
//! sees each number as it was at some moment, and not all of them at the same one. What goes up and down again is
//! counted by guards, which count down when they are dropped; no path through an error or a cancelled future can leave
//! a gauge behind.

mod histogram;
mod mount;
mod plugin;

use std::sync::atomic::{AtomicU64, Ordering};

pub use histogram::{DURATION_BUCKETS, Distribution};
pub use mount::{MountCounts, Outcome, StorageCounts};
pub(crate) use mount::{MountMeter, OpenTransaction};
pub(crate) use plugin::{InUse, LiveInstance, PluginMeter};
#[cfg(feature = "process")]
pub(crate) use plugin::{Measured, ProcessMark, Usage};
pub use plugin::{PluginCounts, Retired};

/// One counter for each case of an enumeration.
struct Tally<const CASES: usize>([AtomicU64; CASES]);

impl<const CASES: usize> Tally<CASES> {
    fn add(&self, case: usize) {
        self.0[case].fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> [u64; CASES] {
        std::array::from_fn(|case| self.0[case].load(Ordering::Relaxed))
    }
}

impl<const CASES: usize> Default for Tally<CASES> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; CASES])
    }
}
