//! The processes that a host has started, found by a variable in their environment: whoever started them, and whatever
//! has become of their parents.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The variable.
pub(crate) const MARK: &str = "COFFERDAM_TEST_MARK";

/// Returns the processes that have this value in their environment. One that has ended and waits to be reaped has none.
pub(crate) fn marked(mark: &str) -> BTreeSet<i32> {
    let wanted = format!("{MARK}={mark}");
    let entries = fs::read_dir("/proc").expect("there is /proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // It may end meanwhile.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes())
    })
    .collect()
}

/// Waits until a process has ended, at most so long.
pub(crate) async fn ended(pid: i32, limit: Duration) -> Result<(), String> {
    let name =
        || fs::read(format!("/proc/{pid}/cmdline")).map(|name| String::from_utf8_lossy(&name).replace('\0', " "));
    let Some(Ok(pidfd)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return Ok(()) };
    let waited = tokio::task::spawn_blocking(move || {
        let limit = Timespec { tv_sec: limit.as_secs().try_into().expect("it is short"), tv_nsec: 0 };
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))
    });
    match waited.await.expect("polling does not panic") {
        Ok(0) => Err(format!("the process {pid} lives on: {}", name().unwrap_or_default())),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the process {pid} cannot be waited for: {error}")),
    }
}

/// Kills a process that this test has started through a plugin.
pub(crate) fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process has a number");
    // Should it be gone already, all the better.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Stops a process, as a debugger or a frozen container does.
pub(crate) fn freeze(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it can be stopped");
}
