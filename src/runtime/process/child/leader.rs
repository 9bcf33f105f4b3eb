//! The one owner of a plugin's process: it reaps it, and ends what is left of its group.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::own::Owned;
use super::setup::Guard;
use super::{Exit, SpawnError, Spawner};

/// A plugin's process, with all that it has started in its process group. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Child {
    /// Of the first process, and of the group.
    pub(crate) pid: u32,
    /// To be taken, once.
    pub(crate) stdout: Option<ChildStdout>,
    /// To be taken, once.
    pub(crate) stderr: Option<ChildStderr>,
    /// What the confinement that was asked for lacks, because the kernel does, in words.
    pub(crate) unconfined: Option<String>,
    exit: watch::Receiver<Option<Exit>>,
    stop: CancellationToken,
    _dropped: DropGuard,
}

impl Child {
    /// Completes with how it ended, for any number of waiters. By then nothing of its group is left.
    pub(crate) async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(Exit::UNSEEN),
            // The owner was dropped with its runtime, and has killed the process.
            Err(_) => Exit::UNSEEN,
        }
    }

    /// Returns how it ended, if it has.
    pub(crate) fn has_exited(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Ends it now: SIGKILL to its whole group. [`Child::exited`] says when it is done.
    pub(crate) fn kill(&self) {
        self.stop.cancel();
    }

    /// Returns whether it was killed, be it that it is not gone yet.
    pub(crate) fn is_killed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits so long for it to go by itself, which somebody has asked it to, and then kills it.
    pub(crate) async fn end(&self, grace: Duration) -> Exit {
        if let Ok(exit) = tokio::time::timeout(grace, self.exited()).await {
            return exit;
        }
        self.kill();
        self.exited().await
    }
}

/// A process that was just made, not yet watched. Dropping it kills and reaps it.
pub(super) struct Leader {
    /// `None` once it was reaped.
    process: Option<std::process::Child>,
    pid: Pid,
    /// Until it was reaped.
    owned: Option<Owned>,
    pidfd: OwnedFd,
    _guard: Guard,
    unconfined: Option<String>,
    /// The process dies with the thread that forked it.
    _spawner: Spawner,
}

impl Leader {
    pub(super) fn new(
        mut process: std::process::Child,
        guard: Guard,
        unconfined: Option<String>,
        spawner: Spawner,
    ) -> Result<Self, SpawnError> {
        let opened = i32::try_from(process.id()).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH);
        let opened = opened.and_then(|pid| Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)));
        match opened {
            Ok((pid, pidfd)) => {
                let owned = Some(Owned::new(pid));
                Ok(Self { process: Some(process), pid, owned, pidfd, _guard: guard, unconfined, _spawner: spawner })
            }
            Err(error) => {
                // It has just been executed: at most it is gone already.
                let _ = process.kill();
                let _ = process.wait();
                Err(SpawnError::of_system("watch the plugin's process", error.into()))
            }
        }
    }

    /// Starts the task that owns the process from here on.
    pub(super) fn watched(mut self) -> Result<Child, SpawnError> {
        let failed = |error: io::Error| SpawnError::of_system("watch the plugin's process", error);
        let watched = self.pidfd.try_clone().and_then(readable_when_exited).map_err(failed)?;
        let (mut stdout, mut stderr) = (None, None);
        if let Some(process) = &mut self.process {
            stdout = process.stdout.take().map(ChildStdout::from_std).transpose().map_err(failed)?;
            stderr = process.stderr.take().map(ChildStderr::from_std).transpose().map_err(failed)?;
        }
        let (publish, exit) = watch::channel(None);
        let stop = CancellationToken::new();
        let pid = self.pid.as_raw_nonzero().get().unsigned_abs();
        let unconfined = self.unconfined.take();
        tokio::spawn(own(self, watched, stop.clone(), publish));
        Ok(Child { pid, stdout, stderr, unconfined, exit, _dropped: stop.clone().drop_guard(), stop })
    }

    /// Whether the process is there, be it as a zombie, so that its number and its group's are still its own.
    fn is_unreaped(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        self.process.is_some()
            && rustix::process::waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&self.pidfd)), options).is_ok()
    }

    fn kill_group(&self) {
        if self.is_unreaped() {
            // Fails only where all of the group are gone.
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Reaps the process, which has exited.
    fn reap(&mut self) -> Exit {
        match self.process.take().map(|mut process| process.wait()) {
            Some(Ok(status)) => status.into(),
            Some(Err(_)) | None => Exit::UNSEEN,
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.kill_group();
        let Some(mut process) = self.process.take() else { return };
        if matches!(process.try_wait(), Ok(None)) {
            // It is about to die; where no thread can be had to wait for that, it stays a zombie until the host ends.
            let owned = self.owned.take();
            let wait = move || {
                let _owned = owned;
                process.wait()
            };
            let _ = std::thread::Builder::new().name("plugin-reaper".to_owned()).spawn(wait);
        }
    }
}

/// Makes a process descriptor something to wait for.
fn readable_when_exited(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what it is registered with, and stays the same until that is dropped.
    #[allow(unsafe_code, reason = "the safe form is deprecated, as it takes objects that do not own their descriptor")]
    let registered = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

/// Owns a process until it has ended.
async fn own(
    mut leader: Leader,
    pidfd: AsyncFd<OwnedFd>,
    stop: CancellationToken,
    publish: watch::Sender<Option<Exit>>,
) {
    tokio::select! {
        _ = pidfd.readable() => {}
        () = stop.cancelled() => {
            leader.kill_group();
            // Readable once the process has exited. An error would mean that there is no reactor any more.
            let _ = pidfd.readable().await;
        }
    }
    drop(pidfd);
    // Before it is reaped: as long as it is a zombie, no other group can get its number.
    leader.kill_group();
    let exit = leader.reap();
    publish.send_replace(Some(exit));
}
