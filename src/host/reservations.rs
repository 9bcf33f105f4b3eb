//! Which paths a control operation is working on. Two operations never work on the same path, and none waits for another: the
//! second is told, since what runs meanwhile is a plugin's code, which may take its time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ident::MountPath;

/// The reserved paths.
#[derive(Default)]
pub(super) struct Reservations {
    paths: Mutex<BTreeSet<MountPath>>,
}

/// A reserved path, free again when dropped.
pub(super) struct Reservation {
    reservations: Arc<Reservations>,
    path: MountPath,
}

impl Reservations {
    /// Reserves a path, unless it, a path above or a path below it is reserved; then returns that one.
    pub(super) fn reserve(self: &Arc<Self>, path: &MountPath) -> Result<Reservation, MountPath> {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let overlaps =
            |other: &&MountPath| other.as_str().starts_with(path.as_str()) || path.as_str().starts_with(other.as_str());
        if let Some(other) = paths.iter().find(overlaps) {
            return Err(other.clone());
        }
        paths.insert(path.clone());
        Ok(Reservation { reservations: Arc::clone(self), path: path.clone() })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reservations.paths.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_above_and_below_are_taken_too() {
        let reservations = Arc::new(Reservations::default());
        let path = |typed: &str| typed.parse::<MountPath>().expect("the path is well formed");
        let held = reservations.reserve(&path("a/b")).expect("nothing is reserved");
        for taken in ["a", "a/b", "a/b/c"] {
            assert!(reservations.reserve(&path(taken)).is_err(), "{taken}");
        }
        assert!(reservations.reserve(&path("a/bc")).is_ok());
        drop(held);
        assert!(reservations.reserve(&path("a")).is_ok());
    }
}
