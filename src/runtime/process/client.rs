//! The backend protocol, as the host calls it: one backend inside a process, every call with its id and its deadline.

use std::future::Future;
use std::time::Duration;

use cofferdam_proto::messages::pb;
use cofferdam_proto::messages::pb::backend_client::BackendClient;
use cofferdam_proto::names;
use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::request::Caller;
use crate::runtime::{Call, MountScope};

/// Bytes of policies that go along with a call: half of what an HTTP/2 server takes as headers by default. Nobody else
/// has so many.
const POLICIES_BYTES_MAX: usize = 8 << 10;

/// A call that got no answer.
pub(super) enum Missed {
    /// It took longer than it may.
    Deadline,
    /// The connection, or the plugin's SDK, failed.
    Status(Box<Status>),
}

/// One backend inside a process.
#[derive(Clone)]
pub(super) struct Backend {
    client: BackendClient<Channel>,
    /// Names the backend in every call.
    pub(super) id: String,
}

impl Backend {
    /// Returns a backend that does not exist yet: `setup` makes it.
    pub(super) fn new(channel: Channel, message_bytes_max: usize) -> Self {
        let client = BackendClient::new(channel).max_decoding_message_size(message_bytes_max);
        Self { client, id: uuid::Uuid::new_v4().simple().to_string() }
    }

    pub(super) async fn setup(
        &self,
        scope: &MountScope,
        args: pb::SetupArgs,
        until: Instant,
    ) -> Result<pb::SetupReply, Missed> {
        let mut client = self.client.clone();
        within(until, client.setup(self.about(scope, args))).await
    }

    pub(super) async fn kind(&self, until: Instant) -> Result<pb::TypeReply, Missed> {
        let mut client = self.client.clone();
        within(until, client.r#type(self.request(pb::Empty {}))).await
    }

    pub(super) async fn special_paths(&self, until: Instant) -> Result<pb::SpecialPathsReply, Missed> {
        let mut client = self.client.clone();
        within(until, client.special_paths(self.request(pb::Empty {}))).await
    }

    pub(super) async fn initialize(&self, call: &Call) -> Result<pb::InitializeReply, Missed> {
        let mut client = self.client.clone();
        within(call.deadline, client.initialize(self.about(&call.scope, pb::InitializeArgs {}))).await
    }

    pub(super) async fn handle(&self, call: &Call, request: pb::Request) -> Result<pb::HandleRequestReply, Missed> {
        let mut client = self.client.clone();
        let args = pb::HandleRequestArgs { storage_id: 0, request: Some(request) };
        within(call.deadline, client.handle_request(self.asked(call, args))).await
    }

    pub(super) async fn exists(
        &self,
        call: &Call,
        request: pb::Request,
    ) -> Result<pb::HandleExistenceCheckReply, Missed> {
        let mut client = self.client.clone();
        let args = pb::HandleExistenceCheckArgs { storage_id: 0, request: Some(request) };
        within(call.deadline, client.handle_existence_check(self.asked(call, args))).await
    }

    pub(super) async fn invalidate(&self, call: &Call, key: &str) -> Result<(), Missed> {
        let mut client = self.client.clone();
        let args = pb::InvalidateKeyArgs { key: key.to_owned() };
        within(call.deadline, client.invalidate_key(self.about(&call.scope, args))).await.map(drop)
    }

    pub(super) async fn cleanup(&self, until: Instant) -> Result<(), Missed> {
        let mut client = self.client.clone();
        within(until, client.cleanup(self.request(pb::Empty {}))).await.map(drop)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        identified(&self.id, message)
    }

    /// A request that says which mount it is for. A path that no header can hold is left out: requests repeat it.
    fn about<T>(&self, scope: &MountScope, message: T) -> Request<T> {
        let mut request = self.request(message);
        if let Ok(path) = MetadataValue::try_from(scope.path.as_str()) {
            request.metadata_mut().insert(names::MOUNT_PATH, path);
        }
        request
    }

    /// A request that also says where its caller is and what they may.
    fn asked<T>(&self, call: &Call, message: T) -> Request<T> {
        let mut request = self.about(&call.scope, message);
        if let Caller::Known(identity) = &call.caller {
            let mut room = POLICIES_BYTES_MAX;
            let fits = |policy: &&String| {
                room = room.saturating_sub(policy.len());
                room > 0
            };
            for policy in identity
                .policies
                .iter()
                .take_while(fits)
                .filter_map(|policy| MetadataValue::try_from(policy.as_str()).ok())
            {
                request.metadata_mut().append(names::POLICIES, policy);
            }
        }
        let address = call.remote_address.and_then(|address| MetadataValue::try_from(address.to_string()).ok());
        if let Some(address) = address {
            request.metadata_mut().insert(names::REMOTE_ADDRESS, address);
        }
        request
    }
}

/// Returns a request with a backend's id, which Vault's SDK misses in every call that has none, whatever it is about.
pub(super) fn identified<T>(id: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(id) = MetadataValue::try_from(id) {
        request.metadata_mut().insert(names::MULTIPLEX_ID, id);
    }
    request
}

/// Waits for an answer until then. What is given up is cancelled: the plugin's context ends.
pub(super) async fn within<T>(
    until: Instant,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Missed> {
    match timeout_at(until, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Missed::Status(Box::new(status))),
        Err(_) => Err(Missed::Deadline),
    }
}

/// Returns the end of a wait that begins now.
pub(super) fn after(limit: Duration) -> Instant {
    Instant::now() + limit
}
