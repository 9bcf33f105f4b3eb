//! What happened between two looks: a row for each plugin, and behind it one for each of its mounts.

use std::cmp::Ordering;

use serde::Serialize;

use super::scrape::{Bucket, MountNumbers, PluginLabels, PluginNumbers, Scrape};
use crate::cli::table::Table;

/// What a plugin and all its mounts did, or one mount.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    plugin: String,
    version: String,
    #[serde(rename = "type")]
    kind: String,
    /// `None` for the plugin as a whole.
    mount: Option<String>,
    requests_per_second: f64,
    /// Of those that neither the plugin nor the host may be proud of.
    errors_per_second: f64,
    /// In seconds, estimated from buckets; `None` where there was no request.
    latency_p50_seconds: Option<f64>,
    latency_p99_seconds: Option<f64>,
    queue_wait_p99_seconds: Option<f64>,
    /// Of one core. A mount of a native plugin has none of its own, nor has one whose plugin serves many requests in
    /// one instance.
    cpu_percent: f64,
    /// The part of that in which nobody waited for an answer: work in the background. It is a plugin's.
    background_cpu_percent: Option<f64>,
    /// Instances are a plugin's, and so is their memory.
    instances_live: Option<u64>,
    instances_idle: Option<u64>,
    memory_bytes: Option<u64>,
    storage_read_bytes_per_second: f64,
    storage_written_bytes_per_second: f64,
}

/// What rows are sorted by, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Requests,
    Errors,
    Latency,
    Cpu,
    Memory,
    Name,
}

impl Order {
    /// Returns the order that comes when the person asks for another.
    pub(super) fn next(self) -> Self {
        match self {
            Order::Requests => Order::Errors,
            Order::Errors => Order::Latency,
            Order::Latency => Order::Cpu,
            Order::Cpu => Order::Memory,
            Order::Memory => Order::Name,
            Order::Name => Order::Requests,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Order::Requests => "requests",
            Order::Errors => "errors",
            Order::Latency => "p99 latency",
            Order::Cpu => "CPU",
            Order::Memory => "memory",
            Order::Name => "name",
        }
    }

    fn key(self, row: &Row) -> f64 {
        match self {
            Order::Requests => row.requests_per_second,
            Order::Errors => row.errors_per_second,
            Order::Latency => row.latency_p99_seconds.unwrap_or(-1.0),
            Order::Cpu => row.cpu_percent,
            Order::Memory => row.memory_bytes.unwrap_or(0) as f64,
            Order::Name => 0.0,
        }
    }
}

/// Returns what happened from one look to the next.
pub(super) fn rows(before: &Scrape, now: &Scrape, order: Order) -> Vec<Row> {
    let seconds = now.since(before).as_secs_f64().max(f64::MIN_POSITIVE);
    let nothing = MountNumbers::default();
    let mut rows = Vec::new();
    for (plugin, numbers) in of_every_plugin(now) {
        let mut of_all = MountNumbers::default();
        let mounts: Vec<Row> = (now.mounts.iter().filter(|(mount, _)| mount.plugin == *plugin))
            .map(|(mount, counted)| {
                let grown = counted.since(before.mounts.get(mount).unwrap_or(&nothing));
                let row = row(plugin, &grown, seconds, Some(mount.path.clone()));
                of_all.add_all(grown);
                row
            })
            .collect();
        let nothing = PluginNumbers::default();
        let numbers_before = before.plugins.get(plugin).unwrap_or(&nothing);
        let cpu = grown_seconds(numbers_before.cpu_seconds, numbers.cpu_seconds);
        let background = grown_seconds(numbers_before.background_cpu_seconds, numbers.background_cpu_seconds);
        let of_plugin = row(plugin, &of_all, seconds, None);
        rows.push(Row {
            cpu_percent: of_plugin.cpu_percent + percent(cpu, seconds),
            background_cpu_percent: Some(percent(background, seconds)),
            instances_live: Some(numbers.live),
            instances_idle: Some(numbers.idle),
            memory_bytes: Some(numbers.memory_bytes),
            ..of_plugin
        });
        rows.extend(mounts);
    }
    sort(&mut rows, order);
    rows
}

/// Returns the plugins that are loaded, and those that are not and whose mounts were called all the same.
fn of_every_plugin(scrape: &Scrape) -> Vec<(&PluginLabels, PluginNumbers)> {
    let loaded = scrape.plugins.iter().map(|(plugin, numbers)| (plugin, numbers.clone()));
    let others = scrape.mounts.keys().map(|mount| &mount.plugin).filter(|plugin| !scrape.plugins.contains_key(plugin));
    let mut plugins: Vec<_> = loaded.chain(others.map(|plugin| (plugin, PluginNumbers::default()))).collect();
    plugins.sort_by_key(|(plugin, _)| *plugin);
    plugins.dedup_by_key(|(plugin, _)| *plugin);
    plugins
}

/// Sorts plugins, and the mounts of each behind it.
pub(super) fn sort(rows: &mut Vec<Row>, order: Order) {
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows.drain(..) {
        match groups.last_mut().filter(|_| row.mount.is_some()) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let compare = |one: &Row, other: &Row| {
        let by_key = order.key(other).partial_cmp(&order.key(one)).unwrap_or(Ordering::Equal);
        let name = |row: &Row| (row.plugin.clone(), row.version.clone(), row.kind.clone(), row.mount.clone());
        by_key.then_with(|| name(one).cmp(&name(other)))
    };
    groups.iter_mut().for_each(|group| group[1..].sort_by(compare));
    groups.sort_by(|one, other| compare(&one[0], &other[0]));
    rows.extend(groups.into_iter().flatten());
}

fn row(plugin: &PluginLabels, grown: &MountNumbers, seconds: f64, mount: Option<String>) -> Row {
    let rate = |count: u64| round(count as f64 / seconds);
    Row {
        plugin: plugin.name.clone(),
        version: plugin.version.clone(),
        kind: plugin.kind.clone(),
        mount,
        requests_per_second: rate(grown.requests),
        errors_per_second: rate(grown.errors),
        latency_p50_seconds: quantile(&grown.latency, 0.5),
        latency_p99_seconds: quantile(&grown.latency, 0.99),
        queue_wait_p99_seconds: quantile(&grown.queue_wait, 0.99),
        cpu_percent: percent(grown.guest_cpu_seconds, seconds),
        background_cpu_percent: None,
        instances_live: None,
        instances_idle: None,
        memory_bytes: None,
        storage_read_bytes_per_second: rate(grown.read_bytes),
        storage_written_bytes_per_second: rate(grown.written_bytes),
    }
}

impl MountNumbers {
    /// Returns by how much each number has grown.
    fn since(&self, before: &Self) -> Self {
        Self {
            requests: grown(before.requests, self.requests),
            errors: grown(before.errors, self.errors),
            latency: grown_buckets(&before.latency, &self.latency),
            queue_wait: grown_buckets(&before.queue_wait, &self.queue_wait),
            guest_cpu_seconds: grown_seconds(before.guest_cpu_seconds, self.guest_cpu_seconds),
            read_bytes: grown(before.read_bytes, self.read_bytes),
            written_bytes: grown(before.written_bytes, self.written_bytes),
        }
    }

    fn add_all(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        add_buckets(&mut self.latency, other.latency);
        add_buckets(&mut self.queue_wait, other.queue_wait);
        self.guest_cpu_seconds += other.guest_cpu_seconds;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
    }
}

/// A counter that is lower than it was has begun anew: its server, or its mount, did.
fn grown(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

fn grown_seconds(before: f64, now: f64) -> f64 {
    if now < before { now } else { now - before }
}

fn grown_buckets(before: &[Bucket], now: &[Bucket]) -> Vec<Bucket> {
    let counted = |index: usize| before.get(index).map_or(0, |bucket| bucket.count);
    let since = |(index, bucket): (usize, &Bucket)| Bucket { count: grown(counted(index), bucket.count), ..*bucket };
    now.iter().enumerate().map(since).collect()
}

fn add_buckets(sum: &mut Vec<Bucket>, other: Vec<Bucket>) {
    if sum.is_empty() {
        *sum = other;
        return;
    }
    sum.iter_mut().zip(other).for_each(|(sum, other)| sum.count += other.count);
}

/// Estimates how long the slowest of this share took, as if durations were spread evenly within a bucket. What fell
/// behind the last bound counts as that.
fn quantile(buckets: &[Bucket], share: f64) -> Option<f64> {
    let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let rank = share * count as f64;
    let (mut below, mut from) = (0_u64, 0.0);
    for bucket in buckets.iter().filter(|_| count > 0) {
        let Some(up_to) = bucket.up_to else { return Some(from) };
        if bucket.count > 0 && (below + bucket.count) as f64 >= rank {
            return Some(from + (up_to - from) * ((rank - below as f64) / bucket.count as f64));
        }
        below += bucket.count;
        from = up_to;
    }
    None
}

fn percent(cpu_seconds: f64, seconds: f64) -> f64 {
    round(100.0 * cpu_seconds / seconds)
}

/// More than two places of a rate mean nothing.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

// ------------------------------------------------------------------------------------------------------------------ as
// a table

const COLUMNS: [&str; 15] = [
    "Plugin",
    "Version",
    "Mount",
    "Req/s",
    "Err/s",
    "p50",
    "p99",
    "Wait p99",
    "CPU %",
    "Background %",
    "Live",
    "Idle",
    "Memory",
    "Read/s",
    "Written/s",
];

/// Returns the rows for people.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&COLUMNS);
    for row in rows {
        let whole = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        table.row([
            row.plugin.clone(),
            row.version.clone(),
            row.mount.clone().unwrap_or_else(|| "(all)".to_owned()),
            format!("{:.1}", row.requests_per_second),
            format!("{:.1}", row.errors_per_second),
            time(row.latency_p50_seconds),
            time(row.latency_p99_seconds),
            time(row.queue_wait_p99_seconds),
            format!("{:.1}", row.cpu_percent),
            row.background_cpu_percent.map(|percent| format!("{percent:.1}")).unwrap_or_default(),
            whole(row.instances_live),
            whole(row.instances_idle),
            row.memory_bytes.map(|bytes| size(bytes as f64)).unwrap_or_default(),
            size(row.storage_read_bytes_per_second),
            size(row.storage_written_bytes_per_second),
        ]);
    }
    table
}

/// Returns a time in the unit that suits it.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => String::new(),
        Some(seconds) if seconds < 0.001 => format!("{:.0}µs", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1}ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1}s"),
    }
}

/// Returns a number of bytes in the unit that suits it.
fn size(bytes: f64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = (bytes, "B");
    for unit in UNITS {
        if shown.0 < 1024.0 {
            break;
        }
        shown = (shown.0 / 1024.0, unit);
    }
    match shown {
        (bytes, "B") => format!("{bytes:.0} B"),
        (number, unit) => format!("{number:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: [u64; 4]) -> Vec<Bucket> {
        let bounds = [Some(0.001), Some(0.01), Some(0.1), None];
        bounds.into_iter().zip(counts).map(|(up_to, count)| Bucket { up_to, count }).collect()
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        for (counts, share, expected) in [
            ([0, 0, 0, 0], 0.5, None),
            ([10, 0, 0, 0], 0.5, Some(0.0005)),
            ([50, 50, 0, 0], 0.5, Some(0.001)),
            ([0, 100, 0, 0], 0.99, Some(0.001 + 0.009 * 0.99)),
            ([98, 0, 2, 0], 0.99, Some(0.01 + 0.09 * 0.5)),
            ([0, 0, 0, 5], 0.5, Some(0.1)),
        ] {
            let estimated = quantile(&buckets(counts), share);
            let is_near = match (estimated, expected) {
                (Some(estimated), Some(expected)) => (estimated - expected).abs() < 1e-9,
                (estimated, expected) => estimated == expected,
            };
            assert!(is_near, "{counts:?}: {estimated:?}, not {expected:?}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_server_that_started_again_counts_from_nothing() {
        assert_eq!((grown(5, 7), grown(7, 2)), (2, 2));
        let grown = grown_buckets(&buckets([5, 5, 0, 0]), &buckets([6, 1, 0, 0]));
        assert_eq!(grown, buckets([1, 1, 0, 0]));
    }

    fn named(plugin: &str, mount: Option<&str>, requests: u64) -> Row {
        let key = PluginLabels { name: plugin.to_owned(), ..PluginLabels::default() };
        row(&key, &MountNumbers { requests, ..MountNumbers::default() }, 1.0, mount.map(str::to_owned))
    }

    #[test]
    fn mounts_stay_behind_their_plugin_however_it_is_sorted() {
        let mut rows = vec![
            named("a", None, 5),
            named("a", Some("y/"), 1),
            named("a", Some("x/"), 4),
            named("b", None, 9),
            named("b", Some("z/"), 9),
            named("c", None, 9),
        ];
        let shown = |rows: &[Row]| {
            rows.iter().map(|row| row.mount.clone().unwrap_or_else(|| row.plugin.clone())).collect::<Vec<_>>()
        };
        sort(&mut rows, Order::Requests);
        assert_eq!(shown(&rows), ["b", "z/", "c", "a", "x/", "y/"]);
        sort(&mut rows, Order::Name);
        assert_eq!(shown(&rows), ["a", "x/", "y/", "b", "z/", "c"]);
    }

    #[test]
    fn orders_go_round() {
        let mut order = Order::Requests;
        for _ in 0..6 {
            order = order.next();
        }
        assert_eq!(order, Order::Requests);
    }

    #[test]
    fn numbers_have_units_that_suit_them() {
        for (seconds, expected) in [(0.000_012, "12µs"), (0.0015, "1.5ms"), (2.25, "2.2s")] {
            assert_eq!(time(Some(seconds)), expected);
        }
        for (bytes, expected) in
            [(0.0, "0 B"), (1023.0, "1023 B"), (1536.0, "1.5 KiB"), (3.0 * 1024.0 * 1024.0, "3.0 MiB")]
        {
            assert_eq!(size(bytes), expected);
        }
    }
}
