//! Further connections by number, in either direction: whoever will be connected to listens on a socket of its own and
//! says over one long stream which number it has; whoever connects looks the number up.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::messages::plugin::ConnInfo;
use crate::messages::plugin::grpc_broker_client::GrpcBrokerClient;
use crate::messages::plugin::grpc_broker_server::GrpcBroker;

/// How long whoever connects waits to hear of a number: go-plugin's 5 s.
pub const ANNOUNCEMENT_DEADLINE: Duration = Duration::from_secs(5);

/// Announcements that nobody has asked for yet. Each belongs to a setup under way; a peer that sends more is not
/// listened to.
const UNCLAIMED_MAX: usize = 1_024;

/// Announcements on their way out.
const OUTGOING_MAX: usize = 64;

/// One side's end of the stream.
pub struct Broker {
    next: AtomicU32,
    outgoing: mpsc::Sender<ConnInfo>,
    shared: Arc<Shared>,
    /// The host's stream.
    stream: Option<AbortHandle>,
}

struct Shared {
    /// Addresses by number, as they were announced.
    announced: Mutex<HashMap<u32, String>>,
    /// Counts the announcements; closed when the stream ends.
    news: watch::Sender<u64>,
    ended: watch::Sender<bool>,
}

/// Why a number leads nowhere.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// It was not announced in time.
    #[error("timeout waiting for connection info")]
    NotAnnounced,
    /// It was announced on a network other than Unix sockets.
    #[error("unknown address type: {0}")]
    Network(String),
    /// The stream has ended.
    #[error("the broker's stream has ended")]
    Ended,
}

/// The plugin's side of the service: takes the host's one stream.
pub struct BrokerService {
    shared: Arc<Shared>,
    outgoing: Mutex<Option<mpsc::Receiver<ConnInfo>>>,
}

impl Broker {
    /// Opens the stream, as the host.
    ///
    /// Go's servers answer a stream only with its first message, and a plugin may never have one. So this waits for
    /// nothing: a plugin without a broker is told by [`Broker::ended`].
    pub fn connect(channel: Channel) -> Arc<Self> {
        let (outgoing, receiver) = mpsc::channel(OUTGOING_MAX);
        let shared = Arc::new(Shared::new());
        let listening = Arc::clone(&shared);
        let stream = tokio::spawn(async move {
            match GrpcBrokerClient::new(channel).start_stream(ReceiverStream::new(receiver)).await {
                Ok(incoming) => listening.listen(incoming.into_inner()).await,
                Err(_) => drop(listening.ended.send_replace(true)),
            }
        });
        Arc::new(Self { next: AtomicU32::new(1), outgoing, shared, stream: Some(stream.abort_handle()) })
    }

    /// Returns the plugin's side, and the service that the host opens the stream to.
    pub fn serve() -> (Arc<Self>, BrokerService) {
        let (outgoing, receiver) = mpsc::channel(OUTGOING_MAX);
        let shared = Arc::new(Shared::new());
        let service = BrokerService { shared: Arc::clone(&shared), outgoing: Mutex::new(Some(receiver)) };
        (Arc::new(Self { next: AtomicU32::new(1), outgoing, shared, stream: None }), service)
    }

    /// Returns a number that this side has not used.
    pub fn next_id(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Says where this side listens for a number.
    pub async fn announce(&self, id: u32, address: &std::path::Path) -> Result<(), BrokerError> {
        let address = address.display().to_string();
        let info = ConnInfo { service_id: id, network: "unix".to_owned(), address, knock: None };
        self.outgoing.send(info).await.map_err(|_| BrokerError::Ended)
    }

    /// Returns where the other side listens for a number, as soon as it has said so.
    pub async fn address_of(&self, id: u32) -> Result<PathBuf, BrokerError> {
        let mut news = self.shared.news.subscribe();
        let mut ended = self.shared.ended.subscribe();
        let heard = async {
            loop {
                news.mark_unchanged();
                if let Some(address) = self.shared.claim(id) {
                    return address.map(PathBuf::from);
                }
                tokio::select! {
                    changed = news.changed() => changed.map_err(|_| BrokerError::Ended)?,
                    _ = ended.wait_for(|ended| *ended) => return Err(BrokerError::Ended),
                }
            }
        };
        timeout(ANNOUNCEMENT_DEADLINE, heard).await.map_err(|_| BrokerError::NotAnnounced)?
    }

    /// Ends the stream, as the host. A plugin that shuts down in order waits for that.
    pub fn close(&self) {
        if let Some(stream) = &self.stream {
            stream.abort();
        }
        self.shared.ended.send_replace(true);
    }

    /// Returns when the stream has ended.
    pub async fn ended(&self) {
        // An error says that nobody can end it any more.
        drop(self.shared.ended.subscribe().wait_for(|ended| *ended).await);
    }
}

/// The stream ends with its host's side.
impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.abort();
        }
    }
}

impl Shared {
    fn new() -> Self {
        Self { announced: Mutex::default(), news: watch::Sender::new(0), ended: watch::Sender::new(false) }
    }

    fn claim(&self, id: u32) -> Option<Result<String, BrokerError>> {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let address = announced.remove(&id)?;
        Some(match address.strip_prefix("unix:") {
            Some(path) => Ok(path.to_owned()),
            None => Err(BrokerError::Network(address)),
        })
    }

    async fn listen(self: Arc<Self>, mut incoming: Streaming<ConnInfo>) {
        while let Some(Ok(info)) = incoming.next().await {
            let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            if announced.len() >= UNCLAIMED_MAX {
                break;
            }
            announced.insert(info.service_id, format!("{}:{}", info.network, info.address));
            drop(announced);
            self.news.send_modify(|count| *count += 1);
        }
        self.ended.send_replace(true);
    }
}

#[tonic::async_trait]
impl GrpcBroker for BrokerService {
    type StartStreamStream = Outgoing;

    async fn start_stream(&self, request: Request<Streaming<ConnInfo>>) -> Result<Response<Outgoing>, Status> {
        let outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outgoing = outgoing.ok_or_else(|| Status::failed_precondition("the broker's stream is open already"))?;
        tokio::spawn(Arc::clone(&self.shared).listen(request.into_inner()));
        Ok(Response::new(Outgoing(ReceiverStream::new(outgoing))))
    }
}

/// What the plugin announces.
pub struct Outgoing(ReceiverStream<ConnInfo>);

impl tokio_stream::Stream for Outgoing {
    type Item = Result<ConnInfo, Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll_next(cx).map(|info| info.map(Ok))
    }
}
