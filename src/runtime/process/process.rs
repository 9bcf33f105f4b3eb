//! A running plugin: its process, the connection to it, and its end.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cofferdam_proto::broker::Broker;
use cofferdam_proto::messages::multiplexing::MultiplexingSupportRequest;
use cofferdam_proto::messages::multiplexing::plugin_multiplexing_client::PluginMultiplexingClient;
use cofferdam_proto::messages::plugin::Empty;
use cofferdam_proto::messages::plugin::grpc_controller_client::GrpcControllerClient;
use cofferdam_proto::messages::plugin::grpc_stdio_client::GrpcStdioClient;
use cofferdam_proto::messages::{logical, logical::plugin_version_client::PluginVersionClient};
use cofferdam_proto::tls::Tls;
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::child::{Child, Exit};
use super::client::{Missed, after, identified, within};
use super::log::PluginLog;
use crate::meter::ProcessMark;
use crate::storage::Room;

/// How long the questions take at most that a plugin's SDK answers by itself.
const SDK_DEADLINE: Duration = Duration::from_secs(10);

/// The id in calls that are about no backend.
const NO_BACKEND: &str = "none";

/// How long a connection that broke may be ahead of the news that the process ended.
pub(super) const NEWS_OF_AN_EXIT: Duration = Duration::from_secs(1);

/// A process that answered its handshake.
pub(super) struct Process {
    pub(super) child: Arc<Child>,
    pub(super) channel: Channel,
    pub(super) broker: Arc<Broker>,
    pub(super) tls: Option<Tls>,
    pub(super) log: Arc<PluginLog>,
    /// Where its sockets are; goes with it.
    pub(super) directory: Arc<TempDir>,
    pub(super) started: Instant,
    /// Whether one process serves many mounts.
    pub(super) multiplexes: bool,
    /// For all that the host keeps for it.
    pub(super) room: Room,
    /// Counts it with its plugin; `None` for one that is only asked what it is.
    pub(super) mark: Option<ProcessMark>,
    ending: Arc<AtomicBool>,
    /// Whether it was said that its sockets are gone.
    missed: AtomicBool,
    /// For questions that the plugin's SDK answers.
    patience: Duration,
    end: Ending,
}

/// What ending a process takes, kept apart so that it can outlive the last who used it.
struct Ending {
    grace: Duration,
    tracker: tokio_util::task::TaskTracker,
    /// Whoever waits for the tracker waits for the process, from its start on.
    _alive: TaskTrackerToken,
    permit: Option<OwnedSemaphorePermit>,
    stdio: AbortHandle,
}

/// The parts of a process whose handshake was read.
pub(super) struct Parts {
    pub(super) child: Arc<Child>,
    pub(super) channel: Channel,
    pub(super) tls: Option<Tls>,
    pub(super) log: Arc<PluginLog>,
    pub(super) directory: TempDir,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) room: Room,
    pub(super) grace: Duration,
    /// For any one question.
    pub(super) patience: Duration,
    pub(super) tracker: tokio_util::task::TaskTracker,
}

impl Process {
    /// Opens what every plugin serves. An error says what it does not do.
    pub(super) async fn open(parts: Parts) -> Result<Self, String> {
        let Parts { child, channel, tls, log, directory, permit, room, grace, patience, tracker } = parts;
        let broker = Broker::connect(channel.clone());
        let stdio = tokio::spawn(follow_stdio(channel.clone(), Arc::clone(&log))).abort_handle();
        let alive = tracker.token();
        let end = Ending { grace, tracker, _alive: alive, permit: Some(permit), stdio };
        let mut process = Self {
            child,
            channel,
            broker,
            tls,
            log,
            directory: Arc::new(directory),
            started: Instant::now(),
            multiplexes: false,
            room,
            mark: None,
            ending: Arc::default(),
            missed: AtomicBool::new(false),
            patience: patience.min(SDK_DEADLINE),
            end,
        };
        process.multiplexes = process.asks_for_multiplexing().await?;
        Ok(process)
    }

    async fn asks_for_multiplexing(&self) -> Result<bool, String> {
        let mut client = PluginMultiplexingClient::new(self.channel.clone());
        let asked = client.multiplexing_support(identified(NO_BACKEND, MultiplexingSupportRequest {}));
        match within(after(self.patience), asked).await {
            Ok(reply) => Ok(reply.supported),
            // A plugin that does not know the question does not do it.
            Err(Missed::Status(status)) if status.code() == Code::Unimplemented => Ok(false),
            Err(missed) => Err(format!("it did not say whether it multiplexes: {}", self.why(missed).await)),
        }
    }

    /// Returns the version that the plugin says it is of; `None` where it says none. Vault's SDK asks the backend of
    /// this id.
    pub(super) async fn version(&self, backend: &str) -> Result<Option<String>, String> {
        let mut client = PluginVersionClient::new(self.channel.clone());
        match within(after(self.patience), client.version(identified(backend, logical::Empty {}))).await {
            Ok(reply) => Ok(Some(reply.plugin_version).filter(|version| !version.is_empty())),
            Err(Missed::Status(status)) if status.code() == Code::Unimplemented => Ok(None),
            Err(missed) => Err(format!("it did not say of which version it is: {}", self.why(missed).await)),
        }
    }

    /// Returns whether it can be called. One that is killed cannot from then on, not only from when it is reaped: a
    /// request that comes in between would fail with it.
    pub(super) fn is_alive(&self) -> bool {
        self.child.has_exited().is_none() && !self.child.is_killed() && !self.ending.load(Ordering::Relaxed)
    }

    /// Returns whether another mount can be set up in it: its sockets' directory must be there for that. Says so once
    /// if it is not.
    pub(super) fn takes_mounts(&self) -> bool {
        self.is_alive() && !self.misses(self.directory.path())
    }

    /// Returns whether something that its sockets need was removed, as cleaners of temporary files do. What is
    /// connected stays so, and what has to connect again cannot.
    pub(super) fn misses(&self, path: &Path) -> bool {
        let is_gone = path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if is_gone && !self.missed.swap(true, Ordering::Relaxed) {
            self.log.fault(&format!(
                "{} was removed while the plugin was using it, and its process is replaced; keep cleaners of temporary files away \
                 from it, or set native_plugins {{ socket_directory = … }}",
                path.display()
            ));
        }
        is_gone
    }

    /// Returns how the process ended, if it did or is about to: a connection breaks before the process is reaped.
    pub(super) async fn end_behind(&self, status: &tonic::Status) -> Option<Exit> {
        if let Some(exit) = self.child.has_exited() {
            return Some(exit);
        }
        if !matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal) {
            return None;
        }
        // Only where the transport failed; an answer of the plugin has no source.
        std::error::Error::source(status)?;
        tokio::time::timeout(NEWS_OF_AN_EXIT, self.child.exited()).await.ok()
    }

    /// Says why a call got no answer.
    pub(super) async fn why(&self, missed: Missed) -> String {
        if let Missed::Status(status) = &missed
            && let Some(exit) = self.end_behind(status).await
        {
            return format!("its process {exit}");
        }
        why(&missed)
    }

    /// Asks it to shut down, waits a while, and kills it. Returns when it is gone.
    pub(super) async fn end(&self) {
        self.means_to_end();
        shut_down(self.channel.clone(), &self.child, self.end.grace).await;
    }

    /// Takes note that its end is meant, unless it ended by itself already, and ends what never ends by itself: a
    /// plugin that shuts down in order waits for its streams.
    fn means_to_end(&self) {
        if self.child.has_exited().is_none() {
            self.ending.store(true, Ordering::SeqCst);
        }
        self.broker.close();
        self.end.stdio.abort();
    }

    /// Returns what tells whether it is being ended on purpose.
    pub(super) fn is_ending(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ending)
    }
}

/// The last who used it is gone.
impl Drop for Process {
    fn drop(&mut self) {
        self.means_to_end();
        let (channel, child, grace) = (self.channel.clone(), Arc::clone(&self.child), self.end.grace);
        let (permit, directory) = (self.end.permit.take(), Arc::clone(&self.directory));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Without a runtime nobody can wait for it.
            child.kill();
            return;
        };
        self.end.tracker.spawn_on(
            async move {
                shut_down(channel, &child, grace).await;
                drop((permit, directory));
            },
            &runtime,
        );
    }
}

async fn shut_down(channel: Channel, child: &Child, grace: Duration) {
    if child.has_exited().is_some() {
        return;
    }
    let until = after(grace);
    let mut controller = GrpcControllerClient::new(channel);
    // It ends while it answers, so the answer is mostly an error; what counts is whether it goes.
    drop(within(until, controller.shutdown(Empty {})).await);
    child.end(until.saturating_duration_since(Instant::now())).await;
}

/// Logs what a plugin prints to its own standard output and error, which Go plugins redirect after the handshake.
async fn follow_stdio(channel: Channel, log: Arc<PluginLog>) {
    let mut client = GrpcStdioClient::new(channel);
    // Plugins of other SDKs have no such thing.
    let Ok(stream) = client.stream_stdio(Request::new(())).await else { return };
    let (reader, mut writer) = tokio::io::simplex(16 << 10);
    let follow = Arc::clone(&log).follow(reader);
    let copy = async move {
        let mut stream = stream.into_inner();
        while let Some(Ok(piece)) = stream.next().await {
            if writer.write_all(&piece.data).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(follow, copy);
}

/// Says why a call got no answer, as far as that can be told without looking at the process.
pub(super) fn why(missed: &Missed) -> String {
    match missed {
        Missed::Deadline => "it did not answer in time".to_owned(),
        Missed::Status(status) => {
            let code = status.code();
            format!("gRPC error {code:?}: {}", crate::runtime::text::brief(status.message()))
        }
    }
}
