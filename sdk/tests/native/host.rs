//! The host's side: starts the plugin, serves it storage, and asks.

use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;

use cofferdam_proto::broker::Broker;
use cofferdam_proto::handshake::Handshake;
use cofferdam_proto::messages::pb::backend_client::BackendClient;
use cofferdam_proto::messages::pb::storage_server::StorageServer;
use cofferdam_proto::messages::pb::system_view_server::SystemViewServer;
use cofferdam_proto::messages::plugin::grpc_controller_client::GrpcControllerClient;
use cofferdam_proto::messages::{pb, plugin};
use cofferdam_proto::names;
use cofferdam_proto::tls::{Identity, LOCALHOST, Tls};
use cofferdam_proto::transport::{self, Listener};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};

use crate::BE_THE_PLUGIN;
use crate::storage::{Stored, System};

/// A started plugin, and what is needed to speak to it.
pub(crate) struct Host {
    child: Child,
    pub(crate) handshake: Handshake,
    pub(crate) tls: Option<Tls>,
    pub(crate) channel: Channel,
    broker: Arc<Broker>,
    sockets: TempDir,
}

/// Returns a command that starts the plugin with these variables and no others of the host's.
pub(crate) fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
    let ours = std::env::vars().map(|(name, _)| name);
    ours.filter(|name| ["PLUGIN_", "VAULT_", "BAO_"].iter().any(|prefix| name.starts_with(prefix))).for_each(|name| {
        command.env_remove(name);
    });
    command.env(BE_THE_PLUGIN, "1").envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) const COOKIE: (&str, &str) = (names::COOKIE_NAME, names::COOKIE_VALUE);

impl Host {
    /// Starts the plugin as a host of today does.
    pub(crate) async fn start() -> Self {
        let identity = Identity::generate(LOCALHOST).unwrap();
        let pem = identity.certificate_pem().to_owned();
        Self::start_with(&[(names::PROTOCOL_VERSIONS, "4,5"), (names::CLIENT_CERT, &pem)], Some(identity)).await
    }

    /// Starts the plugin with these variables, beside the cookie and the sockets' directory.
    pub(crate) async fn start_with(variables: &[(&str, &str)], identity: Option<Identity>) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let mut command = command(variables);
        command.env(COOKIE.0, COOKIE.1).env(names::UNIX_SOCKET_DIR, sockets.path());
        let mut child = command.spawn().expect("this program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let handshake = Handshake::parse(&line).expect("the first line is a handshake");
        let tls = identity.map(|own| Tls::new(&own, handshake.certificate.clone().unwrap()).unwrap());
        let channel = transport::channel(&handshake.address, tls.as_ref()).await.expect("the plugin listens");
        let broker = Broker::connect(channel.clone());
        Self { child, handshake, tls, channel, broker, sockets }
    }

    /// Sets a mount up on this storage. `""` is the only mount of a host that does not multiplex.
    pub(crate) async fn set_up(&self, id: &str, stored: &Stored, options: &[(&str, &str)]) -> Result<Mount, String> {
        let broker_id = self.broker.next_id();
        let path: PathBuf = self.sockets.path().join(format!("host-{broker_id}"));
        let listener = Listener::bind(path.clone(), self.tls.clone()).unwrap();
        let server = Server::builder()
            .add_service(StorageServer::new(stored.clone()))
            .add_service(SystemViewServer::new(System))
            .serve_with_incoming(listener.incoming());
        tokio::spawn(server);
        self.broker.announce(broker_id, &path).await.unwrap();
        let known = [("plugin_name", "tested"), ("plugin_type", "secret"), ("plugin_version", "v1.2.3")];
        let config = known.iter().chain(options).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let args = pb::SetupArgs { broker_id, config: config.collect(), backend_uuid: format!("uuid-{id}") };
        let mount = self.mount(id);
        let reply = mount.client().setup(mount.call(args)).await.map_err(|status| status.to_string())?.into_inner();
        if reply.err.is_empty() { Ok(mount) } else { Err(reply.err) }
    }

    /// Returns a mount that may not have been set up.
    pub(crate) fn mount(&self, id: &str) -> Mount {
        Mount { id: id.to_owned(), channel: self.channel.clone() }
    }

    /// Ends the plugin as a host does, and returns how it went and what it left on standard error.
    pub(crate) async fn shut_down(self) -> Output {
        // The reply may not make it.
        drop(GrpcControllerClient::new(self.channel.clone()).shutdown(plugin::Empty {}).await);
        let Self { child, channel, broker, handshake, .. } = self;
        drop((channel, broker));
        let output = child.wait_with_output().await.unwrap();
        assert!(!handshake.address.exists(), "the socket is left behind");
        output
    }

    /// Sends the plugin a signal, as a terminal or an operator does.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("there is a kill");
        assert!(sent.success());
    }

    /// Lets go of the plugin, and waits until it has ended by itself.
    pub(crate) async fn ended(self) -> ExitStatus {
        let Self { mut child, channel, broker, .. } = self;
        drop((channel, broker));
        child.wait().await.unwrap()
    }
}

/// A mount of the plugin's.
#[derive(Clone)]
pub(crate) struct Mount {
    id: String,
    channel: Channel,
}

impl Mount {
    pub(crate) fn client(&self) -> BackendClient<Channel> {
        BackendClient::new(self.channel.clone())
    }

    /// Returns a call for this mount.
    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.id.is_empty() {
            request.metadata_mut().insert(names::MULTIPLEX_ID, self.id.parse().unwrap());
            request.metadata_mut().insert(names::MOUNT_PATH, format!("{}/", self.id).parse().unwrap());
        }
        request
    }

    /// Reads a path: the whole reply.
    pub(crate) async fn reply(&self, path: &str) -> Result<pb::HandleRequestReply, Status> {
        let request = Some(request(path));
        let call = self.call(pb::HandleRequestArgs { storage_id: 0, request });
        self.client().handle_request(call).await.map(tonic::Response::into_inner)
    }

    /// Reads a path: the answer's data, or the error's text.
    pub(crate) async fn read(&self, path: &str) -> Result<Value, String> {
        let reply = self.reply(path).await.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
        match (reply.err, reply.response) {
            (Some(error), _) => Err(error.err_msg),
            (None, Some(response)) => Ok(serde_json::from_str(&response.data).unwrap()),
            (None, None) => Ok(Value::Null),
        }
    }
}

pub(crate) fn request(path: &str) -> pb::Request {
    let (operation, data) = ("read".to_owned(), "null".to_owned());
    pb::Request { operation, data, path: path.to_owned(), ..pb::Request::default() }
}
