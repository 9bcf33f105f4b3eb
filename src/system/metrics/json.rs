//! Vault's JSON: what go-metrics writes, with totals since the start in place of those of the last interval.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::families::{self, Kind, Value};
use crate::host::{DURATION_BUCKETS, Distribution, Metrics};
use crate::json;

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Written {
    timestamp: String,
    gauges: Vec<Gauge>,
    /// Vault has none either.
    points: [(); 0],
    counters: Vec<Counter>,
    samples: Vec<Sample>,
}

type Labels = BTreeMap<&'static str, String>;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Gauge {
    name: String,
    value: u64,
    labels: Labels,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Counter {
    name: String,
    /// Of what is counted by the piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    sum: f64,
    labels: Labels,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    name: String,
    count: u64,
    sum: f64,
    mean: f64,
    buckets: Vec<Bucket>,
    labels: Labels,
}

/// How many were longer than the bucket before, and no longer than this.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    /// In seconds; `null` for the last, which has no bound.
    up_to: Option<f64>,
    count: u64,
}

/// Returns the JSON. Names are those of the other format, so that one page explains both.
pub(super) fn write(metrics: &Metrics) -> Vec<u8> {
    let timestamp = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string();
    let mut written = Written { timestamp, ..Written::default() };
    for family in families::of(metrics) {
        for (labels, value) in family.series {
            let labels = labels.pairs().collect();
            match (family.kind, value) {
                (Kind::Gauge, Value::Whole(value)) => {
                    written.gauges.push(Gauge { name: family.name.to_owned(), value, labels });
                }
                (_, Value::Whole(count)) => written.counters.push(Counter {
                    name: format!("{}_total", family.name),
                    count: Some(count),
                    sum: count as f64,
                    labels,
                }),
                (_, Value::Seconds(sum)) => {
                    written.counters.push(Counter { name: format!("{}_total", family.name), count: None, sum, labels });
                }
                (_, Value::Durations(durations)) => written.samples.push(sample(family.name, durations, labels)),
            }
        }
    }
    json::line(&written)
}

fn sample(name: &str, durations: &Distribution, labels: Labels) -> Sample {
    let (count, sum) = (durations.count(), durations.sum.as_secs_f64());
    let bounds = DURATION_BUCKETS.iter().map(|bound| Some(bound.as_secs_f64())).chain([None]);
    let buckets = bounds.zip(durations.counts).map(|(up_to, count)| Bucket { up_to, count }).collect();
    let mean = if count == 0 { 0.0 } else { sum / count as f64 };
    Sample { name: name.to_owned(), count, sum, mean, buckets, labels }
}
