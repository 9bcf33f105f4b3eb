//! The plugin as the protocol has it: every call finds its mount by the id that comes with it, and runs there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofferdam_proto::broker::Broker;
use cofferdam_proto::messages::pb::{self, backend_server::Backend};
use cofferdam_proto::names;
use cofferdam_proto::tls::Tls;
use cofferdam_proto::transport;
use tokio::runtime::Handle;
use tonic::{Request, Response, Status};

use super::convert;
use super::instance::{Failure, Instance};
use super::launch::Mode;
use super::mount::Mount;
use super::view::Facts;
use crate::view::Access;
use crate::{Context, Description, Error, Operation, Plugin};

/// All mounts that this process serves.
pub(super) struct BackendService<P> {
    pub(super) description: Description,
    pub(super) mode: Mode,
    /// Finds where the host serves a mount's storage.
    pub(super) broker: Arc<Broker>,
    pub(super) tls: Option<Tls>,
    pub(super) instances: Instances<P>,
}

/// Mounts by the host's id for them; a host that does not multiplex has one, without an id.
pub(super) struct Instances<P>(Mutex<HashMap<String, Arc<Instance<P>>>>);

impl<P> Instances<P> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    fn find(&self, id: &str) -> Result<Arc<Instance<P>>, Status> {
        let instances = self.lock();
        let found = instances.get(id).or_else(|| instances.get("")).cloned();
        found.ok_or_else(|| Status::unknown(names::NO_INSTANCE))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Instance<P>>>> {
        // No plugin code runs under the lock, and the map is whole after each of its own operations.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Plugin> BackendService<P> {
    /// Runs a plugin's method for the mount that a call names.
    async fn call<T: Send + 'static>(
        &self,
        id: &str,
        facts: Facts,
        access: Access,
        run: impl FnOnce(&P, &Context) -> Result<T, Error> + Send + 'static,
    ) -> Result<Result<T, Error>, Status> {
        if self.mode == Mode::Metadata {
            return Err(Status::unknown(names::METADATA_MODE_REFUSAL));
        }
        let instance = self.instances.find(id)?;
        blocking(move || instance.run(&facts, access, run)).await
    }

    /// Connects to what the host serves for a mount.
    async fn connect(&self, args: pb::SetupArgs) -> Result<Mount, Status> {
        let address = self.broker.address_of(args.broker_id).await;
        let address = address.map_err(|error| Status::unavailable(error.to_string()))?;
        let channel = transport::channel(&address, self.tls.as_ref()).await;
        let channel = channel.map_err(|error| Status::unavailable(format!("the host cannot be reached: {error}")))?;
        Ok(Mount::new(args, channel, Handle::current()))
    }
}

/// Runs what blocks on a thread for it. A call that the host gives up meanwhile runs to its end.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Result<T, Error>, Status> {
    match tokio::task::spawn_blocking(run).await {
        Ok(Ok(value)) => Ok(Ok(value)),
        Ok(Err(Failure::Refused(error))) => Ok(Err(error)),
        // The second is a panic in a destructor.
        Ok(Err(Failure::Panicked)) | Err(_) => Err(Status::internal("the plugin panicked")),
    }
}

#[tonic::async_trait]
impl<P: Plugin> Backend for BackendService<P> {
    async fn r#type(&self, _request: Request<pb::Empty>) -> Result<Response<pb::TypeReply>, Status> {
        Ok(Response::new(pb::TypeReply { r#type: convert::kind(&self.description) }))
    }

    async fn special_paths(&self, _request: Request<pb::Empty>) -> Result<Response<pb::SpecialPathsReply>, Status> {
        Ok(Response::new(pb::SpecialPathsReply { paths: Some(convert::paths(&self.description)) }))
    }

    async fn setup(&self, request: Request<pb::SetupArgs>) -> Result<Response<pb::SetupReply>, Status> {
        // In metadata mode there may be no storage to connect to, and what is asked afterwards needs no mount.
        if self.mode == Mode::Metadata {
            return Ok(Response::new(pb::SetupReply::default()));
        }
        let (id, facts) = (convert::mount(request.metadata()), convert::facts(request.metadata(), None));
        let instance = Arc::new(Instance::<P>::new(self.connect(request.into_inner()).await?));
        let starting = Arc::clone(&instance);
        match blocking(move || starting.start(&facts)).await? {
            Ok(()) => {}
            // A host that only asks what a plugin is has no storage for it. Should there be a call, it sets the plugin
            // up.
            Err(Error::Unavailable(why)) if why.contains(names::NO_STORAGE) => {}
            Err(error) => return Ok(Response::new(pb::SetupReply { err: error.to_string() })),
        }
        drop(self.instances.lock().insert(id, instance));
        Ok(Response::new(pb::SetupReply::default()))
    }

    async fn initialize(&self, request: Request<pb::InitializeArgs>) -> Result<Response<pb::InitializeReply>, Status> {
        let (id, facts) = (convert::mount(request.metadata()), convert::facts(request.metadata(), None));
        let result = self.call(&id, facts, Access::ReadWrite, |plugin, ctx| plugin.initialize(ctx)).await?;
        Ok(Response::new(pb::InitializeReply { err: result.err().as_ref().map(convert::proto_error) }))
    }

    async fn handle_request(
        &self,
        request: Request<pb::HandleRequestArgs>,
    ) -> Result<Response<pb::HandleRequestReply>, Status> {
        let (id, facts, request) = asked(request, |args| args.request)?;
        let request = match request {
            Ok(request) => request,
            Err(error) => return Ok(Response::new(convert::reply(Err(error)))),
        };
        let operation = request.operation;
        let result = self.call(&id, facts, Access::ReadWrite, |plugin, ctx| plugin.handle(ctx, request)).await?;
        // Hosts ask every minute, and take only this for "there is nothing to roll back".
        let result = match result {
            Err(Error::UnsupportedPath) if operation == Operation::Rollback => Err(Error::UnsupportedOperation),
            result => result,
        };
        Ok(Response::new(convert::reply(result)))
    }

    async fn handle_existence_check(
        &self,
        request: Request<pb::HandleExistenceCheckArgs>,
    ) -> Result<Response<pb::HandleExistenceCheckReply>, Status> {
        let (id, facts, request) = asked(request, |args| args.request)?;
        let request = match request {
            Ok(request) => request,
            Err(error) => return Ok(Response::new(convert::existence(Err(error)))),
        };
        let result = self.call(&id, facts, Access::ReadOnly, |plugin, ctx| plugin.exists(ctx, request)).await?;
        Ok(Response::new(convert::existence(result)))
    }

    async fn invalidate_key(&self, request: Request<pb::InvalidateKeyArgs>) -> Result<Response<pb::Empty>, Status> {
        let (id, facts) = (convert::mount(request.metadata()), convert::facts(request.metadata(), None));
        let key = request.into_inner().key;
        let invalidate = move |plugin: &P, ctx: &Context| {
            plugin.invalidate(ctx, &key);
            Ok(())
        };
        // What cannot be set up again has nothing cached.
        drop(self.call(&id, facts, Access::ReadWrite, invalidate).await?);
        Ok(Response::new(pb::Empty {}))
    }

    async fn cleanup(&self, request: Request<pb::Empty>) -> Result<Response<pb::Empty>, Status> {
        let (id, facts) = (convert::mount(request.metadata()), convert::facts(request.metadata(), None));
        if self.mode == Mode::Metadata {
            return Ok(Response::new(pb::Empty {}));
        }
        let instance = self.instances.lock().remove(&id).ok_or_else(|| Status::unknown(names::NO_INSTANCE))?;
        drop(blocking(move || instance.clean_up(&facts)).await?);
        Ok(Response::new(pb::Empty {}))
    }
}

/// Takes a call apart: which mount it is for, what is known beside the request, and the request.
fn asked<A>(
    request: Request<A>,
    part: impl FnOnce(A) -> Option<pb::Request>,
) -> Result<(String, Facts, Result<crate::Request, Error>), Status> {
    let (metadata, _, args) = request.into_parts();
    let mut request = part(args).ok_or_else(|| Status::invalid_argument("the call holds no request"))?;
    let facts = convert::facts(&metadata, Some(&mut request));
    Ok((convert::mount(&metadata), facts, convert::request(request)))
}
