//! The process: from the host's variables to the handshake, and from the host's last word to its end.

use std::fmt;
use std::io::{self, Write};
use std::num::NonZero;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use cofferdam_proto::broker::{Broker, BrokerService};
use cofferdam_proto::handshake::Handshake;
use cofferdam_proto::messages::DESCRIPTORS;
use cofferdam_proto::messages::logical::plugin_version_server::PluginVersionServer;
use cofferdam_proto::messages::multiplexing::plugin_multiplexing_server::PluginMultiplexingServer;
use cofferdam_proto::messages::pb::backend_server::BackendServer;
use cofferdam_proto::messages::plugin::grpc_broker_server::GrpcBrokerServer;
use cofferdam_proto::messages::plugin::grpc_controller_server::GrpcControllerServer;
use cofferdam_proto::messages::plugin::grpc_stdio_server::GrpcStdioServer;
use cofferdam_proto::names::HEALTH_SERVICE;
use cofferdam_proto::tls::{Identity, LOCALHOST, Tls};
use cofferdam_proto::transport::{Listener, MESSAGE_BYTES_MAX};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_reflection::server::Builder as Reflection;

use super::backend::{BackendService, Instances};
use super::launch::Launch;
use super::services::{Controller, Multiplexing, Stdio, Version};
use crate::Plugin;

/// Calls that a plugin answers at a time; each holds a thread, since plugins block. More wait for one of these to end.
const CALLS_MAX: usize = 256;

/// Calls that a host may have under way on one connection, waiting ones included. The rest wait at the host.
const STREAMS_MAX: u32 = 1_024;

/// Threads that only move messages. More do not make one Unix socket faster.
const WORKERS_MAX: usize = 4;

/// How long calls may take to end once the host has said that the process should. It is killed after 2 s.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// How long the process outlives the host's stream to its broker, which is the first thing that a host ends in order,
/// and all that is heard of one that was killed.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// Names that are tried for the socket. One is taken only by the leftover of a process that had the same id.
const SOCKET_NAMES_MAX: u32 = 1_000;

/// Serves a plugin to the host that started this process, until the host ends it. Call it from `main`, and do nothing
/// before: the host takes the first line on standard output for the plugin's.
///
/// ```no_run
/// # use cofferdam_sdk::{Context, Description, Error, Plugin, Request, Response};
/// # struct Silent;
/// # impl Plugin for Silent {
/// #     fn describe() -> Description { Description::secret("Says nothing.") }
/// #     fn setup(_: &Context) -> Result<Self, Error> { Ok(Self) }
/// #     fn handle(&self, _: &Context, _: Request) -> Result<Response, Error> { Ok(Response::none()) }
/// # }
/// fn main() -> std::process::ExitCode {
///     cofferdam_sdk::serve::<Silent>()
/// }
/// ```
///
/// Without a host it says how to register the plugin, and fails. One process serves any number of mounts, and many
/// requests at once, each on a thread of its own. A panic fails its own call only; that mount is then set up anew. (A
/// build with `panic = "abort"` takes all mounts down instead.)
pub fn serve<P: Plugin>() -> ExitCode {
    match Launch::read(|name| std::env::var(name).ok()).map_err(Failure::new).and_then(run::<P>) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(io::stderr().lock(), "{}", failure.0));
            ExitCode::FAILURE
        }
    }
}

/// Why the process ends early, for a person.
struct Failure(String);

impl Failure {
    fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }

    fn of<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> Self {
        move |why| Self(format!("{what}: {why}"))
    }
}

fn run<P: Plugin>(launch: Launch) -> Result<(), Failure> {
    let runtime = runtime().map_err(Failure::of("no threads can be started"))?;
    let outcome = runtime.block_on(listen::<P>(launch));
    // A call that still runs has nobody to answer.
    runtime.shutdown_background();
    outcome
}

fn runtime() -> io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, NonZero::get).min(WORKERS_MAX);
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().worker_threads(workers).max_blocking_threads(CALLS_MAX).thread_name("plugin").build()
}

async fn listen<P: Plugin>(launch: Launch) -> Result<(), Failure> {
    let (stop, mut stopped) = watch::channel(false);
    heed_signals(&stop).map_err(Failure::of("signals cannot be handled"))?;
    let (tls, certificate) = match &launch.host {
        Some(host) => {
            let own = Identity::generate(LOCALHOST).map_err(Failure::new)?;
            let tls = Tls::new(&own, host.clone()).map_err(Failure::new)?;
            (Some(tls), Some(own.certificate().clone()))
        }
        None => (None, None),
    };
    let listener = bind(&launch, tls.clone()).map_err(Failure::of("no socket to listen on"))?;
    let handshake = Handshake { version: launch.version, address: listener.path().to_owned(), certificate };
    let (broker, service) = Broker::serve();
    let router = router::<P>(&launch, Arc::clone(&broker), service, tls, stop.clone()).await?;

    announce(&handshake).map_err(Failure::of("the handshake cannot be printed"))?;
    tokio::spawn(async move {
        broker.ended().await;
        sleep(ORPHAN_GRACE).await;
        stop.send_replace(true);
    });
    let mut stopping = stopped.clone();
    // An error says that nobody is left who could stop it.
    let server = router.serve_with_incoming_shutdown(listener.incoming(), async move {
        drop(stopping.wait_for(|stopped| *stopped).await);
    });
    let overdue = async {
        drop(stopped.wait_for(|stopped| *stopped).await);
        sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = server => served.map_err(Failure::of("the server failed")),
        () = overdue => Ok(()),
    }
}

/// Ignores SIGINT as Go plugins do: a terminal sends it to the host's plugins too, and the host ends them in order.
/// SIGTERM is for this process.
fn heed_signals(stop: &watch::Sender<bool>) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => break,
            }
        }
        stop.send_replace(true);
    });
    Ok(())
}

/// Binds a socket that only this user can connect to, or the group that the host names.
fn bind(launch: &Launch, tls: Option<Tls>) -> io::Result<Listener> {
    let mut number = 0;
    let listener = loop {
        let name = format!("plugin-{}-{number}", std::process::id());
        match Listener::bind(launch.sockets.join(name), tls.clone()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && number < SOCKET_NAMES_MAX => number += 1,
            bound => break bound?,
        }
    };
    let mut mode = 0o600;
    if let Some(group) = &launch.group {
        chown(listener.path(), None, Some(group_id(group)?))?;
        mode = 0o660;
    }
    std::fs::set_permissions(listener.path(), PermissionsExt::from_mode(mode))?;
    Ok(listener)
}

/// Returns the id of a group that is given by number or by name.
fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let groups = std::fs::read_to_string(Path::new("/etc/group"))?;
    let mut lines = groups.lines().map(|line| line.split(':'));
    let found = lines.find_map(|mut fields| (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?);
    found.ok_or_else(|| io::Error::other(format!("there is no group {group:?}")))
}

async fn router<P: Plugin>(
    launch: &Launch,
    broker: Arc<Broker>,
    broker_service: BrokerService,
    tls: Option<Tls>,
    stop: watch::Sender<bool>,
) -> Result<Router, Failure> {
    let description = P::describe();
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status(HEALTH_SERVICE, ServingStatus::Serving).await;
    let reflection = || {
        Reflection::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let described = Failure::of("the protocol's description is damaged");
    let (v1, v1alpha) = (reflection().build_v1(), reflection().build_v1alpha());
    let (v1, v1alpha) = v1.and_then(|v1| Ok((v1, v1alpha?))).map_err(described)?;
    let version = Version(description.version.clone());
    let backend = BackendService::<P> { description, mode: launch.mode, broker, tls, instances: Instances::new() };
    let backend = BackendServer::new(backend)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(backend)
        .add_service(PluginVersionServer::new(version))
        .add_service(PluginMultiplexingServer::new(Multiplexing))
        .add_service(GrpcBrokerServer::new(broker_service))
        .add_service(GrpcControllerServer::new(Controller(stop)))
        .add_service(GrpcStdioServer::new(Stdio))
        .add_service(health_service)
        .add_service(v1)
        .add_service(v1alpha))
}

fn announce(handshake: &Handshake) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{handshake}")?;
    output.flush()
}
