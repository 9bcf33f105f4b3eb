//! Plugins that make the host keep as much as it lets: what one process asks has a bound, whichever of its mounts it
//! asks for.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cofferdam_proto::messages::pb;
use cofferdam_proto::messages::pb::storage_client::StorageClient;
use cofferdam_proto::transport;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http_body::Frame;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Channel;

use super::*;
use crate::limits::Limits;
use crate::runtime::double;

/// What the host may keep for one process.
const HOST_BYTES: usize = 256 << 10;

const VALUE_BYTES: usize = 32 << 10;

/// Nothing that has to happen takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mount of a process, as the process sees it.
struct Mount {
    channel: Channel,
    client: StorageClient<Channel>,
    _callbacks: Callbacks,
    _directory: tempfile::TempDir,
}

fn room() -> Room {
    Room::new(HOST_BYTES, "process_host_bytes_max")
}

impl Mount {
    /// Mounts a process that has this room.
    async fn of(room: &Room) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1");
        let message_bytes_max = Limits::default().process_message_bytes_max;
        let scope = Arc::new(double::scope());
        let callbacks = Callbacks::listen(&scope, path.clone(), None, room, message_bytes_max).unwrap();
        callbacks.open().await;
        let channel = transport::channel(&path, None).await.unwrap();
        let client = StorageClient::new(channel.clone());
        Self { channel, client, _callbacks: callbacks, _directory: directory }
    }

    /// Stores a value, or returns why it is not stored.
    async fn put(&mut self, key: &str, txn: &str) -> Result<(), String> {
        let entry = pb::StorageEntry { key: key.to_owned(), value: vec![b'v'; VALUE_BYTES].into(), seal_wrap: false };
        match self.client.put(pb::StoragePutArgs { entry: Some(entry), txn: txn.to_owned() }).await {
            Ok(reply) => Some(reply.into_inner().err).filter(|err| !err.is_empty()).map_or(Ok(()), Err),
            Err(status) => Err(status.message().to_owned()),
        }
    }

    async fn begin(&mut self) -> String {
        self.client.begin_tx(pb::Empty {}).await.unwrap().into_inner().txn
    }

    /// Asks something, says so much of it, and never the rest. Returns what it is answered nevertheless.
    async fn ask_without_end(&self, bytes: usize) -> http::Response<Body> {
        let mut said = vec![0];
        said.extend(u32::try_from(bytes * 2).unwrap().to_be_bytes());
        said.resize(bytes, b'x');
        let request = http::Request::post("/pb.Storage/Put").header("content-type", "application/grpc");
        let request = request.body(Body::new(Endless(Some(said.into())))).unwrap();
        let mut channel = self.channel.clone();
        poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        channel.call(request).await.unwrap()
    }
}

/// What begins, and never ends.
struct Endless(Option<Bytes>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |said| Poll::Ready(Some(Ok(Frame::data(said)))))
    }
}

/// Waits for what must happen.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not hang")
}

async fn all_is_free(room: &Room) {
    within(async {
        while room.free() < HOST_BYTES {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn transactions_of_all_mounts_of_a_process_come_out_of_one_bound() {
    let room = room();
    let (mut one, mut two, mut neighbour) =
        (Mount::of(&room).await, Mount::of(&room).await, Mount::of(&self::room()).await);
    let txn = one.begin().await;
    let mut stored = 0;
    let refused = loop {
        match within(one.put(&stored.to_string(), &txn)).await {
            Ok(()) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert!(stored > 0 && stored * VALUE_BYTES <= HOST_BYTES, "{stored} values are kept");
    assert!(refused.contains("process_host_bytes_max"), "{refused}");
    let refused = within(two.put("a", "")).await.expect_err("the other mount is of the same process");
    assert!(refused.contains("process_host_bytes_max"), "{refused}");
    assert_eq!(within(neighbour.put("a", "")).await, Ok(()));
    one.client.rollback(pb::StorageRollbackTxArgs { txn }).await.unwrap();
    all_is_free(&room).await;
    assert_eq!(within(two.put("a", "")).await, Ok(()));
}

#[tokio::test]
async fn questions_without_end_are_refused_beyond_the_bound() {
    const ASKED: usize = 20;
    let room = room();
    let (mut bad, mut neighbour) = (Mount::of(&room).await, Mount::of(&self::room()).await);
    // So many of them fit at most.
    let fit = HOST_BYTES / (2 * VALUE_BYTES);
    {
        let mut asked: FuturesUnordered<_> = (0..ASKED).map(|_| bad.ask_without_end(2 * VALUE_BYTES)).collect();
        for _ in fit..ASKED {
            let refused = within(asked.next()).await.expect("it is asked");
            assert_eq!(refused.headers()["grpc-status"], "8", "{refused:?}");
        }
        assert_eq!(within(neighbour.put("a", "")).await, Ok(()));
    }
    all_is_free(&room).await;
    assert_eq!(within(bad.put("a", "")).await, Ok(()));
}

#[tokio::test]
async fn what_is_answered_comes_out_of_the_bound_and_goes_back() {
    let room = room();
    let mut mount = Mount::of(&room).await;
    mount.put("a", "").await.unwrap();
    for _ in 0..3 * HOST_BYTES / VALUE_BYTES {
        let args = pb::StorageGetArgs { key: "a".to_owned(), txn: String::new() };
        let reply = mount.client.get(args).await.unwrap().into_inner();
        assert_eq!((reply.entry.map(|entry| entry.value.len()), reply.err), (Some(VALUE_BYTES), String::new()));
        let args = pb::StorageListArgs { prefix: String::new(), txn: String::new() };
        assert_eq!(mount.client.list(args).await.unwrap().into_inner().keys, ["a"]);
    }
    all_is_free(&room).await;
    let all = room.take(HOST_BYTES - 100).unwrap();
    let args = pb::StorageGetArgs { key: "a".to_owned(), txn: String::new() };
    let refused = mount.client.get(args).await.unwrap().into_inner().err;
    assert!(refused.contains("process_host_bytes_max"), "{refused}");
    drop(all);
}
