//! WHICH: from a request's path to the mount that answers it.
//!
//! The table is immutable and swapped whole, so a lookup takes no lock and sees one state. Since no mount's path is a
//! prefix of another's, at most one prefix of a request's path is a mount: a hash lookup for each of its slashes finds
//! it, however many mounts there are. The table shares all that a change does not touch with the one before it, so a
//! change costs as little among many mounts as among few.

use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::HashMap;

use crate::ident::{MountPath, RequestPath};
use crate::mount::Mount;

/// The published routes.
#[derive(Default)]
pub(crate) struct Router {
    table: ArcSwap<HashMap<MountPath, Arc<Mount>>>,
}

/// The mount that answers, and how much of the path leads to it.
pub(crate) struct Route {
    pub(crate) mount: Arc<Mount>,
    /// Bytes of the request's path that name the mount.
    pub(crate) prefix_length: usize,
}

impl Router {
    /// Finds the mount that answers a path. `a` finds the mount at `a/`, as in Vault.
    pub(crate) fn find(&self, path: &RequestPath) -> Option<Route> {
        let table = self.table.load();
        let path = path.as_str();
        for (at, _) in path.match_indices('/') {
            if let Some(mount) = table.get(&path[..=at]) {
                return Some(Route { mount: Arc::clone(mount), prefix_length: at + 1 });
            }
        }
        if path.ends_with('/') {
            return None;
        }
        let mount = table.get(format!("{path}/").as_str())?;
        Some(Route { mount: Arc::clone(mount), prefix_length: path.len() })
    }

    /// Publishes changes to the table, all at once.
    pub(crate) fn publish(&self, changes: &[RouteChange]) {
        self.table.rcu(|table| {
            let mut table = HashMap::clone(table);
            for change in changes {
                match change {
                    RouteChange::Add(path, mount) => table.insert(path.clone(), Arc::clone(mount)),
                    RouteChange::Remove(path) => table.remove(path),
                };
            }
            table
        });
    }
}

/// One change to the routes.
pub(crate) enum RouteChange {
    Add(MountPath, Arc<Mount>),
    Remove(MountPath),
}
