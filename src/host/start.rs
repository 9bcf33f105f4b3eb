//! What a host does when it starts: take up the stored mounts, start them, and finish what a crash interrupted.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures_util::StreamExt;

use super::{Error, Inner, checkup};
use crate::mount::{Attempt, Mount, MountStorage};
use crate::pool::SWEEP_PERIOD;

/// Mounts that start at a time in the background. Their code may wait, for storage or for ever; the others go on
/// meanwhile.
const STARTS_MAX: usize = 8;

/// Keys that one transaction removes while a mount's storage is wiped.
pub(super) const WIPE_KEYS_MAX: usize = 1_000;

impl Inner {
    /// Publishes the stored mounts, none of them started, and wipes what is to be wiped.
    pub(super) async fn load_mounts(&self) -> Result<(), Error> {
        for record in self.mounts.load_records().await? {
            if let Some(other) = self.mounts.routes.conflicting(&record.path, None) {
                tracing::error!(mount = %record.path, %other, "two stored mounts overlap; the second is left out");
                continue;
            }
            let mount = self.mount_of_record(record, Attempt::Shared);
            self.mounts.routes.publish(&mount.record().path, &mount);
        }
        for place in checkup::lost_mounts(&*self.storage).await? {
            tracing::error!(
                "the storage is damaged: {place} holds the data of a mount whose record is lost; see `cofferdam operator check-storage`"
            );
        }
        loop {
            let pending = self.mounts.pending_wipes().await?;
            if pending.is_empty() {
                return Ok(());
            }
            for storage in pending {
                self.wipe(storage).await?;
            }
        }
    }

    /// Starts every mount, some at a time, and says when all have been. Ends early when the host is dropped.
    pub(super) async fn start_mounts(host: Weak<Inner>) {
        let Some(mounts) = host.upgrade().map(|inner| inner.mounts.routes.all()) else { return };
        let starts = mounts.into_iter().map(|mount| start_one(mount, host.clone()));
        futures_util::stream::iter(starts).buffer_unordered(STARTS_MAX).collect::<Vec<()>>().await;
        if let Some(inner) = host.upgrade() {
            // Nobody else sets it.
            drop(inner.started.set(()));
        }
    }

    /// Lets instances go that nobody calls, once a period. Ends when the host is dropped.
    pub(super) async fn sweep_instances(host: Weak<Inner>) {
        loop {
            tokio::time::sleep(SWEEP_PERIOD).await;
            let Some(inner) = host.upgrade() else { return };
            inner.generations.pools.budget.sweep();
        }
    }

    /// Removes everything that a mount stored, then the intent to do so.
    pub(super) async fn wipe(&self, storage: MountStorage) -> Result<(), Error> {
        self.view(storage).wipe(WIPE_KEYS_MAX).await.map_err(Error::of_storage)?;
        Ok(self.mounts.store_wiped(storage).await?)
    }
}

async fn start_one(mount: Arc<Mount>, host: Weak<Inner>) {
    if host.strong_count() == 0 {
        return;
    }
    let started = mount.start().await;
    if host.upgrade().is_none_or(|inner| inner.stopping.load(Ordering::Relaxed)) {
        return;
    }
    if let Err(reason) = started {
        let record = mount.record();
        tracing::error!(plugin = %record.settings.plugin, mount = %record.path, "the mount is disabled: {reason}");
    }
}
