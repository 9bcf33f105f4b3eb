//! What a host has counted, at one moment: for an operator, or for what draws its graphs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Host, Inner, MountState};
use crate::ident::MountPath;
use crate::meter::PluginMeter;
use crate::plugin::PluginKey;

pub use crate::meter::{DURATION_BUCKETS, Distribution, MountCounts, Outcome, PluginCounts, Retired, StorageCounts};

/// What a host counted. Each number is as it was at some moment while this was made; counters only grow while the host
/// lives, and begin at zero when it starts.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The host's own version.
    pub version: &'static str,
    /// Mounts, by whether they answer.
    pub mounts_by_state: MountsByState,
    /// Sandboxes that may live at a time: [`Limits::instances_max`](crate::Limits::instances_max).
    pub instances_max: u32,
    /// Every plugin that was loaded and is in the catalog or in use, sorted by type, name and version.
    pub plugins: Vec<PluginMetrics>,
    /// Every mount that was called or that used its storage, sorted by path.
    pub mounts: Vec<MountMetrics>,
}

/// How many mounts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MountsByState {
    /// Not started yet, or starting.
    pub starting: u64,
    /// They answer.
    pub running: u64,
    /// They could not be started.
    pub disabled: u64,
}

/// What one plugin's instances take and did.
#[derive(Debug, Clone)]
pub struct PluginMetrics {
    /// Whose they are.
    pub plugin: PluginKey,
    /// What was counted.
    pub counts: PluginCounts,
}

/// What one mount did.
#[derive(Debug, Clone)]
pub struct MountMetrics {
    /// Where it is now.
    pub path: MountPath,
    /// What runs there; what is to run there, if it does not.
    pub plugin: PluginKey,
    /// What was counted.
    pub counts: MountCounts,
}

impl Host {
    /// Returns what was counted since the host started. Takes about a microsecond for each mount, and reads two small
    /// files for each native process.
    pub fn metrics(&self) -> Metrics {
        let mut states = MountsByState::default();
        let mut mounts = Vec::new();
        for mount in self.inner.mounts.routes.all() {
            let now = mount.now();
            match now.state() {
                MountState::Starting => states.starting += 1,
                MountState::Running => states.running += 1,
                MountState::Disabled(_) => states.disabled += 1,
            }
            let Some(counts) = mount.meter().read_counts() else { continue };
            let (record, version) = (&now.record, now.running_version().cloned());
            let plugin = record.settings.key_of(version);
            mounts.push(MountMetrics { path: record.path.clone(), plugin, counts });
        }
        Metrics {
            version: env!("CARGO_PKG_VERSION"),
            mounts_by_state: states,
            instances_max: self.inner.limits.instances_max,
            plugins: self.inner.plugin_metrics(),
            mounts,
        }
    }
}

impl Inner {
    fn plugin_metrics(&self) -> Vec<PluginMetrics> {
        let catalog = &self.catalog;
        self.programs.meters.read(|plugin| catalog.get(plugin).is_some())
    }
}

/// The meters of all programs, by plugin. Several programs of one plugin may live at a time: the file was registered
/// again with another digest, and mounts still run the one before.
#[derive(Default)]
pub(super) struct PluginMeters {
    plugins: Mutex<BTreeMap<PluginKey, Meters>>,
}

/// What the programs of one plugin counted.
#[derive(Default)]
struct Meters {
    /// Of programs that live.
    live: Vec<Arc<PluginMeter>>,
    /// Of those before them.
    gone: PluginCounts,
}

impl PluginMeters {
    /// Counts a program with its plugin, from now on and until it is gone.
    pub(super) fn watch(&self, plugin: &PluginKey, meter: &Arc<PluginMeter>) {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let meters = plugins.entry(plugin.clone()).or_default();
        meters.settle();
        meters.live.push(Arc::clone(meter));
    }

    /// Returns what was counted, and forgets those plugins that nobody uses and that are not `known` any more. So there
    /// are at most as many as the catalog holds and programs live, and those that went since they were last read.
    fn read(&self, known: impl Fn(&PluginKey) -> bool) -> Vec<PluginMetrics> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|plugin, meters| {
            meters.settle();
            !meters.live.is_empty() || known(plugin)
        });
        let read = |(plugin, meters): (&PluginKey, &Meters)| {
            let mut counts = meters.gone.clone();
            meters.live.iter().for_each(|meter| counts.add(&meter.read()));
            PluginMetrics { plugin: plugin.clone(), counts }
        };
        plugins.iter().map(read).collect()
    }
}

impl Meters {
    /// Keeps what programs counted that are gone: nobody else can count on their meters any more.
    fn settle(&mut self) {
        let gone = &mut self.gone;
        self.live.retain_mut(|meter| match Arc::get_mut(meter) {
            Some(meter) => {
                gone.add(&meter.read());
                false
            }
            None => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::stage::host_with;
    use crate::ident::PluginKind;
    use crate::request::{Operation, Request};
    use crate::runtime::Residence;
    use crate::runtime::double::Double;

    fn plugin(name: &str) -> PluginKey {
        PluginKey::new(PluginKind::Secret, name.parse().unwrap(), None)
    }

    #[test]
    fn what_programs_counted_outlives_them_as_long_as_their_plugin_is_known() {
        let meters = PluginMeters::default();
        let (one, two) = (Arc::new(PluginMeter::default()), Arc::new(PluginMeter::default()));
        meters.watch(&plugin("a"), &one);
        drop(one.created());
        drop(one);
        meters.watch(&plugin("a"), &two);
        let live = two.created();
        // The registry and the instance are all that is left of it.
        drop(two);
        let read = |known: bool| {
            let plugins = meters.read(|_| known);
            plugins.iter().map(|plugin| (plugin.counts.created, plugin.counts.live())).collect::<Vec<_>>()
        };
        assert_eq!(read(true), [(2, 1)]);
        assert_eq!(read(false), [(2, 1)], "an instance lives");
        drop(live);
        assert_eq!(read(true), [(2, 0)]);
        assert_eq!(read(true), [(2, 0)], "nothing is counted twice");
        assert_eq!(read(false), []);
        assert_eq!(read(true), []);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_count_on_their_mount() {
        let host = host_with(&Arc::new(Double::new(Residence::Evictable))).await;
        assert_eq!(host.metrics().mounts_by_state, MountsByState { starting: 1, ..MountsByState::default() });
        assert!(host.metrics().mounts.is_empty(), "nobody called it");
        let read = |path: &str| host.handle(Request::new(Operation::Read, path.parse().unwrap()));
        read("t/a").await.unwrap();
        read("t/hang").await.unwrap_err();
        read("elsewhere/a").await.unwrap_err();
        {
            let mut given_up = std::pin::pin!(read("t/hang"));
            assert!(futures_util::poll!(given_up.as_mut()).is_pending());
        }
        let metrics = host.metrics();
        let [mount] = metrics.mounts.as_slice() else { panic!("{metrics:?}") };
        for outcome in Outcome::ALL {
            let expected = matches!(outcome, Outcome::Answered | Outcome::Deadline | Outcome::Cancelled);
            assert_eq!(mount.counts.requests(outcome), u64::from(expected), "{}", outcome.name());
        }
        assert_eq!((mount.path.as_str(), mount.plugin.name.as_str()), ("t/", "double"));
        assert_eq!(metrics.mounts_by_state, MountsByState { running: 1, ..MountsByState::default() });
    }
}
