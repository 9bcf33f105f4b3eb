//! One read over connections that stay open, against an axum handler that answers the same bytes without a host behind
//! it; with TLS, against the same with TLS; in a fresh sandbox, and built in, against a warm one.
//!
//! Each server has a runtime of its own; the client has one thread, and a core for itself.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use cofferdam::http::{Listener, ListenerLimits, serve};
use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;

use crate::support::client::{Connection, ask_all};
use crate::support::table::{Figure, Row};
use crate::support::tls::{Certificate, TlsListener};
use crate::support::{Bench, cores, host};

const MOUNT: &str = "secrets";

pub fn measure(bench: &mut Bench) {
    cores::bind_client();
    let certificate = Certificate::new();
    plain(bench, None);
    plain(bench, Some(&certificate));
    fresh(bench);
    built_in(bench);
}

/// A server on a runtime of its own, and where what is asked of it is.
struct Server {
    runtime: Runtime,
    address: SocketAddr,
    token: String,
    path: String,
}

impl Server {
    fn of_host(host: impl Future<Output = Host>, path: String, certificate: Option<&Certificate>) -> Self {
        let runtime = cores::server();
        let (address, token) = runtime.block_on(async { serve_mounts(host.await, certificate).await });
        Self { runtime, address, token, path }
    }

    async fn open(&self, connections: usize, tls: Option<&TlsConnector>) -> Vec<Connection> {
        let opening = (0..connections).map(|_| Connection::open(self.address, tls, &self.path, &self.token));
        futures_util::future::join_all(opening).await
    }
}

/// Compares what two servers answer over so many connections.
fn compare(
    bench: &mut Bench,
    name: &str,
    connections: usize,
    certificate: Option<&Certificate>,
    [theirs, ours]: [&Server; 2],
    row: impl FnOnce(Duration, Duration) -> Row,
) {
    let client = Builder::new_current_thread().enable_io().build().expect("the runtime starts");
    let tls = certificate.map(Certificate::connector);
    let (mut to_theirs, mut to_ours) = client
        .block_on(async { (theirs.open(connections, tls.as_ref()).await, ours.open(connections, tls.as_ref()).await) });
    bench.compare_turns(
        name,
        |turns| client.block_on(ask_all(&mut to_theirs, turns)),
        |turns| client.block_on(ask_all(&mut to_ours, turns)),
        row,
    );
}

/// A read in a warm sandbox, against axum alone.
fn plain(bench: &mut Bench, certificate: Option<&Certificate>) {
    let with = if certificate.is_some() { " with TLS" } else { "" };
    if !bench.wants(&format!("http{with}")) {
        return;
    }
    let ours = sandboxed(bench, InstancePolicy::PerMount, certificate);
    let client = Builder::new_current_thread().enable_io().build().expect("the runtime starts");
    let tls = certificate.map(Certificate::connector);
    let body = client.block_on(async { ours.open(1, tls.as_ref()).await[0].body().to_vec() });
    let theirs = bare(body.into(), ours.path.clone(), certificate);
    let yardstick = if certificate.is_some() { "bare axum with TLS" } else { "bare axum" };
    for connections in [1, 16] {
        let name = format!("http{with}, connections: {connections}");
        compare(bench, &name, connections, certificate, [&theirs, &ours], |theirs, ours| {
            let what = format!("reads over HTTP{with}, connections: {connections}");
            Row::new(what, Figure::rate(ours)).against(yardstick, Figure::rate(theirs)).ratio_at_least(0.6)
        });
    }
    theirs.runtime.shutdown_background();
    ours.runtime.shutdown_background();
}

/// A read in a sandbox that is made for it, against one in a warm sandbox.
fn fresh(bench: &mut Bench) {
    if !bench.wants("http, fresh sandbox") {
        return;
    }
    let warm = sandboxed(bench, InstancePolicy::PerMount, None);
    let fresh = sandboxed(bench, InstancePolicy::PerRequest, None);
    compare(bench, "http, fresh sandbox", 16, None, [&warm, &fresh], |warm, fresh| {
        let row = Row::new("a read over HTTP in a fresh sandbox, connections: 16", Figure::Time(fresh));
        row.against("warm, over HTTP", Figure::Time(warm)).ratio_at_most(1.8)
    });
    warm.runtime.shutdown_background();
    fresh.runtime.shutdown_background();
}

/// The same plugin built in, against itself in the sandbox.
fn built_in(bench: &mut Bench) {
    if !bench.wants("http, built in") {
        return;
    }
    let component = host::Plugin { folder: bench.component.folder.clone(), file: "kv_plugin.wasm" };
    let in_sandbox = async {
        let host = host::with_plugin(&component, MemoryStorage::new(), InstancePolicy::PerMount).await;
        host::enable(&host, MOUNT).await;
        host::store_secret(&host, MOUNT).await;
        host
    };
    let inside = async {
        let host = Host::builder().storage(MemoryStorage::new()).shipped_plugins().build().await;
        let host = host.expect("the host starts");
        host::enable_as(&host, "kv", MOUNT).await;
        host::store_secret(&host, MOUNT).await;
        host
    };
    let path = format!("/v1/{MOUNT}/{}", host::PATH);
    let sandbox = Server::of_host(in_sandbox, path.clone(), None);
    let inside = Server::of_host(inside, path, None);
    for connections in [1, 16] {
        let name = format!("http, built in, connections: {connections}");
        compare(bench, &name, connections, None, [&sandbox, &inside], |sandbox, inside| {
            let what = format!("reads over HTTP of built-in kv, connections: {connections}");
            let row = Row::new(what, Figure::rate(inside));
            row.against("the same as a component", Figure::rate(sandbox)).ratio_at_least(1.0)
        });
    }
    sandbox.runtime.shutdown_background();
    inside.runtime.shutdown_background();
}

/// Serves a host on a port of its own, as `cofferdam server` does, and returns the address and a token.
pub async fn serve_mounts(host: Host, certificate: Option<&Certificate>) -> (SocketAddr, String) {
    let mut token = String::new();
    let shown = |made: &str| {
        made.clone_into(&mut token);
        Ok(())
    };
    assert!(host.create_root_token(shown).await.expect("the storage works"), "the host has no token yet");
    let (tcp, address) = port();
    let tls = certificate.map(Certificate::store);
    let listener = Listener { socket: tcp.into(), tls, limits: ListenerLimits::from(host.limits()) };
    tokio::spawn(serve(host, vec![listener], std::future::pending()));
    (address, token)
}

fn sandboxed(bench: &Bench, instances: InstancePolicy, certificate: Option<&Certificate>) -> Server {
    let host = async {
        let host = host::with_plugin(&bench.component, MemoryStorage::new(), instances).await;
        host::enable(&host, MOUNT).await;
        host::store_secret(&host, MOUNT).await;
        host
    };
    Server::of_host(host, format!("/v1/{MOUNT}/{}", host::PATH), certificate)
}

fn bare(json: Bytes, path: String, certificate: Option<&Certificate>) -> Server {
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], json) };
    let router = Router::new().route("/v1/{*path}", get(answer));
    let runtime = cores::server();
    let (tcp, address) = port();
    let acceptor = certificate.map(Certificate::acceptor);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(tcp).expect("the listener does not block");
        match acceptor {
            Some(acceptor) => axum::serve(TlsListener { listener, acceptor }, router).await,
            None => axum::serve(listener, router).await,
        }
    });
    Server { runtime, address, token: String::new(), path }
}

fn port() -> (TcpListener, SocketAddr) {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    tcp.set_nonblocking(true).expect("a listener can be told not to block");
    let address = tcp.local_addr().expect("a bound listener has an address");
    (tcp, address)
}
