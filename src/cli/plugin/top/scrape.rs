//! One answer of `sys/metrics`, by plugin and by mount.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

/// What a server had counted at one moment.
pub(super) struct Scrape {
    at: Instant,
    pub(super) plugins: BTreeMap<PluginLabels, PluginNumbers>,
    pub(super) mounts: BTreeMap<MountKey, MountNumbers>,
}

/// What tells plugins apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct PluginLabels {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kind: String,
}

/// What tells mounts apart, by plugin. One that changes its version begins anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MountKey {
    pub(super) plugin: PluginLabels,
    pub(super) path: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PluginNumbers {
    pub(super) live: u64,
    pub(super) idle: u64,
    pub(super) memory_bytes: u64,
    /// Of its processes, or of its sandboxes that serve many requests at once.
    pub(super) cpu_seconds: f64,
    /// The part of that in which nobody waited for an answer.
    pub(super) background_cpu_seconds: f64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct MountNumbers {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) latency: Vec<Bucket>,
    pub(super) queue_wait: Vec<Bucket>,
    pub(super) guest_cpu_seconds: f64,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// How many took longer than the bucket before and no longer than this.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Bucket {
    /// In seconds; `None` for the last.
    pub(super) up_to: Option<f64>,
    pub(super) count: u64,
}

/// Outcomes that are nobody's fault but the caller's, or nobody's.
const NO_ERRORS: [&str; 4] = ["answered", "declined", "denied", "cancelled"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    gauges: Vec<Series>,
    counters: Vec<Series>,
    samples: Vec<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Series {
    name: String,
    value: f64,
    sum: f64,
    count: u64,
    buckets: Vec<Bucket>,
    labels: BTreeMap<String, String>,
}

impl Series {
    fn take(&mut self, label: &str) -> String {
        // A server may say anything, and a terminal obeys control characters.
        let value = self.labels.remove(label).unwrap_or_default();
        value.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
    }
}

impl Scrape {
    /// Reads an answer that came just now. The error says what is wrong with it.
    pub(super) fn read(answer: Value) -> Result<Self, String> {
        let at = Instant::now();
        let Answer { gauges, counters, samples } = serde_json::from_value(answer)
            .map_err(|why| format!("the server answers something else than metrics: {why}"))?;
        let mut scrape = Self { at, plugins: BTreeMap::new(), mounts: BTreeMap::new() };
        gauges.into_iter().chain(counters).chain(samples).for_each(|series| scrape.add(series));
        Ok(scrape)
    }

    /// Returns how much later this was read.
    pub(super) fn since(&self, before: &Scrape) -> Duration {
        self.at.saturating_duration_since(before.at)
    }

    /// Takes a series in, if it is one that is shown.
    fn add(&mut self, mut series: Series) {
        let (name, version) = (series.take("plugin"), series.take("version"));
        let plugin = PluginLabels { name, version, kind: series.take("kind") };
        if let Some(what) = series.name.clone().strip_prefix("cofferdam_mount_") {
            let mount = MountKey { plugin, path: series.take("mount") };
            self.mounts.entry(mount).or_default().add(what, series);
        } else if let Some(what) = series.name.strip_prefix("cofferdam_plugin_") {
            self.plugins.entry(plugin).or_default().add(what, &series);
        }
    }
}

impl PluginNumbers {
    fn add(&mut self, what: &str, series: &Series) {
        // What gauges count is whole.
        let value = series.value as u64;
        match what {
            "instances_live" => self.live = value,
            "instances_idle" => self.idle = value,
            "memory_bytes" | "process_memory_bytes" => self.memory_bytes += value,
            "process_cpu_seconds_total" | "guest_cpu_seconds_total" => self.cpu_seconds += series.sum,
            "background_cpu_seconds_total" => self.background_cpu_seconds = series.sum,
            _ => {}
        }
    }
}

impl MountNumbers {
    fn add(&mut self, what: &str, mut series: Series) {
        match what {
            "requests_total" => {
                self.requests += series.count;
                if !NO_ERRORS.contains(&series.take("outcome").as_str()) {
                    self.errors += series.count;
                }
            }
            "request_duration_seconds" => self.latency = series.buckets,
            "queue_wait_seconds" => self.queue_wait = series.buckets,
            "guest_cpu_seconds_total" => self.guest_cpu_seconds = series.sum,
            "storage_read_bytes_total" => self.read_bytes = series.count,
            "storage_written_bytes_total" => self.written_bytes = series.count,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_is_read_and_the_rest_passed_over() {
        let labels = json!({"plugin": "kv", "version": "", "kind": "secret"});
        let of_mount = |more: Value| {
            let mut labels = labels.clone();
            labels["mount"] = "a\u{1b}[2J/".into();
            labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            labels
        };
        let requests = |outcome: &str, count: u64| {
            let labels = of_mount(json!({ "outcome": outcome }));
            json!({"Name": "cofferdam_mount_requests_total", "Count": count, "Sum": count, "Labels": labels})
        };
        let scrape = Scrape::read(json!({
            "Timestamp": "",
            "Gauges": [
                {"Name": "cofferdam_plugin_instances_live", "Value": 3, "Labels": labels},
                {"Name": "cofferdam_plugin_memory_bytes", "Value": 100, "Labels": labels},
                {"Name": "cofferdam_plugin_process_memory_bytes", "Value": 10, "Labels": labels},
                {"Name": "vault.something", "Value": 1.5, "Labels": {}},
            ],
            "Points": [],
            "Counters": [requests("answered", 5), requests("declined", 2), requests("trapped", 1),
                {"Name": "cofferdam_plugin_guest_cpu_seconds_total", "Count": 2, "Sum": 1.5, "Labels": labels},
                {"Name": "cofferdam_plugin_background_cpu_seconds_total", "Count": 1, "Sum": 0.5, "Labels": labels},
                {"Name": "cofferdam_plugin_process_cpu_seconds_total", "Count": 0, "Sum": 0.25, "Labels": labels}],
            "Samples": [{"Name": "cofferdam_mount_request_duration_seconds", "Count": 8, "Labels": of_mount(json!({})),
                "Buckets": [{"UpTo": 0.1, "Count": 8}, {"UpTo": null, "Count": 0}]}],
        }));
        let scrape = scrape.unwrap();
        let plugin = PluginLabels { name: "kv".into(), version: String::new(), kind: "secret".into() };
        assert_eq!((scrape.plugins[&plugin].live, scrape.plugins[&plugin].memory_bytes), (3, 110));
        let numbers = &scrape.plugins[&plugin];
        assert_eq!((numbers.cpu_seconds, numbers.background_cpu_seconds), (1.75, 0.5));
        let mount = &scrape.mounts[&MountKey { plugin, path: "a\u{fffd}[2J/".into() }];
        assert_eq!((mount.requests, mount.errors, mount.latency.len()), (8, 1, 2));
        assert!(Scrape::read(json!({"errors": []})).is_err());
    }
}
