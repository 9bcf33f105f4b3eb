//! The stanza `limits`, and the two TTLs that Vault keeps outside it.

use cofferdam_contract::GoDuration;

use super::problem::Findings;
use super::stanza::Stanza;
use super::value::{count, duration, size};
use crate::limits::Limits;

/// Reads the limits of the host. Names are the fields' without their unit and `max`.
pub(super) fn read(root: &mut Stanza<'_>, findings: &mut Findings) -> Limits {
    let mut limits = Limits::default();
    if let Some(stanza) = root.stanza("limits", findings) {
        read_stanza(stanza, &mut limits, findings);
    }
    root.set("default_lease_ttl", duration, &mut limits.default_lease_ttl, findings);
    root.set("max_lease_ttl", duration, &mut limits.max_lease_ttl, findings);
    if limits.default_lease_ttl > limits.max_lease_ttl {
        let message = format!(
            "\"max_lease_ttl\" is {}, shorter than \"default_lease_ttl\", which is {}",
            GoDuration::from_std(limits.max_lease_ttl),
            GoDuration::from_std(limits.default_lease_ttl),
        );
        let blamed = if root.has("max_lease_ttl") { "max_lease_ttl" } else { "default_lease_ttl" };
        findings.problem(root.place_of(blamed), message);
    }
    limits
}

fn read_stanza(mut stanza: Stanza<'_>, limits: &mut Limits, findings: &mut Findings) {
    // Every field by name: a limit that is added must be decided on here.
    let Limits {
        artifact_bytes_max,
        request_body_bytes_max,
        anonymous_body_bytes_max,
        bodies_bytes_max,
        anonymous_bodies_bytes_max,
        address_bodies_bytes_max,
        connections_max,
        address_connections_max,
        anonymous_requests_max,
        address_requests_max,
        address_queue_max,
        address_requests_per_second_max,
        request_deadline,
        lifecycle_deadline,
        load_deadline,
        compile_memory_bytes_max,
        compile_cache_bytes_max,
        drain_deadline,
        instance_memory_bytes_max,
        instance_table_elements_max,
        hostcall_bytes_max,
        instance_handles_max,
        instance_host_bytes_max,
        random_bytes_max,
        instances_max,
        mount_instances_max,
        pooled_instances_max,
        per_request_instances_max,
        instance_idle_timeout,
        instance_calls_max,
        cancel_grace,
        mount_queue_max,
        shared_queue_max,
        storage_value_bytes_max,
        storage_key_bytes_max,
        storage_list_max,
        transaction_keys_max,
        log_bytes_per_second_max,
        log_line_bytes_max,
        rollback_period,
        default_lease_ttl: _,
        max_lease_ttl: _,
        process_memory_bytes_max,
        process_files_max,
        process_cpu_seconds_max,
        process_tasks_max,
        process_start_deadline,
        process_stop_grace,
        process_message_bytes_max,
        process_host_bytes_max,
        processes_max,
        process_calls_max,
        builtin_calls_max,
    } = limits;
    stanza.set("artifact", size, artifact_bytes_max, findings);
    stanza.set("request_body", size, request_body_bytes_max, findings);
    stanza.set("anonymous_body", size, anonymous_body_bytes_max, findings);
    stanza.set("bodies", size, bodies_bytes_max, findings);
    stanza.set("anonymous_bodies", size, anonymous_bodies_bytes_max, findings);
    stanza.set("address_bodies", size, address_bodies_bytes_max, findings);
    stanza.set("connections", count, connections_max, findings);
    stanza.set("address_connections", count, address_connections_max, findings);
    stanza.set("anonymous_requests", count, anonymous_requests_max, findings);
    stanza.set("address_requests", count, address_requests_max, findings);
    stanza.set("address_queue", count, address_queue_max, findings);
    stanza.set("address_requests_per_second", count, address_requests_per_second_max, findings);
    stanza.set("request_deadline", duration, request_deadline, findings);
    stanza.set("lifecycle_deadline", duration, lifecycle_deadline, findings);
    stanza.set("load_deadline", duration, load_deadline, findings);
    stanza.set("compile_memory", size, compile_memory_bytes_max, findings);
    stanza.set("compile_cache", size, compile_cache_bytes_max, findings);
    stanza.set("drain_deadline", duration, drain_deadline, findings);
    stanza.set("instance_memory", size, instance_memory_bytes_max, findings);
    stanza.set("instance_table_elements", count, instance_table_elements_max, findings);
    stanza.set("hostcall", size, hostcall_bytes_max, findings);
    stanza.set("instance_handles", count, instance_handles_max, findings);
    stanza.set("instance_host", size, instance_host_bytes_max, findings);
    stanza.set("random", size, random_bytes_max, findings);
    stanza.set("instances", count, instances_max, findings);
    stanza.set("mount_instances", count, mount_instances_max, findings);
    stanza.set("pooled_instances", count, pooled_instances_max, findings);
    stanza.set("per_request_instances", count, per_request_instances_max, findings);
    stanza.set("instance_idle_timeout", duration, instance_idle_timeout, findings);
    stanza.set("instance_calls", count, instance_calls_max, findings);
    stanza.set("cancel_grace", duration, cancel_grace, findings);
    stanza.set("mount_queue", count, mount_queue_max, findings);
    stanza.set("shared_queue", count, shared_queue_max, findings);
    stanza.set("storage_value", size, storage_value_bytes_max, findings);
    stanza.set("storage_key", size, storage_key_bytes_max, findings);
    stanza.set("storage_list", count, storage_list_max, findings);
    stanza.set("transaction_keys", count, transaction_keys_max, findings);
    stanza.set("log_per_second", size, log_bytes_per_second_max, findings);
    stanza.set("log_line", size, log_line_bytes_max, findings);
    stanza.set("rollback_period", duration, rollback_period, findings);
    stanza.set("process_memory", size, process_memory_bytes_max, findings);
    stanza.set("process_files", count, process_files_max, findings);
    stanza.set("process_cpu_seconds", |value| count(value).map(Some), process_cpu_seconds_max, findings);
    stanza.set("process_tasks", count, process_tasks_max, findings);
    stanza.set("process_start_deadline", duration, process_start_deadline, findings);
    stanza.set("process_stop_grace", duration, process_stop_grace, findings);
    stanza.set("process_message", size, process_message_bytes_max, findings);
    stanza.set("process_host", size, process_host_bytes_max, findings);
    stanza.set("processes", count, processes_max, findings);
    stanza.set("process_calls", count, process_calls_max, findings);
    stanza.set("builtin_calls", count, builtin_calls_max, findings);
    stanza.finish(&[], findings);
}
