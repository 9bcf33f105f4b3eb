//! What is shown: each family of series with its name, its unit and what it means.

use prometheus_client::registry::Unit;

use crate::host::{Distribution, Metrics, MountMetrics, Outcome, PluginMetrics, Retired};
use crate::plugin::PluginKey;

/// Series of one name.
pub(super) struct Family<'a> {
    /// With its unit and without `_total`, which only one of the formats has.
    pub(super) name: &'static str,
    /// Which the name ends in.
    pub(super) unit: Option<Unit>,
    /// What it means, and where it may mislead.
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) series: Vec<(Labels<'a>, Value<'a>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, until the server starts again.
    Counter,
    /// Counts of durations.
    Histogram,
}

pub(super) enum Value<'a> {
    Whole(u64),
    Seconds(f64),
    Durations(&'a Distribution),
}

/// What tells a series from the others of its name.
#[derive(Clone, Default)]
pub(super) struct Labels<'a> {
    pub(super) mount: Option<&'a str>,
    pub(super) plugin: Option<&'a PluginKey>,
    /// One more: an outcome, a reason, a state.
    pub(super) case: Option<(&'static str, &'a str)>,
}

impl Labels<'_> {
    /// Returns names and values, in the order in which they are written.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let plugin = self.plugin.into_iter().flat_map(|plugin| {
            let version = plugin.version.as_ref().map(ToString::to_string).unwrap_or_default();
            [("kind", plugin.kind.to_string()), ("plugin", plugin.name.to_string()), ("version", version)]
        });
        let mount = self.mount.map(|mount| ("mount", mount.to_owned()));
        mount.into_iter().chain(plugin).chain(self.case.map(|(name, value)| (name, value.to_owned())))
    }
}

/// Returns everything that the host counted.
pub(super) fn of(metrics: &Metrics) -> Vec<Family<'_>> {
    let mut families = of_host(metrics);
    families.extend(of_plugins(&metrics.plugins));
    families.extend(of_mounts(&metrics.mounts));
    families
}

fn of_host(metrics: &Metrics) -> Vec<Family<'_>> {
    let case = |name, value| Labels { case: Some((name, value)), ..Labels::default() };
    let family = |name, help, series| Family { name, unit: None, help, kind: Kind::Gauge, series };
    let states = metrics.mounts_by_state;
    let live = metrics.plugins.iter().map(|plugin| plugin.counts.live()).sum();
    vec![
        family(
            "cofferdam_build_info",
            "The server's version; always 1.",
            vec![(case("version", metrics.version), Value::Whole(1))],
        ),
        family(
            "cofferdam_mounts",
            "Mounts by state: running ones answer, starting ones will, disabled ones could not be started.",
            vec![
                (case("state", "starting"), Value::Whole(states.starting)),
                (case("state", "running"), Value::Whole(states.running)),
                (case("state", "disabled"), Value::Whole(states.disabled)),
            ],
        ),
        family(
            "cofferdam_instances_live",
            "Instances that live, of all plugins. Backends of native plugins are among them.",
            vec![(Labels::default(), Value::Whole(live))],
        ),
        family(
            "cofferdam_instances_max",
            "Sandboxes that may live at a time. When all do, idle ones give way, and requests wait if none is idle.",
            vec![(Labels::default(), Value::Whole(metrics.instances_max.into()))],
        ),
    ]
}

fn of_plugins(plugins: &[PluginMetrics]) -> Vec<Family<'_>> {
    fn labels(plugin: &PluginMetrics) -> Labels<'_> {
        Labels { plugin: Some(&plugin.plugin), ..Labels::default() }
    }
    let each = |value: fn(&PluginMetrics) -> Value<'_>| plugins.iter().map(|one| (labels(one), value(one))).collect();
    let gauge = |name, unit, help, value| Family { name, unit, help, kind: Kind::Gauge, series: each(value) };
    let counter = |name, unit, help, value| Family { name, unit, help, kind: Kind::Counter, series: each(value) };
    let retired = |plugin| {
        Retired::ALL.map(|reason| {
            let labels = Labels { case: Some(("reason", reason.name())), ..labels(plugin) };
            (labels, Value::Whole(plugin.counts.retired(reason)))
        })
    };
    vec![
        gauge("cofferdam_plugin_instances_live", None, "Instances that live, idle or not.", |plugin| {
            Value::Whole(plugin.counts.live())
        }),
        gauge("cofferdam_plugin_instances_idle", None, "Instances that live and are in no call.", |plugin| {
            Value::Whole(plugin.counts.idle)
        }),
        counter("cofferdam_plugin_instances_created", None, "Instances that were made.", |plugin| {
            Value::Whole(plugin.counts.created)
        }),
        Family {
            name: "cofferdam_plugin_instances_retired",
            unit: None,
            help: "Instances that went, by reason: crashed, deadline, cancelled and setup_failed end an instance early.",
            kind: Kind::Counter,
            series: plugins.iter().flat_map(retired).collect(),
        },
        gauge(
            "cofferdam_plugin_memory_bytes",
            Some(Unit::Bytes),
            "Linear memory of all its sandboxes: what they asked for, which may be more than they have touched.",
            |plugin| Value::Whole(plugin.counts.memory_bytes),
        ),
        counter(
            "cofferdam_plugin_guest_cpu_seconds",
            Some(Unit::Seconds),
            "Time that those of its sandboxes ran which serve many requests at once. What others took counts on their mounts.",
            |plugin| Value::Seconds(plugin.counts.cpu.as_secs_f64()),
        ),
        counter(
            "cofferdam_plugin_background_cpu_seconds",
            Some(Unit::Seconds),
            "The part of cofferdam_plugin_guest_cpu_seconds_total in which nobody waited for an answer: work in the background, which \
             has a share of a core.",
            |plugin| Value::Seconds(plugin.counts.background_cpu.as_secs_f64()),
        ),
        gauge("cofferdam_plugin_processes", None, "Processes of a native plugin that run.", |plugin| {
            Value::Whole(plugin.counts.processes)
        }),
        gauge(
            "cofferdam_plugin_process_memory_bytes",
            Some(Unit::Bytes),
            "Resident set of a native plugin's processes, without what they started themselves.",
            |plugin| Value::Whole(plugin.counts.process_memory_bytes),
        ),
        counter(
            "cofferdam_plugin_process_cpu_seconds",
            Some(Unit::Seconds),
            "Processor time of a native plugin's processes. What one took after it was last read, and before it ended, is missing.",
            |plugin| Value::Seconds(plugin.counts.process_cpu.as_secs_f64()),
        ),
    ]
}

fn of_mounts(mounts: &[MountMetrics]) -> Vec<Family<'_>> {
    fn labels(mount: &MountMetrics) -> Labels<'_> {
        Labels { mount: Some(mount.path.as_str()), plugin: Some(&mount.plugin), case: None }
    }
    let each = |value: fn(&MountMetrics) -> Value<'_>| mounts.iter().map(|one| (labels(one), value(one))).collect();
    let histogram = |name, help, value| {
        let unit = Some(Unit::Seconds);
        Family { name, unit, help, kind: Kind::Histogram, series: each(value) }
    };
    let counter = |name, unit, help, value| Family { name, unit, help, kind: Kind::Counter, series: each(value) };
    let requests = |mount| {
        Outcome::ALL.map(|outcome| {
            let labels = Labels { case: Some(("outcome", outcome.name())), ..labels(mount) };
            (labels, Value::Whole(mount.counts.requests(outcome)))
        })
    };
    vec![
        Family {
            name: "cofferdam_mount_requests",
            unit: None,
            help: "Requests that came to a mount, by how they ended. Declined ones are as a rule the caller's affair.",
            kind: Kind::Counter,
            series: mounts.iter().flat_map(requests).collect(),
        },
        histogram(
            "cofferdam_mount_request_duration_seconds",
            "How long requests took, waiting included, however they ended.",
            |mount| Value::Durations(&mount.counts.latency),
        ),
        histogram(
            "cofferdam_mount_queue_wait_seconds",
            "How long requests waited for their turn, and for an instance to be free, or made and set up.",
            |mount| Value::Durations(&mount.counts.queue_wait),
        ),
        counter(
            "cofferdam_mount_guest_cpu_seconds",
            Some(Unit::Seconds),
            "Time that sandboxes ran, waiting for imports excluded. On a machine that is short of cores it holds some waiting for \
             one. Not counted for plugins whose instance runs several calls at once, nor for native ones: see \
             cofferdam_plugin_guest_cpu_seconds_total and cofferdam_plugin_process_cpu_seconds_total.",
            |mount| Value::Seconds(mount.counts.cpu.as_secs_f64()),
        ),
        Family {
            name: "cofferdam_mount_transactions_open",
            unit: None,
            help: "Transactions that are open. Each keeps the storage from using what was freed since it began.",
            kind: Kind::Gauge,
            series: each(|mount| Value::Whole(mount.counts.storage.transactions_open)),
        },
        counter("cofferdam_mount_storage_reads", None, "Values looked up, found or not.", |mount| {
            Value::Whole(mount.counts.storage.reads)
        }),
        counter("cofferdam_mount_storage_lists", None, "Listings.", |mount| Value::Whole(mount.counts.storage.lists)),
        counter("cofferdam_mount_storage_writes", None, "Values stored and deleted durably.", |mount| {
            Value::Whole(mount.counts.storage.writes)
        }),
        counter("cofferdam_mount_storage_read_bytes", Some(Unit::Bytes), "Bytes of values that were read.", |mount| {
            Value::Whole(mount.counts.storage.bytes_read)
        }),
        counter(
            "cofferdam_mount_storage_written_bytes",
            Some(Unit::Bytes),
            "Bytes of values that were stored, those that replaced others included: not how many a mount stores now.",
            |mount| Value::Whole(mount.counts.storage.bytes_written),
        ),
    ]
}
