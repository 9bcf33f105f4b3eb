//! One read over connections that stay open, against an axum handler that answers the same bytes without a host behind
//! it.
//!
//! Each server has a runtime of its own, with a thread for each core as a program's would; the client has one thread.

use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use cofferdam::http::{Listener, ListenerLimits, serve};
use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy};
use tokio::runtime::{Builder, Runtime};

use crate::support::client::{Connection, ask_all};
use crate::support::table::{Figure, Row};
use crate::support::{Bench, host};

const MOUNT: &str = "secrets";

pub fn measure(bench: &mut Bench) {
    let path = format!("/v1/{MOUNT}/{}", host::PATH);
    let ours = Runtime::new().expect("the runtime starts");
    let (cofferdam, token) = ours.block_on(serve_host(bench));
    let client = Builder::new_current_thread().enable_io().build().expect("the runtime starts");
    let body = client.block_on(async { Connection::open(cofferdam, &path, &token).await.body().to_vec() });
    let theirs = Runtime::new().expect("the runtime starts");
    let bare = theirs.block_on(serve_bare(body.into()));
    for connections in [1, 16] {
        let open = async |server| {
            let opening = (0..connections).map(|_| Connection::open(server, &path, &token));
            futures_util::future::join_all(opening).await
        };
        let (mut to_bare, mut to_host) = client.block_on(async { (open(bare).await, open(cofferdam).await) });
        bench.compare_turns(
            &format!("http, connections: {connections}"),
            |turns| client.block_on(ask_all(&mut to_bare, turns)),
            |turns| client.block_on(ask_all(&mut to_host, turns)),
            |theirs, ours| {
                let what = format!("reads over HTTP, connections: {connections}");
                Row::new(what, Figure::rate(ours)).against("bare axum", Figure::rate(theirs)).ratio_at_least(0.6)
            },
        );
    }
    ours.shutdown_background();
    theirs.shutdown_background();
}

/// Serves a host on a port of its own, as `cofferdam server` does, and returns the address and a token.
pub async fn serve_mounts(host: Host) -> (SocketAddr, String) {
    let mut token = String::new();
    let shown = |made: &str| {
        made.clone_into(&mut token);
        Ok(())
    };
    assert!(host.create_root_token(shown).await.expect("the storage works"), "the host has no token yet");
    let (tcp, address) = port();
    let listener = Listener { socket: tcp.into(), tls: None, limits: ListenerLimits::from(host.limits()) };
    tokio::spawn(serve(host, vec![listener], std::future::pending()));
    (address, token)
}

async fn serve_host(bench: &Bench) -> (SocketAddr, String) {
    let host = host::with_plugin(&bench.component, MemoryStorage::new(), InstancePolicy::PerMount).await;
    host::enable(&host, MOUNT).await;
    host::store_secret(&host, MOUNT).await;
    serve_mounts(host).await
}

async fn serve_bare(json: Bytes) -> SocketAddr {
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], json) };
    let router = Router::new().route("/v1/{*path}", get(answer));
    let (tcp, address) = port();
    let listener = tokio::net::TcpListener::from_std(tcp).expect("the listener does not block");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn port() -> (TcpListener, SocketAddr) {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    tcp.set_nonblocking(true).expect("a listener can be told not to block");
    let address = tcp.local_addr().expect("a bound listener has an address");
    (tcp, address)
}
