//! What a native plugin's process takes of the machine, as the kernel says it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::child::Child;
use crate::meter::{Measured, Usage};

/// Ticks of a second in `/proc/<pid>/stat`: `USER_HZ`, which the kernel has kept at 100 for programs on every machine
/// that this runs on, whatever its own clock does.
const TICKS_PER_SECOND: u64 = 100;

/// Reads what a process takes. What the processes take that it started itself is not in it.
pub(super) struct ProcessUsage {
    child: Arc<Child>,
    /// The most that was read: the kernel forgets it with the process.
    cpu_ticks: AtomicU64,
}

impl ProcessUsage {
    pub(super) fn of(child: &Arc<Child>) -> Arc<Self> {
        Arc::new(Self { child: Arc::clone(child), cpu_ticks: AtomicU64::new(0) })
    }
}

impl Measured for ProcessUsage {
    fn usage(&self) -> Usage {
        let pid = self.child.pid;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        // Once it is reaped, its number may be another's. Asked after reading: what was read was its own then.
        if self.child.has_exited().is_none() {
            let ticks = stat.ok().and_then(|stat| cpu_ticks(&stat)).unwrap_or(0);
            self.cpu_ticks.fetch_max(ticks, Ordering::Relaxed);
        }
        let memory_bytes = status.ok().and_then(|status| resident_bytes(&status));
        Usage {
            cpu: Duration::from_millis(self.cpu_ticks.load(Ordering::Relaxed) * (1_000 / TICKS_PER_SECOND)),
            memory_bytes: memory_bytes.filter(|_| self.child.has_exited().is_none()),
        }
    }
}

/// Returns the time in user and kernel mode, in ticks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything; fields 14 and 15 are counted from 1.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Returns the resident set. A process that is no more than a zombie has none.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 900 0 3 0 250 50 7 8 20 0 5 0 1000 2000000 300 18446744073709551615 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("12 (a"), None);
        assert_eq!(resident_bytes("Name:\ta\nVmRSS:\t    1200 kB\nThreads:\t1\n"), Some(1200 << 10));
        assert_eq!(resident_bytes("Name:\ta\nState:\tZ (zombie)\n"), None);
        let own = fs::read_to_string("/proc/self/status").expect("the tests run on Linux");
        assert!(resident_bytes(&own).is_some_and(|bytes| bytes > 1 << 20));
        assert!(cpu_ticks(&fs::read_to_string("/proc/self/stat").expect("as above")).is_some());
    }
}
