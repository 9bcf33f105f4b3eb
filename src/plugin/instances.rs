//! How instances of a plugin are kept, and how many.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How instances of a plugin are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstancePolicy {
    /// Instances that belong to one mount; nothing is shared between mounts.
    #[default]
    PerMount,
    /// A fresh sandbox for every request; nothing survives a request but what was stored.
    PerRequest,
    /// Instances that all mounts of one program share: the same plugin, version, file, arguments and environment.
    /// Mounts share the plugin's memory, never storage.
    Pooled,
}

impl InstancePolicy {
    /// Every policy.
    pub const ALL: [InstancePolicy; 3] = [InstancePolicy::PerMount, InstancePolicy::PerRequest, InstancePolicy::Pooled];

    /// Returns the word used in bodies and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            InstancePolicy::PerMount => "per-mount",
            InstancePolicy::PerRequest => "per-request",
            InstancePolicy::Pooled => "pooled",
        }
    }
}

impl std::str::FromStr for InstancePolicy {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == typed).ok_or_else(|| {
            format!("{typed:?} is not an instance policy; there are \"per-mount\", \"per-request\" and \"pooled\"")
        })
    }
}

/// How many instances are kept, and for how long. `None` leaves it to the mount's plugin, and there to the host
/// ([`Limits`](crate::Limits)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceLimits {
    /// Instances alive at a time, from 1 to [`Limits::instances_max`](crate::Limits::instances_max): of one mount, or
    /// for [`Pooled`](InstancePolicy::Pooled) of all mounts that share them. A plugin that keeps a mount to one
    /// instance has one for each mount whatever is set here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<u32>,
    /// Of these, how many stay while nobody calls them. The default is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_idle: Option<u32>,
    /// For how long an instance stays that nobody calls. It is looked for every few seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// Requests that one instance answers before a fresh one takes its place. The default is no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u64>,
    /// Requests at a time in one instance, where the plugin serves several. The default is as many as the host allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
}

impl InstanceLimits {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these, with what they leave open taken from others.
    pub(crate) fn or(&self, others: &Self) -> Self {
        Self {
            max_instances: self.max_instances.or(others.max_instances),
            max_idle: self.max_idle.or(others.max_idle),
            idle_timeout: self.idle_timeout.or(others.idle_timeout),
            max_requests: self.max_requests.or(others.max_requests),
            max_concurrency: self.max_concurrency.or(others.max_concurrency),
        }
    }

    /// Changes what is set in `changes`; a zero there leaves it open again.
    pub(crate) fn change(&mut self, changes: &Self) {
        fn set<T: PartialEq + Default + Copy>(field: &mut Option<T>, change: Option<T>) {
            if let Some(value) = change {
                *field = Some(value).filter(|value| *value != T::default());
            }
        }
        set(&mut self.max_instances, changes.max_instances);
        set(&mut self.max_idle, changes.max_idle);
        set(&mut self.idle_timeout, changes.idle_timeout);
        set(&mut self.max_requests, changes.max_requests);
        set(&mut self.max_concurrency, changes.max_concurrency);
    }
}
