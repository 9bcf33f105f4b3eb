//! Native plugins are asked now and then to undo what was left half done: a credential that was made, and never given
//! out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;

use super::Inner;
use crate::mount::Mount;
use crate::pool::Rollback;

/// The shortest period: a plugin has something else to do, too.
const PERIOD_MIN: Duration = Duration::from_secs(1);

/// Mounts that roll back at a time. Each may wait for its upstream.
const ROLLBACKS_MAX: usize = 8;

impl Inner {
    /// Asks every mount, each time a period is over. Ends when the host is dropped.
    pub(super) async fn roll_back_mounts(host: Weak<Inner>, period: Duration) {
        loop {
            tokio::time::sleep(period.max(PERIOD_MIN)).await;
            let Some((mounts, limit)) =
                host.upgrade().map(|inner| (inner.mounts.routes.all(), inner.limits.lifecycle_deadline))
            else {
                return;
            };
            let rollbacks = mounts.into_iter().map(|mount| roll_back(mount, limit));
            futures_util::stream::iter(rollbacks).buffer_unordered(ROLLBACKS_MAX).collect::<Vec<()>>().await;
        }
    }
}

async fn roll_back(mount: Arc<Mount>, limit: Duration) {
    mount.roll_back(Rollback::Periodic, limit).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::stage::host_with;
    use crate::runtime::Residence;
    use crate::runtime::double::Double;

    #[tokio::test(start_paused = true)]
    async fn a_native_plugin_rolls_back_once_a_period_and_before_its_mount_goes() {
        let double = Arc::new(Double::new(Residence::Resident));
        let host = host_with(&double).await;
        let path = "t".parse().unwrap();
        let period = host.inner.limits.rollback_period;
        // The host starts its mounts by itself; from here on the test is half a period behind.
        tokio::time::sleep(period / 2).await;
        assert_eq!(double.take_asked(), ["setup", "initialize"]);
        for _ in 0..2 {
            tokio::time::sleep(period).await;
            assert_eq!(double.take_asked(), ["Rollback \"\""]);
        }
        host.disable(&path).await.unwrap();
        assert_eq!(double.take_asked(), ["Rollback \"\"", "cleanup"]);
    }
}
