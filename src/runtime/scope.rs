//! What a plugin may know of the mount that a call is for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::ident::MountPath;
use crate::meter::MountMeter;
use crate::storage::StorageView;

/// A mount's number while this process runs: what tables are keyed by that are looked into for each request. The same
/// wherever the mount moves and however it is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MountKey(u64);

impl MountKey {
    /// Returns a number that no other mount has.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Returns a number that a test chooses.
    #[cfg(test)]
    pub(crate) fn chosen(number: u64) -> Self {
        Self(number)
    }
}

/// One mount as its plugin sees it. Replaced whole when the mount is tuned or moved; a call keeps the one it began
/// with.
#[derive(Clone)]
pub(crate) struct MountScope {
    /// What the host keys its own state by.
    pub(crate) key: MountKey,
    /// The mount's UUID as text, which plugins key their state by.
    pub(crate) id: Arc<str>,
    pub(crate) path: MountPath,
    pub(crate) accessor: Arc<str>,
    /// The plugin's name and version, for log lines.
    pub(crate) plugin: Arc<str>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) default_ttl: Duration,
    pub(crate) max_ttl: Duration,
    /// Lower-case names of the request headers that the plugin may see.
    pub(crate) passthrough_headers: Vec<String>,
    pub(crate) storage: StorageView,
    /// For what the plugin writes.
    pub(crate) log: Arc<LogBudget>,
    /// For what the host says of its crashes; apart, so that a plugin cannot drown it.
    pub(crate) faults: Arc<LogBudget>,
    /// What its requests count on; the same before and after a tune or a move.
    pub(crate) meter: Arc<MountMeter>,
}

impl MountScope {
    /// Writes one line of the plugin to the log, cleaned, if the mount's budget allows. Without a mount it is the
    /// plugin's.
    #[cfg(any(feature = "wasm", feature = "builtin"))]
    pub(crate) fn log_line(&self, mount: Option<&str>, level: tracing::Level, line: &str) {
        let LogPermit::Granted { dropped_before } = self.log.admit(&self.plugin, mount.unwrap_or_default(), line)
        else {
            return;
        };
        let plugin = &*self.plugin;
        if dropped_before > 0 {
            tracing::warn!(target: "cofferdam::plugin", plugin, mount, "{dropped_before} log lines were dropped: too many");
        }
        let line = super::text::clean(line);
        match level {
            tracing::Level::ERROR => tracing::error!(target: "cofferdam::plugin", plugin, mount, "{line}"),
            tracing::Level::WARN => tracing::warn!(target: "cofferdam::plugin", plugin, mount, "{line}"),
            tracing::Level::INFO => tracing::info!(target: "cofferdam::plugin", plugin, mount, "{line}"),
            tracing::Level::DEBUG => tracing::debug!(target: "cofferdam::plugin", plugin, mount, "{line}"),
            tracing::Level::TRACE => tracing::trace!(target: "cofferdam::plugin", plugin, mount, "{line}"),
        }
    }

    /// Writes to the log that the plugin failed. A plugin that fails with each request fills no disk.
    pub(crate) fn log_fault(&self, text: &str) {
        let (plugin, mount) = (&*self.plugin, self.path.as_str());
        let LogPermit::Granted { dropped_before } = self.faults.admit(plugin, mount, text) else { return };
        if dropped_before > 0 {
            tracing::error!(plugin, mount, "{dropped_before} lines like the next were dropped: too many");
        }
        tracing::error!(plugin, mount, "{text}");
    }
}

/// What a line of the log holds besides names and text, in bytes: the time, the level, the target, and what the fields
/// are called.
const LINE_FRAME_BYTES: usize = 72;

/// How much a mount may write to the log: a token bucket that holds one second's worth.
pub(crate) struct LogBudget {
    bytes_per_second: u64,
    start: Instant,
    /// Milliseconds since `start` up to which the budget is spent.
    spent_until: AtomicU64,
    dropped_lines: AtomicU64,
}

/// Whether a line may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogPermit {
    /// Yes; and this many lines before it were dropped, which is worth a line of its own if it is not zero.
    Granted {
        /// Lines dropped since the last that was written.
        dropped_before: u64,
    },
    /// No: the mount wrote too much within the last second.
    Refused,
}

impl LogBudget {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            start: Instant::now(),
            spent_until: AtomicU64::new(0),
            dropped_lines: AtomicU64::new(0),
        }
    }

    /// Takes the cost of one line as it is written, with all that stands on it, out of the budget, if it holds that
    /// much.
    pub(crate) fn admit(&self, plugin: &str, mount: &str, text: &str) -> LogPermit {
        self.take(LINE_FRAME_BYTES + plugin.len() + mount.len() + text.len())
    }

    /// Takes the cost of so many bytes out of the budget, if it holds that much.
    fn take(&self, bytes: usize) -> LogPermit {
        const BURST_MS: u64 = 1_000;
        // At least a millisecond each, whatever the budget is, so that a flood of empty lines has a bound too.
        let cost = (bytes as u64 * 1_000 / self.bytes_per_second).max(1);
        let now = BURST_MS + self.start.elapsed().as_millis() as u64;
        let granted = self.spent_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent_until| {
            let next = spent_until.max(now - BURST_MS) + cost;
            (next <= now).then_some(next)
        });
        match granted {
            Ok(_) => LogPermit::Granted { dropped_before: self.dropped_lines.swap(0, Ordering::Relaxed) },
            Err(_) => {
                self.dropped_lines.fetch_add(1, Ordering::Relaxed);
                LogPermit::Refused
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_that_stands_on_a_line_counts() {
        let granted = |plugin: &str, mount: &str, text: &str| {
            let budget = LogBudget::new(64 << 10);
            (0..10_000).filter(|_| budget.admit(plugin, mount, text) != LogPermit::Refused).count()
        };
        let long = "m".repeat(4_000);
        for few in [granted(&long, "m/", "x"), granted("p", &long, "x"), granted("p", "m/", &long)] {
            assert_eq!(few, 16, "64 KiB in lines of some 4 KB");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_and_counted() {
        let budget = LogBudget::new(1_000);
        let granted = (0..100).filter(|_| budget.take(100) != LogPermit::Refused).count();
        assert_eq!(granted, 10, "one second's worth of 1,000 bytes");
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(budget.take(100), LogPermit::Granted { dropped_before: 90 });
        assert_eq!(budget.take(100), LogPermit::Refused);
    }
}
