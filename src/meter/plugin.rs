//! What the instances of one plugin take and did.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Tally;
#[cfg(feature = "wasm")]
use super::histogram::nanoseconds;

/// Why an instance went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// Its mount ended, or its host.
    MountEnded,
    /// It served its one request, and instances serve no more than one.
    Finished,
    /// It served as many requests as one instance may.
    Recycled,
    /// Nobody called it for long enough.
    Idle,
    /// Another instance needed its place.
    Evicted,
    /// Its mount was started again with another version, or with other options.
    Reloaded,
    /// It crashed, or ran into a limit of its sandbox.
    Crashed,
    /// A call took longer than it may.
    Deadline,
    /// Whoever asked stopped waiting while it ran.
    Cancelled,
    /// It could not be set up.
    SetupFailed,
}

impl Retired {
    /// All of them, in the order of their declaration.
    pub const ALL: [Retired; 10] = [
        Retired::MountEnded,
        Retired::Finished,
        Retired::Recycled,
        Retired::Idle,
        Retired::Evicted,
        Retired::Reloaded,
        Retired::Crashed,
        Retired::Deadline,
        Retired::Cancelled,
        Retired::SetupFailed,
    ];

    /// Returns its name, as a label's value.
    pub fn name(self) -> &'static str {
        match self {
            Retired::MountEnded => "mount_ended",
            Retired::Finished => "finished",
            Retired::Recycled => "recycled",
            Retired::Idle => "idle",
            Retired::Evicted => "evicted",
            Retired::Reloaded => "reloaded",
            Retired::Crashed => "crashed",
            Retired::Deadline => "deadline",
            Retired::Cancelled => "cancelled",
            Retired::SetupFailed => "setup_failed",
        }
    }
}

/// What one program's instances count on. It does not know whose it is: the host does.
#[derive(Default)]
pub(crate) struct PluginMeter {
    created: AtomicU64,
    retired: Tally<{ Retired::ALL.len() }>,
    /// May be below zero for a moment, between two threads that lend and return the same instance.
    idle: AtomicI64,
    memory_bytes: AtomicU64,
    cpu_ns: AtomicU64,
    background_cpu_ns: AtomicU64,
    /// Locked when a process starts or ends, and when it is read.
    processes: Mutex<Processes>,
}

#[derive(Default)]
struct Processes {
    running: Vec<Arc<dyn Measured>>,
    /// What those took that ended.
    ended_cpu: Duration,
}

/// Something outside this process that takes memory and processor time.
pub(crate) trait Measured: Send + Sync {
    /// Returns what it takes now; its processor time never goes down. Reads no more than a small file or two.
    fn usage(&self) -> Usage;
}

/// What a process takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Since it started.
    pub(crate) cpu: Duration,
    /// Its resident set; `None` once it is gone.
    pub(crate) memory_bytes: Option<u64>,
}

/// What the instances of a plugin take and did, since the plugin was first loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginCounts {
    /// Instances that were made.
    pub created: u64,
    retired: [u64; Retired::ALL.len()],
    /// Instances that live and are in no call.
    pub idle: u64,
    /// Linear memory of all its sandboxes, in bytes: what they have asked for, which may be more than they have
    /// touched.
    pub memory_bytes: u64,
    /// How long instances ran that serve many calls at once: the time within their polls, which no mount has for
    /// itself. What others took counts on their mounts.
    pub cpu: Duration,
    /// The part of that in which nobody waited for an answer: work in the background.
    pub background_cpu: Duration,
    /// Native processes that run.
    pub processes: u64,
    /// The resident set of those processes, in bytes.
    pub process_memory_bytes: u64,
    /// Processor time of those processes, and of those before them as far as it was read while they ran.
    pub process_cpu: Duration,
}

/// An instance that lives. Made with [`PluginMeter::created`]; dropping it counts the instance as retired, once.
pub(crate) struct LiveInstance {
    meter: Arc<PluginMeter>,
    calls: AtomicU32,
    retired: AtomicU8,
}

/// A process that is counted, until it is dropped.
pub(crate) struct ProcessMark {
    meter: Arc<PluginMeter>,
    process: Arc<dyn Measured>,
}

/// An instance in use, until it is dropped.
pub(crate) struct InUse {
    instance: Arc<LiveInstance>,
}

impl PluginMeter {
    /// Counts one more instance, which lives until the result is dropped, and is idle until it is
    /// [lent](LiveInstance::lend).
    pub(crate) fn created(self: &Arc<Self>) -> Arc<LiveInstance> {
        self.created.fetch_add(1, Ordering::Relaxed);
        self.idle.fetch_add(1, Ordering::Relaxed);
        let retired = AtomicU8::new(Retired::MountEnded as u8);
        Arc::new(LiveInstance { meter: Arc::clone(self), calls: AtomicU32::new(0), retired })
    }

    /// Takes note of linear memory that a sandbox got. It takes as much away again when it goes.
    pub(crate) fn memory_grew(&self, bytes: usize) {
        self.memory_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes note of linear memory that went with its sandbox: exactly what was counted for it.
    pub(crate) fn memory_went(&self, bytes: usize) {
        self.memory_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Takes note of how long an instance ran that serves many calls at once, and whether nobody waited for it
    /// meanwhile.
    #[cfg(feature = "wasm")]
    pub(crate) fn ran(&self, took: Duration, in_the_background: bool) {
        let took = nanoseconds(took);
        self.cpu_ns.fetch_add(took, Ordering::Relaxed);
        if in_the_background {
            self.background_cpu_ns.fetch_add(took, Ordering::Relaxed);
        }
    }

    /// Counts a process until the result is dropped.
    pub(crate) fn process_started(self: &Arc<Self>, process: Arc<dyn Measured>) -> ProcessMark {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.running.push(Arc::clone(&process));
        ProcessMark { meter: Arc::clone(self), process }
    }

    /// Returns what was counted.
    pub(crate) fn read(&self) -> PluginCounts {
        // Retired first, so that nothing has retired that was not created.
        let retired = self.retired.read();
        let created = self.created.load(Ordering::Relaxed);
        let (usages, ended_cpu) = {
            let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
            let usages: Vec<Usage> = processes.running.iter().map(|process| process.usage()).collect();
            (usages, processes.ended_cpu)
        };
        let resident: Vec<u64> = usages.iter().filter_map(|usage| usage.memory_bytes).collect();
        PluginCounts {
            created,
            retired,
            idle: u64::try_from(self.idle.load(Ordering::Relaxed)).unwrap_or(0),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            cpu: Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed)),
            background_cpu: Duration::from_nanos(self.background_cpu_ns.load(Ordering::Relaxed)),
            processes: resident.len() as u64,
            process_memory_bytes: resident.iter().sum(),
            process_cpu: ended_cpu + usages.iter().map(|usage| usage.cpu).sum::<Duration>(),
        }
    }
}

impl PluginCounts {
    /// Returns how many instances went for this reason.
    pub fn retired(&self, reason: Retired) -> u64 {
        self.retired[reason as usize]
    }

    /// Returns how many instances live.
    pub fn live(&self) -> u64 {
        self.created.saturating_sub(self.retired.iter().sum())
    }

    /// Adds what another program of the same plugin counted.
    pub(crate) fn add(&mut self, other: &PluginCounts) {
        self.created += other.created;
        self.retired.iter_mut().zip(other.retired).for_each(|(sum, count)| *sum += count);
        self.idle += other.idle;
        self.memory_bytes += other.memory_bytes;
        self.cpu += other.cpu;
        self.background_cpu += other.background_cpu;
        self.processes += other.processes;
        self.process_memory_bytes += other.process_memory_bytes;
        self.process_cpu += other.process_cpu;
    }
}

impl LiveInstance {
    /// Counts the instance as busy until the result is dropped. It may be lent several times at once, if it serves
    /// several calls.
    pub(crate) fn lend(self: &Arc<Self>) -> InUse {
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            self.meter.idle.fetch_sub(1, Ordering::Relaxed);
        }
        InUse { instance: Arc::clone(self) }
    }

    /// Says why it goes, for when it has gone. What is said last counts; unsaid, it is that its mount ended.
    pub(crate) fn retire(&self, reason: Retired) {
        self.retired.store(reason as u8, Ordering::Relaxed);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if self.instance.calls.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.instance.meter.idle.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Nobody uses it any more: whoever does holds a share of it.
impl Drop for LiveInstance {
    fn drop(&mut self) {
        self.meter.idle.fetch_sub(1, Ordering::Relaxed);
        self.meter.retired.add(usize::from(*self.retired.get_mut()));
    }
}

impl Drop for ProcessMark {
    fn drop(&mut self) {
        let mut processes = self.meter.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.running.retain(|process| !Arc::ptr_eq(process, &self.process));
        processes.ended_cpu += self.process.usage().cpu;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(meter: &PluginMeter, created: u64, live: u64, idle: u64) {
        let counts = meter.read();
        assert_eq!((counts.created, counts.live(), counts.idle), (created, live, idle));
    }

    #[test]
    fn gauges_follow_the_instances() {
        let meter = Arc::new(PluginMeter::default());
        let (one, two) = (meter.created(), meter.created());
        check(&meter, 2, 2, 2);
        let lent = one.lend();
        let lent_again = one.lend();
        check(&meter, 2, 2, 1);
        drop(lent);
        check(&meter, 2, 2, 1);
        drop(lent_again);
        check(&meter, 2, 2, 2);
        two.retire(Retired::Evicted);
        drop(two);
        check(&meter, 2, 1, 1);
        // It lives on with whoever still uses it.
        let lent = one.lend();
        one.retire(Retired::Crashed);
        drop(one);
        check(&meter, 2, 1, 0);
        drop(lent);
        check(&meter, 2, 0, 0);
        drop(meter.created());
        let counts = meter.read();
        for reason in Retired::ALL {
            let gone = matches!(reason, Retired::Evicted | Retired::Crashed | Retired::MountEnded);
            assert_eq!(counts.retired(reason), u64::from(gone), "{}", reason.name());
        }
    }

    #[test]
    fn threads_leave_no_gauge_behind() {
        let meter = Arc::new(PluginMeter::default());
        let shared = meter.created();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        drop(shared.lend());
                        let own = meter.created();
                        drop((own.lend(), own));
                    }
                });
            }
        });
        check(&meter, 4_001, 1, 1);
    }

    #[test]
    fn reasons_are_counted_apart() {
        for (place, reason) in Retired::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{}", reason.name());
            assert_eq!(Retired::ALL.iter().filter(|other| other.name() == reason.name()).count(), 1);
        }
    }

    struct Fixed(Usage);

    impl Measured for Fixed {
        fn usage(&self) -> Usage {
            self.0
        }
    }

    #[test]
    fn processor_time_outlives_its_process() {
        let meter = Arc::new(PluginMeter::default());
        let cpu = Duration::from_secs(3);
        let mark = meter.process_started(Arc::new(Fixed(Usage { cpu, memory_bytes: Some(7) })));
        let gone = meter.process_started(Arc::new(Fixed(Usage::default())));
        let running = meter.read();
        assert_eq!((running.processes, running.process_memory_bytes, running.process_cpu), (1, 7, cpu));
        drop((mark, gone));
        let ended = meter.read();
        assert_eq!((ended.processes, ended.process_memory_bytes, ended.process_cpu), (0, 0, cpu));
    }

    #[test]
    fn counts_of_one_plugin_add_up() {
        let (one, two) = (Arc::new(PluginMeter::default()), Arc::new(PluginMeter::default()));
        let _live = one.created();
        one.memory_grew(10);
        drop(two.created());
        two.memory_grew(5);
        two.memory_went(2);
        let mut sum = one.read();
        sum.add(&two.read());
        assert_eq!((sum.created, sum.live(), sum.idle, sum.memory_bytes), (2, 1, 1, 13));
        assert_eq!(sum.retired(Retired::MountEnded), 1);
    }
}
