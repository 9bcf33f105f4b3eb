//! The OpenMetrics text that Prometheus scrapes.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::families::{self, Family, Kind, Labels, Value};
use crate::host::{DURATION_BUCKETS, Distribution, Metrics};

/// What was counted, as the encoder takes it.
#[derive(Debug)]
struct Scrape(Metrics);

/// Returns the text. `None` would mean that it does not fit into memory's largest text.
pub(super) fn write(metrics: Metrics) -> Option<Vec<u8>> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(metrics)));
    let mut written = String::new();
    text::encode(&mut written, &registry).ok()?;
    Some(written.into_bytes())
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::of(&self.0).iter().try_for_each(|family| encode(family, &mut encoder))
    }
}

fn encode(family: &Family<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    // The encoder puts the unit behind the name by itself.
    let unit = family.unit.as_ref();
    let name = unit.map_or(family.name, |unit| {
        family.name.strip_suffix(unit.as_str()).map_or(family.name, |name| name.trim_end_matches('_'))
    });
    let kind = match family.kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut metric = encoder.encode_descriptor(name, family.help, unit, kind)?;
    for (labels, value) in &family.series {
        write_series(family.kind, value, &mut metric.encode_family(labels)?)?;
    }
    Ok(())
}

fn write_series(kind: Kind, value: &Value<'_>, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    const NONE: Option<&Exemplar<[(&str, &str); 0], f64>> = None;
    match (kind, value) {
        (Kind::Gauge, Value::Whole(value)) => encoder.encode_gauge(value),
        (Kind::Gauge, Value::Seconds(value)) => encoder.encode_gauge(value),
        (_, Value::Whole(value)) => encoder.encode_counter(value, NONE),
        (_, Value::Seconds(value)) => encoder.encode_counter(value, NONE),
        (_, Value::Durations(durations)) => {
            let sum = durations.sum.as_secs_f64();
            encoder.encode_histogram::<[(&str, &str); 0]>(sum, durations.count(), &buckets(durations), None)
        }
    }
}

/// Returns each bucket's upper bound in seconds, and how many fell into it alone.
fn buckets(durations: &Distribution) -> Vec<(f64, u64)> {
    let bounds = DURATION_BUCKETS.iter().map(std::time::Duration::as_secs_f64).chain([f64::INFINITY]);
    bounds.zip(durations.counts).collect()
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.pairs().try_for_each(|(name, value)| (name, value).encode(encoder.encode_label()))
    }
}
