//! `sys/health`, `sys/init`, `sys/seal-status` and `sys/leader`: what the server says of itself, to anyone.
//!
//! A host that answers is initialised, unsealed and alone: there is no seal and no second node yet.

use std::time::SystemTime;

use serde::Serialize;

use super::ServerInfo;
use super::fields::Fields;
use super::refusal::Refusal;
use super::reply::Reply;
use crate::json;

/// Go's zero time, which Vault shows where there is none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Vault's parameters that say with which status it answers in a state. This server is always active, and takes all of
/// them.
const HEALTH_CODES: [&str; 7] = [
    "activecode",
    "standbycode",
    "sealedcode",
    "uninitcode",
    "drsecondarycode",
    "performancestandbycode",
    "haunhealthycode",
];

/// The status of a server that is up, unless another is asked for.
const OK: u16 = 200;

/// Statuses that may be asked for: those that end an answer.
const ANSWER_STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// Says that the server is up, with the status that the client asked for: load balancers have one of their own.
pub(super) fn health(info: &ServerInfo, mut fields: Fields) -> Result<Reply, Refusal> {
    let mut active = OK;
    for name in HEALTH_CODES {
        let Some(typed) = fields.filled_text(name)? else { continue };
        let code = typed.parse().ok().filter(|code| ANSWER_STATUSES.contains(code));
        let code =
            code.ok_or_else(|| Refusal::invalid(format!("{name} must be a status from 200 to 599, not {typed:?}")))?;
        if name == "activecode" {
            active = code;
        }
    }
    Ok(Reply::BareWith(active, health_json(info)))
}

fn health_json(info: &ServerInfo) -> Vec<u8> {
    #[derive(Serialize)]
    struct Health<'a> {
        initialized: bool,
        sealed: bool,
        standby: bool,
        performance_standby: bool,
        replication_performance_mode: &'static str,
        replication_dr_mode: &'static str,
        server_time_utc: u64,
        version: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        cluster_name: &'a str,
    }
    json::line(&Health {
        initialized: true,
        sealed: false,
        standby: false,
        performance_standby: false,
        replication_performance_mode: "disabled",
        replication_dr_mode: "disabled",
        server_time_utc: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        version: &info.version,
        cluster_name: &info.cluster_name,
    })
}

/// Says that the server is initialised: it makes its store ready when it first starts.
pub(super) fn init() -> Reply {
    #[derive(Serialize)]
    struct Init {
        initialized: bool,
    }
    Reply::Bare(json::line(&Init { initialized: true }))
}

/// Says that the server is unsealed.
pub(super) fn seal_status(info: &ServerInfo) -> Reply {
    #[derive(Serialize)]
    struct SealStatus<'a> {
        r#type: &'static str,
        initialized: bool,
        sealed: bool,
        t: u32,
        n: u32,
        progress: u32,
        nonce: &'static str,
        version: &'a str,
        build_date: &'static str,
        migration: bool,
        #[serde(skip_serializing_if = "str::is_empty")]
        cluster_name: &'a str,
        recovery_seal: bool,
        storage_type: &'a str,
    }
    Reply::Bare(json::line(&SealStatus {
        r#type: "shamir",
        initialized: true,
        sealed: false,
        t: 1,
        n: 1,
        progress: 0,
        nonce: "",
        version: &info.version,
        build_date: "",
        migration: false,
        cluster_name: &info.cluster_name,
        recovery_seal: false,
        storage_type: &info.storage_type,
    }))
}

/// Says that the server is its own leader.
pub(super) fn leader(info: &ServerInfo) -> Reply {
    #[derive(Serialize)]
    struct Leader<'a> {
        ha_enabled: bool,
        is_self: bool,
        active_time: &'static str,
        leader_address: &'a str,
        leader_cluster_address: &'static str,
        performance_standby: bool,
        performance_standby_last_remote_wal: u64,
    }
    Reply::Bare(json::line(&Leader {
        ha_enabled: false,
        is_self: true,
        active_time: NO_TIME,
        leader_address: &info.api_addr,
        leader_cluster_address: "",
        performance_standby: false,
        performance_standby_last_remote_wal: 0,
    }))
}
