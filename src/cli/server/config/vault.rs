//! The settings of Vault and OpenBao that this server does not have, and what to do with a file that uses them.
//!
//! The rule: a setting that only tunes or names what is absent is accepted with a warning; one that an operator relies
//! on, for behaviour or for safety, is refused. A switch whose value describes what this server does anyway is accepted
//! silently.

use super::document::Value;
use super::value;

/// A setting that this server does not have.
pub(super) struct Foreign {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// Follows the name and a colon in messages.
    pub(super) why: &'static str,
    /// The value of the switch, if it is one, that this server acts by.
    acts_as: Option<bool>,
}

/// What becomes of a file with a foreign setting.
pub(super) enum Verdict {
    /// Accepted with a warning.
    Harmless,
    /// Refused.
    Refused,
}

impl Foreign {
    /// Whether the setting asks for what this server does in any case.
    pub(super) fn describes_this_server(&self, value: &Value) -> bool {
        self.acts_as.is_some_and(|acts_as| value::switch(value) == Ok(acts_as))
    }

    const fn acts_as(self, value: bool) -> Self {
        Self { acts_as: Some(value), ..self }
    }
}

const fn harmless(name: &'static str, why: &'static str) -> Foreign {
    Foreign { name, verdict: Verdict::Harmless, why, acts_as: None }
}

const fn refused(name: &'static str, why: &'static str) -> Foreign {
    Foreign { name, verdict: Verdict::Refused, why, acts_as: None }
}

/// Foreign settings outside any stanza.
pub(super) const TOP_LEVEL: &[Foreign] = &[
    harmless("cache_size", "storage is not cached"),
    harmless("cluster_addr", NO_CLUSTER),
    harmless("cluster_name", "this server names no cluster"),
    harmless("detect_deadlocks", "there are no such locks to watch"),
    harmless("disable_cache", "storage is not cached").acts_as(true),
    harmless("disable_clustering", NO_CLUSTER).acts_as(true),
    harmless("disable_performance_standby", NO_CLUSTER).acts_as(true),
    harmless("disable_standby_reads", NO_CLUSTER).acts_as(true),
    harmless("enable_response_header_raft_node_id", NO_CLUSTER).acts_as(false),
    harmless("experiments", "there are none"),
    harmless("license_path", "this server needs no license"),
    harmless("plugin_download_behavior", NO_DOWNLOAD),
    harmless("plugin_download_max_size", NO_DOWNLOAD),
    harmless("plugin_tmpdir", "write native_plugins { socket_directory = … } for the sockets of native plugins"),
    harmless("ui", "there is no web interface").acts_as(false),
    refused("administrative_namespace_path", "there are no namespaces"),
    refused("allow_audit_log_prefixing", NO_AUDIT),
    refused("audit", NO_AUDIT),
    refused("backend", "write storage \"file\" { … } instead"),
    refused("default_max_request_duration", "write limits { request_deadline = … } instead"),
    refused("disable_printable_check", "paths with control characters are always refused").acts_as(false),
    refused("disable_sealwrap", NO_SEAL).acts_as(true),
    refused("enable_multiseal", NO_SEAL).acts_as(false),
    refused("enable_post_unseal_trace", NO_SEAL).acts_as(false),
    refused("enable_response_header_hostname", "no such header is sent").acts_as(false),
    refused("entropy", "random bytes come from the operating system"),
    refused("ha_backend", NO_CLUSTER),
    refused("ha_storage", NO_CLUSTER),
    refused("hsm", NO_SEAL),
    refused("imprecise_lease_role_tracking", "there are no lease count quotas").acts_as(false),
    refused("initialize", "mounts are made through the API"),
    refused("introspection_endpoint", "there is no such endpoint").acts_as(false),
    refused("kms", NO_SEAL),
    refused("log_rotate_bytes", NO_ROTATION),
    refused("log_rotate_duration", NO_ROTATION),
    refused("log_rotate_max_files", NO_ROTATION),
    refused("plugin_auto_download", NO_DOWNLOAD).acts_as(false),
    refused("plugin_file_permissions", NO_PERMISSION_CHECK),
    refused("plugin_file_uid", NO_PERMISSION_CHECK),
    refused("post_unseal_trace_directory", NO_SEAL),
    refused("raw_storage_endpoint", "storage is reached through mounts only").acts_as(false),
    refused("remove_irrevocable_lease_after", "leases stay until they are revoked"),
    refused("replication", NO_CLUSTER),
    refused("reporting", "usage is not reported"),
    refused("request_limiter", "concurrency is bounded by limits { instances, mount_queue }"),
    refused("seal", NO_SEAL),
    refused("sentinel", "there are no such policies"),
    refused("service_registration", "this server does not register itself"),
    refused("telemetry", "metrics are not sent anywhere"),
    refused("unsafe_allow_api_audit_creation", NO_AUDIT).acts_as(false),
    refused("unsafe_cross_namespace_identity", "there are no namespaces").acts_as(false),
    refused("user_lockout", "logins are not counted"),
];

/// Foreign settings of `plugin "TYPE" "NAME"`.
pub(super) const PLUGIN: &[Foreign] = &[refused("binary_name", NO_DOWNLOAD), refused("image", NO_DOWNLOAD)];

/// Foreign settings of `listener "tcp"`.
pub(super) const LISTENER: &[Foreign] = &[
    harmless("cluster_address", NO_CLUSTER),
    harmless("disable_replication_status_endpoints", "there are no such endpoints").acts_as(true),
    harmless("tls_prefer_server_cipher_suites", "the server's order is always preferred"),
    refused("agent_api", "this is no agent"),
    refused("chroot_namespace", "there are no namespaces"),
    refused("cors_allowed_headers", NO_CORS),
    refused("cors_allowed_origins", NO_CORS),
    refused("cors_enabled", NO_CORS).acts_as(false),
    refused("custom_response_headers", "responses carry no further headers"),
    refused("disable_request_limiter", "every request counts against the limits").acts_as(false),
    refused("disable_unauthed_rekey_endpoints", NO_SEAL),
    refused("http_idle_timeout", ONE_TIMEOUT),
    refused("http_read_timeout", ONE_TIMEOUT),
    refused("inflight_requests_logging", "there is no such endpoint"),
    refused("max_request_json_memory", BODY_SIZE),
    refused("max_request_json_strings", BODY_SIZE),
    refused("profiling", "there is no such endpoint"),
    refused("proxy_api", "this is no proxy"),
    refused("proxy_protocol_authorized_addrs", NO_PROXY),
    refused("proxy_protocol_behavior", NO_PROXY),
    refused("redact_addresses", NO_REDACTION).acts_as(false),
    refused("redact_cluster_name", NO_REDACTION).acts_as(false),
    refused("redact_version", NO_REDACTION).acts_as(false),
    refused("role", "this is no agent"),
    refused("telemetry", "sys/metrics needs a token"),
    refused("tls_acme_ca_directory", NO_ACME),
    refused("tls_acme_ca_root", NO_ACME),
    refused("tls_acme_cache_path", NO_ACME),
    refused("tls_acme_disable_alpn_challenge", NO_ACME),
    refused("tls_acme_disable_http_challenge", NO_ACME),
    refused("tls_acme_domains", NO_ACME),
    refused("tls_acme_eab_key_id", NO_ACME),
    refused("tls_acme_eab_mac_key", NO_ACME),
    refused("tls_acme_email", NO_ACME),
    refused("tls_acme_test_ca_directory", NO_ACME),
    refused("tls_cipher_suites", "the strong suites of TLS 1.2 and 1.3 are always on offer, and no others"),
    refused("tls_client_ca_file", NO_CLIENT_CERTIFICATES),
    refused("tls_disable_client_certs", NO_CLIENT_CERTIFICATES).acts_as(true),
    refused("tls_max_version", "TLS 1.3 is always on offer"),
    refused("tls_require_and_verify_client_cert", NO_CLIENT_CERTIFICATES).acts_as(false),
    refused("unauthenticated_in_flight_request_access", "there is no such endpoint").acts_as(false),
    refused("unauthenticated_metrics_access", "sys/metrics needs a token").acts_as(false),
    refused("unauthenticated_pprof_access", "there is no such endpoint").acts_as(false),
    refused("x_forwarded_for_authorized_addrs", NO_PROXY),
    refused("x_forwarded_for_client_cert_header", NO_PROXY),
    refused("x_forwarded_for_client_cert_header_decoders", NO_PROXY),
    refused("x_forwarded_for_hop_skips", NO_PROXY),
    refused("x_forwarded_for_reject_not_authorized", NO_PROXY),
    refused("x_forwarded_for_reject_not_present", NO_PROXY),
];

const BODY_SIZE: &str = "write max_json_token_count and max_json_string_value_length instead";
const NO_ACME: &str = "certificates are read from files";
const NO_AUDIT: &str = "there are no audit devices";
const NO_CLIENT_CERTIFICATES: &str = "clients are not asked for certificates";
const NO_CLUSTER: &str = "this server runs alone";
const NO_CORS: &str = "other sites' pages are never let in";
const NO_DOWNLOAD: &str = "plugins are never downloaded";
const NO_PERMISSION_CHECK: &str = "plugin files are checked by their digests, not by owner and mode";
const NO_PROXY: &str = "a client's address is the connection's";
const NO_REDACTION: &str = "answers are not redacted";
const NO_ROTATION: &str = "move log_file away and send SIGHUP, which opens it again";
const NO_SEAL: &str = "this server has no seal";
const ONE_TIMEOUT: &str = "only http_read_header_timeout and max_request_duration bound a connection";
