//! gRPC without a host around it: what a native plugin costs more than.
//!
//! The other side is a process as well, this program once more, in a role of its own. It serves the plugins' own
//! protocol with the same library over the same transport: one Unix socket, mutual TLS, as many threads. What a host
//! and a plugin add is missing on purpose: finding the mount, metadata, deadlines, threads that may block, storage,
//! JSON.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use cofferdam_proto::handshake::Handshake;
use cofferdam_proto::messages::pb::backend_client::BackendClient;
use cofferdam_proto::messages::pb::backend_server::{Backend, BackendServer};
use cofferdam_proto::messages::pb::{self, HandleRequestArgs, HandleRequestReply};
use cofferdam_proto::names;
use cofferdam_proto::tls::{Identity, LOCALHOST, Tls, certificate_from_pem};
use cofferdam_proto::transport::{Listener, channel};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use super::host;

/// The argument that makes this program the other side.
const ROLE: &str = "--bare-grpc";

/// Where each side listens, in their folder.
const OTHER: &str = "other";
const OWN: &str = "own";

/// The other side, and a connection to it.
pub struct Bare {
    client: BackendClient<Channel>,
    process: Child,
    /// While it is open, the process serves.
    input: Option<ChildStdin>,
    _folder: TempDir,
}

impl Bare {
    /// Starts the other side, and serves it the value that a plugin would find in its storage.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let own = Identity::generate(LOCALHOST).expect("an identity can be made");
        let mut process = Command::new(std::env::current_exe().expect("this program has a file"))
            .arg(ROLE)
            .env(names::UNIX_SOCKET_DIR, folder.path())
            .env(names::CLIENT_CERT, own.certificate_pem())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started once more");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        let handshake = Handshake::parse(&line).expect("it says so in a handshake");
        let certificate = handshake.certificate.expect("it says its certificate");
        let tls = Tls::new(&own, certificate).expect("the certificates make for TLS");

        let listener = Listener::bind(folder.path().join(OWN), Some(tls.clone())).expect("the socket is free");
        let server = Server::builder().add_service(BackendServer::new(Answers::AtOnce(host::SECRET)));
        tokio::spawn(server.serve_with_incoming(listener.incoming()));
        let channel = channel(&handshake.address, Some(&tls)).await.expect("the other side listens");
        let input = process.stdin.take();
        Self { client: BackendClient::new(channel), process, input, _folder: folder }
    }

    /// Returns what makes calls for this path, as a plugin would get them, and expects this answer.
    pub fn calls(&self, path: &str, expected: &'static str) -> impl Fn() -> Call + Clone + Send + 'static {
        let request = pb::Request {
            id: "b4ca4a1c-6c56-4b4e-9d9f-1d2a7a2f3a10".to_owned(),
            operation: "read".to_owned(),
            path: path.to_owned(),
            data: "{}".to_owned(),
            display_name: "bench".to_owned(),
            mount_point: "secrets/".to_owned(),
            mount_type: host::NAME.to_owned(),
            mount_accessor: format!("{}_0d0f6f0c", host::NAME),
            ..pb::Request::default()
        };
        let (client, request) = (self.client.clone(), Arc::new(request));
        move || call(client.clone(), Arc::clone(&request), expected)
    }
}

/// Ends the other side.
impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.process.wait());
    }
}

type Call = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn call(mut client: BackendClient<Channel>, request: Arc<pb::Request>, expected: &'static str) -> Call {
    Box::pin(async move {
        let args = HandleRequestArgs { storage_id: 0, request: Some((*request).clone()) };
        let reply = client.handle_request(args).await.expect("the other side answers").into_inner();
        assert!(reply.response.is_some_and(|response| response.data == expected));
    })
}

/// What a side answers with.
enum Answers {
    AtOnce(&'static str),
    /// A greeting at once; anything else it asks the side that started it.
    Asking(Box<Back>),
}

/// The way back to the side that started this one, made when it is first gone.
struct Back {
    folder: PathBuf,
    tls: Tls,
    client: OnceCell<BackendClient<Channel>>,
}

impl Answers {
    async fn answer(&self, request: HandleRequestArgs) -> Result<HandleRequestReply, Status> {
        let text = match self {
            Self::AtOnce(text) => text,
            Self::Asking(_) if request.request.as_ref().is_some_and(|asked| asked.path == host::GREETING_PATH) => {
                host::GREETING
            }
            Self::Asking(back) => {
                let path = request.request.map(|asked| asked.path).unwrap_or_default();
                let request = Some(pb::Request { path, ..pb::Request::default() });
                let mut client = back.client.get_or_try_init(|| back.dial()).await?.clone();
                let reply = client.handle_request(HandleRequestArgs { storage_id: 0, request }).await?;
                return Ok(reply.into_inner());
            }
        };
        let response = pb::Response { data: (*text).to_owned(), ..pb::Response::default() };
        Ok(HandleRequestReply { response: Some(response), err: None })
    }
}

impl Back {
    async fn dial(&self) -> Result<BackendClient<Channel>, Status> {
        let channel = channel(&self.folder.join(OWN), Some(&self.tls)).await;
        channel.map(BackendClient::new).map_err(|error| Status::unavailable(error.to_string()))
    }
}

/// Writes a service that answers requests, and has the protocol's other methods without knowing them.
macro_rules! requests_only {
    ($($other:ident: $args:ty => $reply:ty;)*) => {
        #[tonic::async_trait]
        impl Backend for Answers {
            async fn handle_request(
                &self,
                request: Request<HandleRequestArgs>,
            ) -> Result<Response<HandleRequestReply>, Status> {
                self.answer(request.into_inner()).await.map(Response::new)
            }

            $(async fn $other(&self, _: Request<$args>) -> Result<Response<$reply>, Status> {
                Err(Status::unimplemented("only requests are measured"))
            })*
        }
    };
}

requests_only! {
    special_paths: pb::Empty => pb::SpecialPathsReply;
    handle_existence_check: pb::HandleExistenceCheckArgs => pb::HandleExistenceCheckReply;
    cleanup: pb::Empty => pb::Empty;
    invalidate_key: pb::InvalidateKeyArgs => pb::Empty;
    setup: pb::SetupArgs => pb::SetupReply;
    initialize: pb::InitializeArgs => pb::InitializeReply;
    r#type: pb::Empty => pb::TypeReply;
}

/// Says whether this process is the other side.
pub fn is_other_side() -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == ROLE)
}

/// Serves until the process that started this one has no more to ask.
pub fn serve_other_side() {
    let variable = |name| std::env::var(name).expect("the process that started this one says it");
    let folder = PathBuf::from(variable(names::UNIX_SOCKET_DIR));
    let peer = certificate_from_pem(&variable(names::CLIENT_CERT)).expect("the certificate is one");
    let own = Identity::generate(LOCALHOST).expect("an identity can be made");
    let tls = Tls::new(&own, peer).expect("the certificates make for TLS");
    Runtime::new().expect("the runtime starts").block_on(async {
        let listener = Listener::bind(folder.join(OTHER), Some(tls.clone())).expect("the socket is free");
        let (version, address) = (names::PROTOCOL_AUTO_MTLS, listener.path().to_owned());
        println!("{}", Handshake { version, address, certificate: Some(own.certificate().clone()) });
        let service = BackendServer::new(Answers::Asking(Box::new(Back { folder, tls, client: OnceCell::new() })));
        let ended = async {
            drop(tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await);
        };
        tokio::select! {
            served = Server::builder().add_service(service).serve_with_incoming(listener.incoming()) => {
                served.expect("the socket works");
            }
            () = ended => {}
        }
    });
}
