//! What a native plugin's program and its instances share: how its processes are started and watched, and the one that
//! mounts share, if it multiplexes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use cofferdam_proto::names;

use super::backoff::Backoff;
use super::child::Executable;
use super::process::{NEWS_OF_AN_EXIT, Process};
use super::start::{LAST_LINES, without_output};
use super::usage::ProcessUsage;
use super::{Mode, Shared, StartError, start};
use crate::ident::PluginKind;
use crate::runtime::text::{brief, one_entry};
use crate::runtime::{Failure, Launch};

/// Mounts whose failures are remembered. Beyond it those are forgotten that need not wait any more; while none is, one
/// that fails now is tried again with the next request.
const BACKOFFS_MAX: usize = 1_024;

/// What the program and its instances share.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) launch: Launch,
    pub(super) kind: PluginKind,
    executable: Executable,
    mode: OnceLock<Mode>,
    /// The process that mounts share; locked while it is started.
    common: tokio::sync::Mutex<Weak<Process>>,
    /// Whether there is such a process. Unknown until one was started.
    multiplexes: OnceLock<bool>,
    /// By mount id; the shared process has the empty one.
    backoffs: Mutex<HashMap<Arc<str>, Backoff>>,
}

impl Core {
    pub(super) fn new(shared: Arc<Shared>, executable: Executable, launch: Launch, kind: PluginKind) -> Self {
        let multiplexes = OnceLock::new();
        if shared.settings.multiplexing_opt_out.contains(&launch.name) {
            multiplexes.get_or_init(|| false);
        }
        Self {
            shared,
            launch,
            kind,
            executable,
            mode: OnceLock::new(),
            common: tokio::sync::Mutex::default(),
            multiplexes,
            backoffs: Mutex::default(),
        }
    }

    pub(super) async fn start(&self, mode: Mode) -> Result<Process, StartError> {
        // Given up, it takes its process and its sockets along before anybody who waits for that goes on.
        let _counted = self.shared.tracker.token();
        let started = start(&self.shared, &self.executable, &self.launch, mode);
        let stopped = self.shared.stopping.run_until_cancelled(started).await;
        stopped.unwrap_or_else(|| Err(StartError::Failed("the server is shutting down".to_owned())))
    }

    /// Returns a process for a mount: the shared one, or one of its own. Starts it if need be.
    pub(super) async fn process(self: &Arc<Self>, mount: &Arc<str>) -> Result<Arc<Process>, Failure> {
        if self.multiplexes.get() == Some(&false) {
            return self.supervised(mount).await;
        }
        let mut common = self.common.lock().await;
        if let Some(process) = common.upgrade().filter(|process| process.takes_mounts()) {
            return Ok(process);
        }
        if self.multiplexes.get() == Some(&false) {
            // Somebody found that out while this one waited.
            drop(common);
            return self.supervised(mount).await;
        }
        let process = self.supervised(&Arc::from("")).await?;
        if *self.multiplexes.get_or_init(|| process.multiplexes) {
            *common = Arc::downgrade(&process);
        }
        Ok(process)
    }

    /// Starts a process, unless it has just failed too often, and watches over it.
    async fn supervised(self: &Arc<Self>, key: &Arc<str>) -> Result<Arc<Process>, Failure> {
        if let Some(backoff) = self.backoffs.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            backoff.check()?;
        }
        match self.start_as_before().await {
            Ok(mut process) => {
                process.mark = Some(self.launch.meter.process_started(ProcessUsage::of(&process.child)));
                let process = Arc::new(process);
                self.watch(&process, key);
                Ok(process)
            }
            Err(StartError::Full(why)) => Err(Failure::Busy(why)),
            Err(StartError::Failed(why)) => Err(Failure::Host(why)),
            Err(error) => {
                // What it printed is for the log: whoever made a request may be anybody.
                let whole = error.to_string();
                let why = brief(without_output(&whole));
                let plugin = &*self.launch.label;
                tracing::error!(plugin, "the plugin does not start: {}", one_entry(&brief_lines(&whole)));
                self.failed(key, Duration::ZERO, &why);
                Err(Failure::Trap(why))
            }
        }
    }

    /// Starts a process in the mode that worked, or in the first that does.
    async fn start_as_before(&self) -> Result<Process, StartError> {
        let mode = *self.mode.get().unwrap_or(&Mode::AutoMtls);
        let process = match self.start(mode).await {
            Err(StartError::Older(_) | StartError::Unwraps(_)) => {
                self.mode.get_or_init(|| Mode::Unwrap);
                return self.start(Mode::Unwrap).await;
            }
            other => other?,
        };
        self.mode.get_or_init(|| mode);
        Ok(process)
    }

    /// Says so when a process ends that nobody ended, and ends one that cannot be spoken to any more.
    fn watch(self: &Arc<Self>, process: &Process, key: &Arc<str>) {
        let (core, key) = (Arc::downgrade(self), Arc::clone(key));
        let (child, log, ending) = (Arc::clone(&process.child), Arc::clone(&process.log), process.is_ending());
        let (started, broker) = (process.started, Arc::clone(&process.broker));
        // Counted with the processes, so that a host that shuts down meanwhile still says it.
        self.shared.tracker.spawn(async move {
            tokio::select! {
                _ = child.exited() => {}
                // It lasts as long as the connection does.
                () = broker.ended() => {
                    let gone = tokio::time::timeout(NEWS_OF_AN_EXIT, child.exited()).await.is_ok();
                    if !gone && !ending.load(Ordering::SeqCst) {
                        log.fault("the plugin's connection ended, and its process is killed");
                        child.kill();
                    }
                }
            }
            let exit = child.exited().await;
            if ending.load(Ordering::SeqCst) {
                return;
            }
            if let Some(core) = core.upgrade() {
                core.failed(&key, started.elapsed(), &format!("its process {exit}"));
            }
            log.read_to_the_end(LAST_LINES).await;
            let tail = log.tail().map(|tail| format!("; the last lines that it printed:\n{tail}")).unwrap_or_default();
            log.fault(&format!("the plugin's process {exit}{tail}"));
        });
    }

    /// Takes note of a process that failed after so long.
    pub(super) fn failed(&self, key: &Arc<str>, lived: Duration, why: &str) {
        let mut backoffs = self.backoffs.lock().unwrap_or_else(PoisonError::into_inner);
        if backoffs.len() >= BACKOFFS_MAX && !backoffs.contains_key(key) {
            backoffs.retain(|_, backoff| backoff.check().is_err());
            if backoffs.len() >= BACKOFFS_MAX {
                return;
            }
        }
        backoffs.entry(Arc::clone(key)).or_default().failed(lived, why);
    }
}

impl Core {
    /// Returns what Vault adds to a mount's options.
    pub(super) fn config(&self) -> HashMap<String, String> {
        let launch = &self.launch;
        let version = launch.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = launch.kind.map(|kind| kind.to_string()).unwrap_or_default();
        let values = [launch.name.to_string(), kind, version];
        names::CONFIG_PLUGIN.map(str::to_owned).into_iter().zip(values).collect()
    }
}

/// Returns what a type's number means.
pub(super) fn kind_of(number: u32) -> Result<PluginKind, String> {
    match number {
        names::TYPE_SECRET => Ok(PluginKind::Secret),
        names::TYPE_AUTH => Ok(PluginKind::Auth),
        other => Err(format!("says that it is of type {other}, which is neither a secrets engine nor an auth method")),
    }
}

/// Returns the beginning of each line, cleaned; the lines stay apart.
fn brief_lines(text: &str) -> String {
    text.lines().map(brief).collect::<Vec<_>>().join("\n")
}
