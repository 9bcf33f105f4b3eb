//! Which paths a control operation is working on, and which plugins. Two operations never work on the same path, and
//! none waits for another: the second is told, since what runs meanwhile is a plugin's code, which may take its time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ident::{MountPath, PluginKind, PluginName};

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

/// The plugins whose entries in the catalog somebody relies on who is not in the mount table yet, and those whose
/// entries are being removed. Never both, or a mount could be made of what has just gone.
#[derive(Default)]
pub(super) struct PluginClaims {
    claims: Mutex<BTreeMap<(PluginKind, PluginName), Claimed>>,
}

/// By whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimed {
    /// So many rely on it.
    ReliedOn(usize),
    /// One removes it.
    Removed,
}

/// A claim to a plugin, given up when dropped.
pub(super) struct PluginClaim {
    claims: Arc<PluginClaims>,
    plugin: (PluginKind, PluginName),
}

impl PluginClaims {
    /// Keeps a plugin's entries; `None` while one is being removed.
    pub(super) fn rely_on(self: &Arc<Self>, kind: PluginKind, name: &PluginName) -> Option<PluginClaim> {
        self.claim(kind, name, |there| match there {
            None => Some(Claimed::ReliedOn(1)),
            Some(Claimed::ReliedOn(count)) => Some(Claimed::ReliedOn(count + 1)),
            Some(Claimed::Removed) => None,
        })
    }

    /// Claims a plugin's entries for removal; `None` while somebody relies on one or removes one.
    pub(super) fn remove(self: &Arc<Self>, kind: PluginKind, name: &PluginName) -> Option<PluginClaim> {
        self.claim(kind, name, |there| there.is_none().then_some(Claimed::Removed))
    }

    fn claim(
        self: &Arc<Self>,
        kind: PluginKind,
        name: &PluginName,
        next: impl FnOnce(Option<Claimed>) -> Option<Claimed>,
    ) -> Option<PluginClaim> {
        let plugin = (kind, name.clone());
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = next(claims.get(&plugin).copied())?;
        claims.insert(plugin.clone(), claimed);
        Some(PluginClaim { claims: Arc::clone(self), plugin })
    }
}

impl Drop for PluginClaim {
    fn drop(&mut self) {
        let mut claims = self.claims.claims.lock().unwrap_or_else(PoisonError::into_inner);
        match claims.get_mut(&self.plugin) {
            Some(Claimed::ReliedOn(count @ 2..)) => *count -= 1,
            _ => drop(claims.remove(&self.plugin)),
        }
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
    #[test]
    fn what_is_relied_on_is_not_removed_and_the_other_way_round() {
        let claims = Arc::new(PluginClaims::default());
        let (kind, name) = (PluginKind::Secret, "kv".parse::<PluginName>().expect("the name is well formed"));
        let one = claims.rely_on(kind, &name).expect("nobody removes it");
        let two = claims.rely_on(kind, &name).expect("nobody removes it");
        drop(one);
        assert!(claims.remove(kind, &name).is_none());
        assert!(claims.remove(PluginKind::Auth, &name).is_some(), "another plugin");
        drop(two);
        let removing = claims.remove(kind, &name).expect("nobody relies on it");
        assert!(claims.rely_on(kind, &name).is_none() && claims.remove(kind, &name).is_none());
        drop(removing);
        assert!(claims.rely_on(kind, &name).is_some());
    }
}
