//! Other processes, watched from outside: which are there, and when they end.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::program::DEADLINE;

/// A process that was there when the watch began. Its number may be given to another; this stays the one.
pub(crate) struct Watched {
    pid: u64,
    pidfd: OwnedFd,
}

impl Watched {
    /// Begins to watch a process, which is there.
    #[track_caller]
    pub(crate) fn of(pid: u64) -> Self {
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process has a number");
        let pidfd = pidfd_open(known, PidfdFlags::empty()).unwrap_or_else(|why| panic!("process {pid}: {why}"));
        Self { pid, pidfd }
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn ends(&self) {
        let limit = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
        assert!(self.has_ended_within(limit), "process {} does not end", self.pid);
    }

    /// Waits likewise, while other tasks go on.
    #[track_caller]
    pub(crate) fn ends_soon(self) -> impl Future<Output = ()> {
        let waiting = tokio::task::spawn_blocking(move || self.ends());
        async move { waiting.await.expect("it ends") }
    }

    /// Returns whether the process is there.
    pub(crate) fn is_there(&self) -> bool {
        !self.has_ended_within(Timespec { tv_sec: 0, tv_nsec: 0 })
    }

    /// Kills the process at once.
    pub(crate) fn kill(&self) {
        pidfd_send_signal(&self.pidfd, Signal::KILL).expect("the process is there");
    }

    fn has_ended_within(&self, limit: Timespec) -> bool {
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&limit)).expect("a process can be watched") > 0
    }
}
