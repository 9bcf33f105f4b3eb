//! WHICH: from a request's path to the mount that answers it.
//!
//! The table is immutable and swapped whole, so a look-up takes no lock and sees one state, and a listing and a request
//! never see two. The table shares all that a change does not touch with the one before it, so a change costs as little
//! among many mounts as among few.
//!
//! No mount's path is a prefix of another's. So if a mount's path is a prefix of a request's, nothing in the table lies
//! between the two in order: whatever did would begin with the mount's path, and be a mount inside it. The mount of a
//! path is its predecessor in the table, or there is none.

use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;

use crate::ident::{MountPath, RequestPath};

/// What is mounted where.
pub(crate) struct Routes<M> {
    table: ArcSwap<OrdMap<MountPath, Arc<M>>>,
}

/// The mount that answers, and how much of the path leads to it.
pub(crate) struct Route<M> {
    pub(crate) mount: Arc<M>,
    /// Bytes of the request's path that name the mount.
    pub(crate) prefix_length: usize,
}

impl<M> Default for Routes<M> {
    fn default() -> Self {
        Self { table: ArcSwap::default() }
    }
}

impl<M> Routes<M> {
    /// Finds the mount that answers a path. `a` finds the mount at `a/`, as in Vault.
    pub(crate) fn find(&self, path: &RequestPath) -> Option<Route<M>> {
        let table = self.table.load();
        let path = path.as_str();
        if let Some((prefix, mount)) = table.get_prev(path)
            && path.starts_with(prefix.as_str())
        {
            return Some(Route { mount: Arc::clone(mount), prefix_length: prefix.as_str().len() });
        }
        if path.ends_with('/') {
            return None;
        }
        let mount = table.get(format!("{path}/").as_str())?;
        Some(Route { mount: Arc::clone(mount), prefix_length: path.len() })
    }

    /// Returns the mount at exactly this path.
    pub(crate) fn get(&self, path: &MountPath) -> Option<Arc<M>> {
        self.table.load().get(path).cloned()
    }

    /// Returns all mounts, sorted by path.
    pub(crate) fn all(&self) -> Vec<Arc<M>> {
        self.table.load().values().cloned().collect()
    }

    /// Returns the mount that stands in the way of one at this path: no mount's path may be a prefix of another's. A
    /// mount that is `leaving` stands in nobody's way, unless it is asked to stay where it is.
    pub(crate) fn conflicting(&self, path: &MountPath, leaving: Option<&MountPath>) -> Option<MountPath> {
        let table = self.table.load();
        let counts = |other: &MountPath| other == path || Some(other) != leaving;
        let above = table.get_prev(path).filter(|(other, _)| path.as_str().starts_with(other.as_str()));
        let inside = table.range(path.clone()..).take_while(|(other, _)| other.as_str().starts_with(path.as_str()));
        above.into_iter().chain(inside).map(|(other, _)| other).find(|other| counts(other)).cloned()
    }

    /// Adds a mount, of which nothing [conflicts](Self::conflicting) with the path.
    pub(crate) fn publish(&self, path: &MountPath, mount: &Arc<M>) {
        self.change(|table| {
            table.insert(path.clone(), Arc::clone(mount));
        });
    }

    /// Takes a mount out.
    pub(crate) fn withdraw(&self, path: &MountPath) {
        self.change(|table| {
            table.remove(path);
        });
    }

    /// Moves a mount: whoever looks finds it at one of the two paths.
    pub(crate) fn relocate(&self, from: &MountPath, to: &MountPath, mount: &Arc<M>) {
        self.change(|table| {
            table.remove(from);
            table.insert(to.clone(), Arc::clone(mount));
        });
    }

    fn change(&self, change: impl Fn(&mut OrdMap<MountPath, Arc<M>>)) {
        self.table.rcu(|table| {
            let mut table = OrdMap::clone(table);
            change(&mut table);
            table
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Paths of up to four segments, of few letters, so that many are prefixes of others; `-` sorts before the slash
    /// and `0` after it.
    const PATHS: &str = "[ab0-]{1,2}(/[ab0-]{1,2}){0,3}";

    /// What a naive loop finds among these mounts: the one whose path begins the request's.
    fn naive<'a>(mounts: &'a [MountPath], path: &str) -> Option<&'a MountPath> {
        mounts.iter().find(|mount| path.starts_with(mount.as_str()) || *mount.as_str() == format!("{path}/"))
    }

    /// Adds the paths that have room, as `enable` does.
    fn mounted(paths: &[String]) -> (Routes<MountPath>, Vec<MountPath>) {
        let (routes, mut mounts) = (Routes::default(), Vec::<MountPath>::new());
        for path in paths {
            let path: MountPath = path.parse().unwrap();
            let inside = |one: &MountPath, other: &MountPath| one.as_str().starts_with(other.as_str());
            let in_the_way = mounts.iter().any(|other| inside(other, &path) || inside(&path, other));
            assert_eq!(routes.conflicting(&path, None).is_some(), in_the_way, "{path} among {mounts:?}");
            if !in_the_way {
                routes.publish(&path, &Arc::new(path.clone()));
                mounts.push(path);
            }
        }
        (routes, mounts)
    }

    proptest! {
        #[test]
        fn a_path_finds_what_a_naive_loop_finds(
            paths in vec(PATHS, 0..12),
            asked in vec((PATHS, any::<bool>()), 1..24),
        ) {
            let (routes, mounts) = mounted(&paths);
            for (asked, is_below) in &asked {
                let asked = &format!("{asked}{}", if *is_below { "/" } else { "" });
                let found = routes.find(&asked.parse().unwrap());
                prop_assert_eq!(found.as_ref().map(|route| &*route.mount), naive(&mounts, asked), "{}", asked);
                if let Some(route) = found {
                    prop_assert_eq!(&asked[..route.prefix_length], &route.mount.as_str()[..route.prefix_length]);
                }
            }
        }

        #[test]
        fn a_mount_moves_to_where_nothing_else_is_in_the_way(paths in vec(PATHS, 1..8), to in PATHS, which: usize) {
            let (routes, mounts) = mounted(&paths);
            let from = &mounts[which % mounts.len()];
            let to: MountPath = to.parse().unwrap();
            let inside = |one: &MountPath, other: &MountPath| one.as_str().starts_with(other.as_str());
            let others = mounts.iter().filter(|other| *other != from || *other == &to);
            let in_the_way: Vec<_> = others.filter(|other| inside(other, &to) || inside(&to, other)).collect();
            let found = routes.conflicting(&to, Some(from));
            prop_assert_eq!(found.is_some(), !in_the_way.is_empty(), "{} to {} among {:?}", from, to, mounts);
            prop_assert!(found.as_ref().is_none_or(|found| in_the_way.contains(&found)));
            if found.is_none() {
                routes.relocate(from, &to, &routes.get(from).unwrap());
                prop_assert_eq!(routes.all().len(), mounts.len());
                prop_assert!(routes.get(&to).is_some() && routes.get(from).is_none());
            }
        }
    }
}
