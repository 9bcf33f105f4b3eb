//! Which instances hear of what a mount's calls write.

use std::sync::{Arc, OnceLock};

use super::instance::Live;
use super::roster::{Roster, Tenant};
use crate::runtime::{Call, MountKey, Spread};
use crate::storage::WriteObserver;

/// The instances that answer for a mount in one generation, and those that take their place.
pub(super) struct Audience {
    pub(super) roster: Arc<Roster>,
    /// What the roster knows this generation by, where others share it.
    pub(super) tenant: Arc<Tenant>,
    /// The instances that answer from now on, while the last calls run here.
    successor: OnceLock<Arc<Audience>>,
}

impl Audience {
    pub(super) fn new(roster: Arc<Roster>) -> Arc<Self> {
        Arc::new(Self { roster, tenant: Arc::new(Tenant), successor: OnceLock::new() })
    }

    /// From now on, the successor's instances hear of what is written here.
    pub(super) fn succeeded_by(&self, successor: &Arc<Audience>) {
        // A generation is succeeded once.
        let _ = self.successor.set(Arc::clone(successor));
    }

    /// Notes for all instances but `writer` that these keys of a mount were written: they are told before their next
    /// call for it.
    pub(super) fn written(&self, mount: MountKey, keys: &[Arc<str>], writer: Option<&Arc<Live>>) {
        self.roster.written(mount, keys, writer);
        let mut audience = self;
        while let Some(successor) = audience.successor.get() {
            // Where both share their instances, the writer knows already, and the others have heard.
            if !Arc::ptr_eq(&successor.roster, &self.roster) {
                successor.roster.written(mount, keys, None);
            }
            audience = successor;
        }
    }

    /// Returns the call with a storage whose writes the other instances hear of, if there can be any.
    pub(super) fn observed(self: &Arc<Self>, mut call: Call, writer: Option<&Arc<Live>>) -> Call {
        if self.roster.spread() == Spread::Many {
            let (audience, writer, mount) = (Arc::clone(self), writer.map(Arc::clone), call.scope.key);
            call.storage = call.storage.observed_by(Arc::new(Writes { audience, writer, mount }));
        }
        call
    }
}

/// Passes on which keys a call writes.
struct Writes {
    audience: Arc<Audience>,
    /// `None` for an instance that is not kept.
    writer: Option<Arc<Live>>,
    mount: MountKey,
}

impl WriteObserver for Writes {
    fn written(&self, keys: &[Arc<str>]) {
        self.audience.written(self.mount, keys, self.writer.as_ref());
    }
}
