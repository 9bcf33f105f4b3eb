//! How long things took: fixed buckets that anybody may add to at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets; what took longer is in one more. Half a decade each, from a call that is answered
/// out of memory to the default request deadline: the wrong order of magnitude is what a person acts on, and each bound
/// is a series for every mount in whatever stores them.
pub const DURATION_BUCKETS: [Duration; 15] = [
    Duration::from_micros(10),
    Duration::from_micros(30),
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(90),
];

/// Counts durations by bucket. Adding is two relaxed additions.
#[derive(Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; DURATION_BUCKETS.len() + 1],
    sum_ns: AtomicU64,
}

/// How often something took how long, since it was first counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    /// How many fell into each of the [`DURATION_BUCKETS`] and into none of the lower ones; the last are those beyond
    /// all.
    pub counts: [u64; DURATION_BUCKETS.len() + 1],
    /// All together.
    pub sum: Duration,
}

impl Histogram {
    pub(super) fn add(&self, took: Duration) {
        let bucket = DURATION_BUCKETS.partition_point(|bound| *bound < took);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(nanoseconds(took), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Distribution {
        Distribution {
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)),
        }
    }
}

impl Distribution {
    /// Returns how many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Returns a duration's nanoseconds. 584 years fit.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = Histogram::default();
        for (took, bucket) in [
            (Duration::ZERO, 0),
            (Duration::from_micros(10), 0),
            (Duration::from_nanos(10_001), 1),
            (Duration::from_millis(1), 4),
            (Duration::from_secs(90), 14),
            (Duration::from_secs(91), 15),
            (Duration::MAX, 15),
        ] {
            let before = histogram.read();
            histogram.add(took);
            let after = histogram.read();
            assert_eq!(after.counts[bucket], before.counts[bucket] + 1, "{took:?}");
            assert_eq!(after.count(), before.count() + 1, "{took:?}");
        }
    }

    #[test]
    fn buckets_ascend() {
        assert!(DURATION_BUCKETS.is_sorted_by(|one, next| one < next));
    }
}
