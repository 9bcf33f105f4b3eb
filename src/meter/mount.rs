//! What one mount did.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::Tally;
use super::histogram::{Distribution, Histogram, nanoseconds};

/// How a request ended that came to a mount. Each request counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The plugin answered, and the host passed it on. An edge may still find that what should be JSON is none.
    Answered,
    /// The plugin declined what was asked: not found, not allowed, malformed. As a rule the caller's affair.
    Declined,
    /// The plugin answered that something is wrong with itself or behind it: internal, unavailable, or a status of 500
    /// and more.
    Errored,
    /// The host refused: the path needs a token, and nobody who is known asked.
    Denied,
    /// The plugin crashed, or ran into a limit of its sandbox.
    Trapped,
    /// The plugin answered what no plugin may, or more than is taken.
    Unusable,
    /// The plugin did not answer in time.
    Deadline,
    /// No instance was free until the deadline, or too many requests waited already.
    Busy,
    /// The plugin crashes again and again, and was left alone.
    Failing,
    /// The mount could not be started.
    NotStarted,
    /// The mount is being disabled, or the host shuts down.
    Closing,
    /// Whoever asked stopped waiting.
    Cancelled,
    /// The host itself failed.
    HostFault,
}

impl Outcome {
    /// All of them, in the order of their declaration.
    pub const ALL: [Outcome; 13] = [
        Outcome::Answered,
        Outcome::Declined,
        Outcome::Errored,
        Outcome::Denied,
        Outcome::Trapped,
        Outcome::Unusable,
        Outcome::Deadline,
        Outcome::Busy,
        Outcome::Failing,
        Outcome::NotStarted,
        Outcome::Closing,
        Outcome::Cancelled,
        Outcome::HostFault,
    ];

    /// Returns its name, as a label's value.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Declined => "declined",
            Outcome::Errored => "errored",
            Outcome::Denied => "denied",
            Outcome::Trapped => "trapped",
            Outcome::Unusable => "unusable",
            Outcome::Deadline => "deadline",
            Outcome::Busy => "busy",
            Outcome::Failing => "failing",
            Outcome::NotStarted => "not_started",
            Outcome::Closing => "closing",
            Outcome::Cancelled => "cancelled",
            Outcome::HostFault => "host_fault",
        }
    }
}

/// What one mount's requests count on. Made with the mount, kept when it is tuned or moved. A mount that was started
/// and never called costs a few words: what requests count on is made with the first, and what the storage counts on
/// with its first use.
#[derive(Default)]
pub(crate) struct MountMeter {
    /// Outside, since starting a mount runs its guest.
    cpu_ns: AtomicU64,
    requests: OnceLock<Box<Requests>>,
    storage: OnceLock<Box<StorageTally>>,
}

#[derive(Default)]
struct Requests {
    outcomes: Tally<{ Outcome::ALL.len() }>,
    latency: Histogram,
    queue_wait: Histogram,
}

#[derive(Default)]
struct StorageTally {
    reads: AtomicU64,
    lists: AtomicU64,
    writes: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    transactions_open: AtomicU64,
}

/// What one mount did since it was enabled or the host started, whichever was later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountCounts {
    requests: [u64; Outcome::ALL.len()],
    /// How long requests took, from when the mount got them until they ended, however they ended.
    pub latency: Distribution,
    /// How long requests waited for their turn and for an instance, where they had to be given one.
    pub queue_wait: Distribution,
    /// How long guests ran: the time within their polls. What an import waits for is not in it; time in which the
    /// operating system ran something else on that core is. Zero for native plugins, whose processes count for
    /// themselves.
    pub cpu: Duration,
    /// What was asked of the storage.
    pub storage: StorageCounts,
}

/// What plugins asked of a mount's storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageCounts {
    /// Values looked up, found or not.
    pub reads: u64,
    /// Listings.
    pub lists: u64,
    /// Values stored and deleted, each by itself, once they are durable.
    pub writes: u64,
    /// Bytes of the values that were found, as stored.
    pub bytes_read: u64,
    /// Bytes of the values that were stored, as stored.
    pub bytes_written: u64,
    /// Transactions that are open now, each of which holds on to a moment of the storage.
    pub transactions_open: u64,
}

/// A transaction that is open, until it is dropped.
pub(crate) struct OpenTransaction(Arc<MountMeter>);

/// A request under way. Dropped before it [ends](Self::end), it counts as cancelled.
pub(crate) struct RequestMark<'meter> {
    requests: &'meter Requests,
    begun: Instant,
    outcome: Outcome,
}

impl MountMeter {
    /// Begins to count a request.
    pub(crate) fn begin(&self) -> RequestMark<'_> {
        let requests = self.requests.get_or_init(Box::default);
        RequestMark { requests, begun: Instant::now(), outcome: Outcome::Cancelled }
    }

    /// Takes note of how long a request waited for its turn and for an instance. Call it once for each request that got
    /// one, and with what it waited in vain for each that did not. What waits before the first request is the mount's
    /// start, and no request.
    pub(crate) fn waited(&self, wait: Duration) {
        if let Some(requests) = self.requests.get() {
            requests.queue_wait.add(wait);
        }
    }

    /// Runs a future, and counts the time that is spent within its polls: what a guest costs the core that it runs on.
    /// A guest that waits for an import leaves its poll, so waiting is not in it. There is no cheaper clock that is
    /// about one guest: the thread's own is about whatever else ran between two polls, and costs a system call each.
    pub(crate) async fn timed<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let begun = Instant::now();
            let polled = future.as_mut().poll(context);
            self.cpu_ns.fetch_add(nanoseconds(begun.elapsed()), Ordering::Relaxed);
            polled
        })
        .await
    }

    /// Takes note of a value that was looked up, and of its bytes if it was found.
    pub(crate) fn read(&self, bytes: usize) {
        let storage = self.storage();
        storage.reads.fetch_add(1, Ordering::Relaxed);
        storage.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes note of a listing.
    pub(crate) fn listed(&self) {
        self.storage().lists.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of so many values that were stored or deleted, with so many bytes.
    pub(crate) fn wrote(&self, values: usize, bytes: usize) {
        let storage = self.storage();
        storage.writes.fetch_add(values as u64, Ordering::Relaxed);
        storage.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a transaction as open until the result is dropped.
    pub(crate) fn transaction_began(self: &Arc<Self>) -> OpenTransaction {
        self.storage().transactions_open.fetch_add(1, Ordering::Relaxed);
        OpenTransaction(Arc::clone(self))
    }

    fn storage(&self) -> &StorageTally {
        self.storage.get_or_init(Box::default)
    }

    /// Returns what was counted; `None` if no request ever came and the storage was never used.
    pub(crate) fn read_counts(&self) -> Option<MountCounts> {
        let (requests, storage) = (self.requests.get(), self.storage.get());
        if requests.is_none() && storage.is_none() {
            return None;
        }
        let mut counts = MountCounts {
            cpu: Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed)),
            storage: storage.map(|storage| storage.read()).unwrap_or_default(),
            ..MountCounts::default()
        };
        if let Some(requests) = requests {
            counts.requests = requests.outcomes.read();
            counts.latency = requests.latency.read();
            counts.queue_wait = requests.queue_wait.read();
        }
        Some(counts)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        self.0.storage().transactions_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl StorageTally {
    fn read(&self) -> StorageCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StorageCounts {
            reads: load(&self.reads),
            lists: load(&self.lists),
            writes: load(&self.writes),
            bytes_read: load(&self.bytes_read),
            bytes_written: load(&self.bytes_written),
            transactions_open: load(&self.transactions_open),
        }
    }
}

impl MountCounts {
    /// Returns how many requests ended so.
    pub fn requests(&self, outcome: Outcome) -> u64 {
        self.requests[outcome as usize]
    }
}

impl RequestMark<'_> {
    /// Counts the request as ended, now and in this way.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for RequestMark<'_> {
    fn drop(&mut self) {
        self.requests.outcomes.add(self.outcome as usize);
        self.requests.latency.add(self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_however_it_ends() {
        let meter = MountMeter::default();
        assert!(meter.read_counts().is_none(), "nothing was asked of it");
        meter.begin().end(Outcome::Answered);
        meter.begin().end(Outcome::Denied);
        meter.begin().end(Outcome::Answered);
        drop(meter.begin());
        let counts = meter.read_counts().unwrap();
        for outcome in Outcome::ALL {
            let expected = match outcome {
                Outcome::Answered => 2,
                Outcome::Denied | Outcome::Cancelled => 1,
                _ => 0,
            };
            assert_eq!(counts.requests(outcome), expected, "{}", outcome.name());
        }
        assert_eq!(counts.latency.count(), 4);
        assert_eq!(counts.queue_wait.count(), 0);
    }

    #[test]
    fn outcomes_are_counted_apart() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place, "{}", outcome.name());
            assert_eq!(Outcome::ALL.iter().filter(|other| other.name() == outcome.name()).count(), 1);
        }
    }

    #[test]
    fn a_mount_that_nobody_called_costs_little() {
        assert!(size_of::<MountMeter>() <= 40, "{}", size_of::<MountMeter>());
        let meter = MountMeter::default();
        meter.waited(Duration::ZERO);
        assert!(meter.requests.get().is_none() && meter.storage.get().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_no_processor_time() {
        let meter = MountMeter::default();
        let busy = Duration::from_millis(5);
        meter
            .timed(async {
                // The clock is paused: an hour passes at once, between two polls.
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                let begun = Instant::now();
                while begun.elapsed() < busy {}
            })
            .await;
        assert!(meter.read_counts().is_none(), "a mount that only started is not shown");
        drop(meter.begin());
        let cpu = meter.read_counts().unwrap().cpu;
        assert!(cpu >= busy && cpu < Duration::from_secs(60), "{cpu:?}");
    }
}
