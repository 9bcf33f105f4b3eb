//! How instances are kept, as clients say it and see it: the same fields in a registration and in a mount's
//! configuration.

use serde::Serialize;

use super::fields::{Fields, TypedTtl};
use super::refusal::Refusal;
use crate::plugin::{InstanceLimits, InstancePolicy};

/// What somebody chose, in a listing. What is left open is left out.
#[derive(Serialize)]
pub(super) struct InstancesView {
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_instances: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_idle: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<u32>,
}

impl InstancesView {
    pub(super) fn of(policy: Option<InstancePolicy>, limits: &InstanceLimits) -> Self {
        Self {
            instances: policy.map(InstancePolicy::as_str),
            max_instances: limits.max_instances,
            max_idle: limits.max_idle,
            idle_timeout: limits.idle_timeout.map(|timeout| timeout.as_secs()),
            max_requests: limits.max_requests,
            max_concurrency: limits.max_concurrency,
        }
    }
}

/// Takes the policy out.
pub(super) fn policy(fields: &mut Fields) -> Result<Option<InstancePolicy>, Refusal> {
    fields.filled_text("instances")?.map(|typed| typed.parse().map_err(Refusal::invalid)).transpose()
}

/// Takes the limits out. A zero leaves a limit open.
pub(super) fn limits(fields: &mut Fields) -> Result<InstanceLimits, Refusal> {
    let idle_timeout = match fields.ttl("idle_timeout", "idle timeout")? {
        TypedTtl::Unset => None,
        TypedTtl::System => Some(std::time::Duration::ZERO),
        TypedTtl::Of(timeout) => Some(timeout),
    };
    Ok(InstanceLimits {
        max_instances: fields.number("max_instances")?,
        max_idle: fields.number("max_idle")?,
        idle_timeout,
        max_requests: fields.number("max_requests")?,
        max_concurrency: fields.number("max_concurrency")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(body: &str) -> Result<(Option<InstancePolicy>, InstanceLimits), Refusal> {
        let mut fields = Fields::parse(body.as_bytes())?;
        Ok((policy(&mut fields)?, limits(&mut fields)?))
    }

    #[test]
    fn what_was_said_is_shown_again() {
        let (policy, limits) = read(
            r#"{"instances":"pooled","max_instances":"3","max_idle":2,"idle_timeout":"1m","max_requests":1000,
                "max_concurrency":16}"#,
        )
        .unwrap();
        let expected = InstanceLimits {
            max_instances: Some(3),
            max_idle: Some(2),
            idle_timeout: Some(Duration::from_secs(60)),
            max_requests: Some(1_000),
            max_concurrency: Some(16),
        };
        assert_eq!((policy, &limits), (Some(InstancePolicy::Pooled), &expected));
        let shown = serde_json::to_value(InstancesView::of(policy, &limits)).unwrap();
        let expected = serde_json::json!({"instances": "pooled", "max_instances": 3, "max_idle": 2, "idle_timeout": 60,
            "max_requests": 1000, "max_concurrency": 16});
        assert_eq!(shown, expected);
        let (policy, limits) = read("{}").unwrap();
        assert_eq!(serde_json::to_value(InstancesView::of(policy, &limits)).unwrap(), serde_json::json!({}));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (body, message) in [
            (r#"{"instances":"many"}"#, "\"many\" is not an instance policy; there are \"per-mount\""),
            (r#"{"max_instances":-1}"#, "field \"max_instances\" must be a number from 0 on"),
            (r#"{"max_requests":"x"}"#, "field \"max_requests\" must be a number from 0 on"),
            (r#"{"max_idle":4294967296}"#, "field \"max_idle\" must be a number from 0 on"),
            (r#"{"idle_timeout":"soon"}"#, "unable to parse idle timeout of soon"),
        ] {
            let refusal = read(body).unwrap_err();
            assert!(refusal.message().contains(message), "{body}: {}", refusal.message());
        }
    }
}
