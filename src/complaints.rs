//! A budget for lines of the log that anybody's requests can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in one period. The first few say what is wrong; more only say how often.
const LINES_MAX: u32 = 5;

/// The period.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts the lines of one kind.
pub(crate) struct Complaints(Mutex<Counted>);

struct Counted {
    since: Option<Instant>,
    lines: u32,
    /// Lines that were left out since the last that was not.
    left_out: u64,
}

impl Complaints {
    /// Returns an unused budget.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Counted { since: None, lines: 0, left_out: 0 }))
    }

    /// Returns how many lines were left out before this one, or that this one is to be left out.
    pub(crate) fn admit(&self) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.since.is_none_or(|since| since.elapsed() >= PERIOD) {
            (counted.since, counted.lines) = (Some(Instant::now()), 0);
        }
        if counted.lines == LINES_MAX {
            counted.left_out += 1;
            return None;
        }
        counted.lines += 1;
        Some(std::mem::take(&mut counted.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let complaints = Complaints::new();
        assert_eq!([(); 8].map(|()| complaints.admit()).iter().flatten().count(), LINES_MAX as usize);
        complaints.0.lock().unwrap().since = None;
        assert_eq!((complaints.admit(), complaints.admit()), (Some(3), Some(0)));
    }
}
