//! A host's and a plugin's side against each other, over real sockets.

use std::path::Path;
use std::sync::Arc;

use cofferdam_proto::broker::{Broker, BrokerError};
use cofferdam_proto::messages::plugin::grpc_broker_server::GrpcBrokerServer;
use cofferdam_proto::tls::{Identity, LOCALHOST, Tls, certificate_from_pem};
use cofferdam_proto::transport::{Connection, Listener, channel, dial};
use tokio_stream::StreamExt;
use tonic::transport::Server;

/// The two sides of one launch.
fn pinned() -> (Tls, Tls) {
    let identity = || Identity::generate(LOCALHOST).expect("an identity can be made");
    let (host, plugin) = (identity(), identity());
    let host_certificate = certificate_from_pem(host.certificate_pem()).expect("its certificate can be read back");
    (
        Tls::new(&host, plugin.certificate().clone()).expect("the host's side"),
        Tls::new(&plugin, host_certificate).expect("the plugin's side"),
    )
}

fn socket(directory: &tempfile::TempDir) -> std::path::PathBuf {
    directory.path().join("socket")
}

/// Serves a broker to the first connection.
async fn serve_broker(path: &Path, tls: Option<Tls>) -> Arc<Broker> {
    let listener = Listener::bind(path.to_owned(), tls).expect("the socket is free");
    let (broker, service) = Broker::serve();
    tokio::spawn(async move {
        let connection: Connection = listener.accept().await.expect("somebody connects");
        let incoming = tokio_stream::once(Ok::<_, std::io::Error>(connection)).chain(tokio_stream::pending());
        Server::builder().add_service(GrpcBrokerServer::new(service)).serve_with_incoming(incoming).await
    });
    broker
}

#[tokio::test]
async fn numbers_lead_to_addresses_in_both_directions() {
    for with_tls in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (host_tls, plugin_tls) = pinned();
        let (host_tls, plugin_tls) = (with_tls.then_some(host_tls), with_tls.then_some(plugin_tls));
        let plugin = serve_broker(&socket(&directory), plugin_tls).await;
        let channel = channel(&socket(&directory), host_tls.as_ref()).await.expect("the plugin listens");
        let host = Broker::connect(channel);

        let (one, two) = (host.next_id(), host.next_id());
        assert_ne!(one, two);
        // Asked for before it is announced, and after.
        let asking = tokio::spawn({
            let plugin = Arc::clone(&plugin);
            async move { plugin.address_of(one).await }
        });
        host.announce(two, Path::new("/two")).await.unwrap();
        host.announce(one, Path::new("/one")).await.unwrap();
        assert_eq!(asking.await.unwrap().unwrap(), Path::new("/one"));
        assert_eq!(plugin.address_of(two).await.unwrap(), Path::new("/two"));
        plugin.announce(1, Path::new("/of-the-plugin")).await.unwrap();
        assert_eq!(host.address_of(1).await.unwrap(), Path::new("/of-the-plugin"));

        drop(host);
        plugin.ended().await;
        assert!(matches!(plugin.address_of(9).await, Err(BrokerError::Ended)));
    }
}

#[tokio::test]
async fn a_certificate_that_was_not_announced_is_refused_by_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let ((host_tls, plugin_tls), (stranger, _)) = (pinned(), pinned());
    let listener = Listener::bind(socket(&directory), Some(plugin_tls)).unwrap();
    let path = socket(&directory);

    let (accepted, dialed) = tokio::join!(listener.accept(), dial(&path, Some(&host_tls)));
    assert!(accepted.is_ok() && dialed.is_ok(), "those who were announced to each other");
    let (accepted, dialed) = tokio::join!(listener.accept(), dial(&path, Some(&stranger)));
    assert!(accepted.is_err() && dialed.is_err(), "a stranger is neither let in nor lets itself be fooled");
    let clear = async { dial(&path, None).await.map(drop) };
    let (accepted, _) = tokio::join!(listener.accept(), clear);
    assert!(accepted.is_err(), "nobody speaks in the clear");
}

#[tokio::test]
async fn a_listener_with_few_places_is_nobodys_to_block() {
    /// Who says nothing, more than there are places.
    const SILENT: usize = 5;
    let directory = tempfile::tempdir().unwrap();
    let (host_tls, plugin_tls) = pinned();
    let path = socket(&directory);
    let mut incoming = Listener::bind(path.clone(), Some(plugin_tls)).unwrap().incoming_at_most(1);
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(tokio::net::UnixStream::connect(&path).await.unwrap());
    }
    // Whoever holds the key gets in, and only so many of them.
    let (first, one) = tokio::join!(incoming.next(), dial(&path, Some(&host_tls)));
    let (first, _one) = (first.unwrap().unwrap(), one.unwrap());
    let beyond = async {
        let mut two = dial(&path, Some(&host_tls)).await.unwrap();
        let mut nothing = [0];
        tokio::io::AsyncReadExt::read(&mut two, &mut nothing).await.unwrap_or(0)
    };
    let read = tokio::select! {
        read = beyond => read,
        _ = incoming.next() => panic!("there is one place"),
    };
    assert_eq!(read, 0, "it is hung up on");
    // When that one ends, another gets its place.
    drop(first);
    let (next, again) = tokio::join!(incoming.next(), dial(&path, Some(&host_tls)));
    assert!(next.unwrap().is_ok() && again.is_ok());
}
