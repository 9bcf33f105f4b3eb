//! Every limit, its default, and why it has that value.

use std::time::Duration;

/// What a host grants its plugins and its clients at most. Change single fields of [`Limits::default`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest plugin file that is read, in bytes. Components of Go's standard compiler reach 48 MB, Python's 19 MB.
    pub artifact_bytes_max: u64,
    /// Largest request body, in bytes: Vault's `max_request_size`.
    pub request_body_bytes_max: usize,
    /// Largest body of a request without a token, in bytes: logins are small, and nobody answers for what a stranger
    /// sends.
    pub anonymous_body_bytes_max: usize,
    /// Bodies of all requests that are under way in the whole server, in bytes: eight of the largest. What exceeds it
    /// is told to come again.
    pub bodies_bytes_max: usize,
    /// The part of that which requests without a token may take together.
    pub anonymous_bodies_bytes_max: usize,
    /// The part of that which requests without a token from one address may take together.
    pub address_bodies_bytes_max: usize,
    /// Connections at a time in the whole server, and never more than files that the process may open, less a reserve.
    /// Each takes some 50 KiB, and up to 32 KiB more while the head of a request is incomplete: 330 MiB in all.
    pub connections_max: usize,
    /// Connections at a time from one address (of IPv6, one /64): half of all, so that nobody alone keeps everyone out.
    /// Fewer where the process may open few files: never more than half of those that there may be.
    pub address_connections_max: usize,
    /// Requests without a token that plugins answer at a time: logins, mostly, and each may take a core.
    pub anonymous_requests_max: usize,
    /// Requests without a token from one address that plugins answer at a time. Others from there wait for these, and
    /// no other address waits for any of them.
    pub address_requests_max: usize,
    /// Requests without a token from one address that are under way or wait. The next is told to come again.
    pub address_queue_max: usize,
    /// Requests without a token from one address to plugins, in one second on the average; four times as many may come
    /// at once.
    pub address_requests_per_second_max: u32,
    /// How long one request may take, waiting for an instance included: Vault's `max_request_duration`. A transaction
    /// is open for as long at most, whoever began it: it keeps the storage from using what was freed since.
    pub request_deadline: Duration,
    /// How long `describe` may take, how long a mount's start (`setup` and `initialize`) may take, and `cleanup`. An
    /// upgrade of stored data happens there. Where a request makes a new instance, its `setup` has the request's
    /// deadline.
    pub lifecycle_deadline: Duration,
    /// How long one plugin may take to compile before it is given up. A Go component of 45 MB compiles in
    /// 16 s on two cores; a busy machine takes several times that.
    pub load_deadline: Duration,
    /// Memory that compiling one component may take, in bytes, where it is compiled in a process of its own:
    /// `RLIMIT_DATA`. A plugin in Rust of 680 KB takes 135 MiB; Go's own compiler as a component, of 48 MB, takes 1.6
    /// GiB with the four threads that a compiler has at most. Two compile at a time.
    pub compile_memory_bytes_max: u64,
    /// Compiled components that are kept on disk, in bytes, where a directory is given for them: 3 bytes for each byte
    /// of a component, so this is a hundred of ordinary size with some of Go's or Python's among them. Beyond it, those
    /// unused the longest go.
    pub compile_cache_bytes_max: u64,
    /// How long a mount that is being disabled, and a host that is shutting down, wait for requests in flight, and how
    /// long a host that is shutting down waits for control operations.
    pub drain_deadline: Duration,
    /// Linear memory of one instance, all its memories together, in bytes. Go starts with 24–35 MB, Python with 30.
    pub instance_memory_bytes_max: usize,
    /// Elements of all tables of one instance. A component of 6 MB needs 2,600.
    pub instance_table_elements_max: usize,
    /// Bytes that the host copies out of an instance for one call: results, log lines, stored values.
    pub hostcall_bytes_max: usize,
    /// Component handles and host resources that one instance may hold at a time.
    pub instance_handles_max: usize,
    /// Bytes that the host keeps for one instance at a time, whichever world it is of: what its open transactions read
    /// and wrote, what is on its way into storage, and in the async world storage calls that wait for their turn, and
    /// their answers, for which a quarter is set aside. Three of the largest transactions fit into the rest.
    pub instance_host_bytes_max: usize,
    /// Random bytes for one call.
    pub random_bytes_max: u64,
    /// Instances alive at a time in the whole host, idle ones included; idle instances give way when it is reached.
    /// Each takes 4 memory mappings of the 65,530 that Linux gives a process, and 6 more for stacks. A host grants no
    /// more than fit, and says so.
    pub instances_max: u32,
    /// Instances of one mount, of a plugin whose requests may be spread over several: enough for four cores. A plugin
    /// that serves many requests in one instance needs no more.
    pub mount_instances_max: u32,
    /// Instances that all mounts of one program share, where they do: twice as many as a mount of its own has, so that
    /// no single mount can take all of them.
    pub pooled_instances_max: u32,
    /// Fresh sandboxes that one mount may use at a time, where each request has one and the plugin lets them be spread:
    /// enough to keep the cores busy while some wait for storage.
    pub per_request_instances_max: u32,
    /// How long an instance stays that nobody calls. A fresh one costs 20 µs and what the plugin's `setup` does; one
    /// that stays costs some 50 KiB, and a place that another mount could use.
    pub instance_idle_timeout: Duration,
    /// Calls in flight at a time in one instance whose plugin serves many (`async func`). Each costs some 3 KiB of the
    /// host's memory and the plugin's own; a crash takes all of them along, which bounds how much one request can
    /// spoil.
    pub instance_calls_max: u32,
    /// How long a plugin that serves many calls at once may take to end one that was given up. It has nothing to wait
    /// for then, as all that it waits for is over; an instance that is still at it gets no new calls.
    pub cancel_grace: Duration,
    /// Requests that wait for one mount's instance. The next one is told that the mount is busy.
    pub mount_queue_max: usize,
    /// Requests that wait for instances that mounts share, of all those mounts together.
    pub shared_queue_max: usize,
    /// Largest stored value, in bytes: the limit of Vault's integrated storage for an entry.
    pub storage_value_bytes_max: usize,
    /// Longest storage key, in bytes.
    pub storage_key_bytes_max: usize,
    /// Keys in one answer to `list`.
    pub storage_list_max: usize,
    /// Keys that one transaction reads and writes: it holds them in memory until it ends.
    pub transaction_keys_max: usize,
    /// Bytes of log that one mount writes per second, beyond which lines are dropped and counted.
    pub log_bytes_per_second_max: u64,
    /// Longest log line, in bytes; the rest of a line is dropped.
    pub log_line_bytes_max: usize,
    /// How often native plugins are asked to undo what was left half done: Vault's `RollbackPeriod`.
    pub rollback_period: Duration,
    /// TTL of leases where neither the plugin nor the mount says one: Vault's 768 h.
    pub default_lease_ttl: Duration,
    /// The longest TTL that a mount may set: Vault's 768 h.
    pub max_lease_ttl: Duration,
    /// Private memory of one native plugin's process, in bytes: `RLIMIT_DATA`, for each process that the plugin starts
    /// too. An allocation beyond it fails, which ends a Go program; 1 GiB is room for large caches, and stops a leak
    /// before the machine feels it.
    pub process_memory_bytes_max: u64,
    /// Files and sockets that one native plugin's process may hold open. A mount takes 4, an upstream connection 1;
    /// 1,024 is what most systems give a process anyway.
    pub process_files_max: u64,
    /// Seconds of processor time that one native plugin's process may take in its whole life. None, because plugins
    /// live for weeks: it is for those that are known to do little.
    pub process_cpu_seconds_max: Option<u64>,
    /// Processes and threads that the host's user may have when a confined native plugin asks for one more:
    /// `RLIMIT_NPROC`, which the kernel counts by user, and not for root. 8,192 are 32 for each of the processes that
    /// there may be, twice what a Go program of some load has; one that only forks ends there, before the machine is
    /// out of numbers (32,768 at first).
    pub process_tasks_max: u64,
    /// How long a native plugin may take from its start until it says where it listens: go-plugin's `StartTimeout`.
    pub process_start_deadline: Duration,
    /// How long a native plugin that was asked to shut down may take before it is killed: what go-plugin waits.
    pub process_stop_grace: Duration,
    /// Largest message that is taken from a native plugin, in bytes. A response holds no more than a request may, which
    /// is 32 MiB; go-plugin takes 2 GiB.
    pub process_message_bytes_max: usize,
    /// Bytes that the host keeps for one native plugin's process at a time, all its mounts together: what it asks its
    /// mounts' storage and is answered, what its open transactions read and wrote, and what is on its way into storage.
    /// Two of the largest messages, or eight of the largest transactions.
    pub process_host_bytes_max: usize,
    /// Native plugins' processes alive at a time in the whole host. Each takes 5 of the host's file descriptors and 1
    /// for each connection, of the 1,024 that many systems give a process at first.
    pub processes_max: u32,
    /// Calls under way at a time in one mount of a native plugin. Each is a stream of one HTTP/2 connection, of which
    /// Go's server grants as many as are asked for, and a goroutine in the plugin. Plugins of our SDK serve 256 at a
    /// time: one mount cannot take all of them.
    pub process_calls_max: u32,
    /// Calls of built-in plugins under way at a time in the whole host. Each takes a thread, of the 512 that tokio
    /// gives for what blocks unless it is told otherwise; more would let them crowd out the reading of plugins' files.
    pub builtin_calls_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            artifact_bytes_max: 64 << 20,
            request_body_bytes_max: 32 << 20,
            anonymous_body_bytes_max: 1 << 20,
            bodies_bytes_max: 256 << 20,
            anonymous_bodies_bytes_max: 32 << 20,
            address_bodies_bytes_max: 8 << 20,
            connections_max: 4_096,
            address_connections_max: 2_048,
            anonymous_requests_max: 64,
            address_requests_max: 8,
            address_queue_max: 64,
            address_requests_per_second_max: 64,
            request_deadline: Duration::from_secs(90),
            lifecycle_deadline: Duration::from_secs(30),
            load_deadline: Duration::from_secs(120),
            compile_memory_bytes_max: 2 << 30,
            compile_cache_bytes_max: 1 << 30,
            drain_deadline: Duration::from_secs(10),
            instance_memory_bytes_max: 64 << 20,
            instance_table_elements_max: 20_000,
            hostcall_bytes_max: 8 << 20,
            instance_handles_max: 1_000,
            instance_host_bytes_max: 32 << 20,
            random_bytes_max: 64 << 10,
            instances_max: 1_000,
            mount_instances_max: 4,
            pooled_instances_max: 8,
            per_request_instances_max: 32,
            instance_idle_timeout: Duration::from_secs(5 * 60),
            instance_calls_max: 128,
            cancel_grace: Duration::from_secs(1),
            mount_queue_max: 512,
            shared_queue_max: 4_096,
            storage_value_bytes_max: 1 << 20,
            storage_key_bytes_max: 1_024,
            storage_list_max: 10_000,
            transaction_keys_max: 1_000,
            log_bytes_per_second_max: 64 << 10,
            log_line_bytes_max: 4 << 10,
            rollback_period: Duration::from_secs(60),
            default_lease_ttl: Duration::from_secs(768 * 3600),
            max_lease_ttl: Duration::from_secs(768 * 3600),
            process_memory_bytes_max: 1 << 30,
            process_files_max: 1_024,
            process_cpu_seconds_max: None,
            process_tasks_max: 8_192,
            process_start_deadline: Duration::from_secs(60),
            process_stop_grace: Duration::from_secs(2),
            process_message_bytes_max: 32 << 20,
            process_host_bytes_max: 64 << 20,
            processes_max: 256,
            process_calls_max: 128,
            builtin_calls_max: 256,
        }
    }
}
