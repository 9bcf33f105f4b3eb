//! `sys/metrics`: what the host counted, in Vault's JSON or as Prometheus takes it.
//!
//! `families` says what there is and what it means; `json` and `prometheus` only write it. So both tell the same.

mod families;
mod json;
mod prometheus;

use tokio::task::spawn_blocking;

use crate::host::{ErrorKind, Host};
use crate::system::fields::Fields;
use crate::system::refusal::Refusal;
use crate::system::reply::Reply;

/// OpenMetrics, which is what Prometheus asks for first.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Prometheus,
}

/// Shows what was counted since the host started.
pub(super) async fn read(host: &Host, mut fields: Fields) -> Result<Reply, Refusal> {
    let format = format(fields.filled_text("format")?.as_deref())?;
    let host = host.clone();
    // Many mounts make many lines: up to a second's work for 10,000 that were all called.
    let written = spawn_blocking(move || {
        let metrics = host.metrics();
        match format {
            Format::Json => Some(Reply::Bare(json::write(&metrics))),
            Format::Prometheus => Some(Reply::Text(OPEN_METRICS, prometheus::write(metrics)?)),
        }
    });
    let failed = || Refusal::new(ErrorKind::Internal, "the metrics could not be written");
    written.await.ok().flatten().ok_or_else(failed)
}

fn format(asked: Option<&str>) -> Result<Format, Refusal> {
    match asked {
        None | Some("json") => Ok(Format::Json),
        Some("prometheus") => Ok(Format::Prometheus),
        Some(other) => Err(Refusal::invalid(format!("unknown format {other:?}: it is \"prometheus\" or \"json\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_format_is_told_the_known_ones() {
        assert_eq!(format(None), Ok(Format::Json));
        assert_eq!(format(Some("prometheus")), Ok(Format::Prometheus));
        let refusal = format(Some("Prometheus")).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::InvalidRequest);
        assert!(refusal.message().contains("\"prometheus\" or \"json\""), "{}", refusal.message());
    }
}
