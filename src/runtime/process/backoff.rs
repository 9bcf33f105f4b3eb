//! How long a plugin that keeps failing is left alone.
//!
//! Its first crash costs nothing: the next request starts it again. Each further one within a minute doubles the wait.

use std::time::Duration;

use cofferdam_contract::GoDuration;
use tokio::time::Instant;

use crate::runtime::Failure;

/// The wait after the second failure in a row.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait: what an operator who mends something is content to wait for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A process that lived so long was not in a crash loop.
const STABLE: Duration = Duration::from_secs(60);

/// The failures of one process, or of one mount's processes.
#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
    wait_until: Option<Instant>,
    last: String,
}

impl Backoff {
    /// Says why nothing is to be started now, if so.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let left = self.wait_until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
        if left.is_zero() {
            return Ok(());
        }
        // Whole seconds, and never none.
        let left = Duration::from_secs(left.as_millis().div_ceil(1_000) as u64);
        Err(Failure::Failing(format!(
            "it failed {} times in a row, the last time because {}; next try in {}",
            self.failures,
            self.last,
            GoDuration::from_std(left)
        )))
    }

    /// Takes note of a process that failed after so long.
    pub(super) fn failed(&mut self, lived: Duration, why: &str) {
        self.failures = if lived >= STABLE { 1 } else { self.failures.saturating_add(1) };
        let wait = match self.failures {
            0 | 1 => Duration::ZERO,
            failures => FIRST_WAIT.saturating_mul(1 << (failures - 2).min(16)).min(WAIT_MAX),
        };
        self.wait_until = Some(Instant::now() + wait);
        self.last = why.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_doubles_up_to_a_minute_and_ends_with_a_stable_life() {
        let mut backoff = Backoff::default();
        assert!(backoff.check().is_ok());
        backoff.failed(Duration::ZERO, "it exited");
        assert!(backoff.check().is_ok(), "the first failure costs nothing");
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            backoff.failed(Duration::from_secs(1), "it exited");
            tokio::time::advance(Duration::from_millis(expected * 1_000 - 1)).await;
            let failure = backoff.check().expect_err("it is too early").to_string();
            assert!(failure.contains("because it exited; next try in 1s"), "{failure}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(backoff.check().is_ok(), "after {expected} s");
        }
        backoff.failed(STABLE, "it exited");
        assert!(backoff.check().is_ok());
    }
}
