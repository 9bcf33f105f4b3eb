//! One request to a sandbox, against wasmtime without a host around it. Both make the same calls of the same component,
//! and get their request anew each time.

use std::time::{Duration, Instant};

use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy};

use crate::support::raw::{self, Body, Operation, Raw};
use crate::support::table::{Figure, Row};
use crate::support::{Bench, guests, host, median};

const MOUNT: &str = "secrets";

/// What a host may add to one request.
const ADDED_MAX: Duration = Duration::from_micros(1);

/// Times that a plugin is registered.
const REGISTRATIONS: usize = 7;

pub fn measure(bench: &mut Bench) {
    let engine = raw::engine();
    let raw = Raw::new(&engine, &bench.component.path(), host::PATH, host::SECRET);
    fresh(bench, &raw);
    warm(bench, &raw);
    written(bench);
    if bench.wants("registration") {
        registration(bench, &engine);
    }
}

/// A sandbox of its own for each request, which reads one storage entry.
fn fresh(bench: &mut Bench, raw: &Raw) {
    let host = mounted(bench, InstancePolicy::PerRequest);
    let request = host::read(MOUNT);
    bench.compare(
        "fresh sandbox",
        async || answer(&mut raw.sandbox().await).await,
        async || host::answer(&host, request.clone()).await,
        |theirs, ours| against_raw("a request in a fresh sandbox", theirs, ours).ratio_at_most(1.3),
    );
}

/// A sandbox that is there already.
fn warm(bench: &mut Bench, raw: &Raw) {
    let mut sandbox = bench.runtime.block_on(raw.sandbox());
    let host = mounted(bench, InstancePolicy::PerMount);
    let request = host::read(MOUNT);
    let mut more = None;
    bench.compare(
        "warm sandbox",
        async || answer(&mut sandbox).await,
        async || host::answer(&host, request.clone()).await,
        |theirs, ours| {
            more = Some(ours.saturating_sub(theirs));
            against_raw("a request in a warm sandbox", theirs, ours).ratio_at_most(1.5)
        },
    );
    if let Some(more) = more {
        let row = Row::new("a request in a warm sandbox: what the host adds", Figure::Time(more));
        bench.row(row.at_most(Figure::Time(ADDED_MAX)));
    }
}

/// A write that stores one value, against a read of it.
fn written(bench: &mut Bench) {
    if !bench.wants("write") {
        return;
    }
    let folder = guests::build("tests/guests").unwrap_or_else(|why| panic!("{why}"));
    let plugin = host::Plugin { folder, file: "shelf.wasm" };
    let host = bench.runtime.block_on(async {
        let host = host::with_plugin(&plugin, MemoryStorage::new(), InstancePolicy::PerMount).await;
        host::enable(&host, MOUNT).await;
        host
    });
    let write = host::write_path(MOUNT, "plain/a");
    bench.runtime.block_on(async { host.handle(write.clone()).await.expect("the value is stored") });
    let read = host::read_path(MOUNT, "plain/a");
    bench.compare(
        "write",
        async || host::answer(&host, read.clone()).await,
        async || drop(host.handle(write.clone()).await.expect("the value is stored")),
        |read, write| {
            let row = Row::new("a write that stores one value in memory", Figure::Time(write));
            row.against("a read", Figure::Time(read)).ratio_at_most(1.3)
        },
    );
}

/// From a file to its first answer: checked, compiled, linked, mounted.
fn registration(bench: &mut Bench, engine: &wasmtime::Engine) {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..REGISTRATIONS {
        theirs.push(bench.runtime.block_on(async {
            let begun = Instant::now();
            let raw = Raw::new(engine, &bench.component.path(), host::PATH, host::SECRET);
            answer(&mut raw.sandbox().await).await;
            begun.elapsed()
        }));
        ours.push(bench.runtime.block_on(async {
            let host = host::new(&bench.component, MemoryStorage::new()).await;
            let begun = Instant::now();
            host::register(&host, &bench.component, InstancePolicy::PerMount).await;
            host::enable(&host, MOUNT).await;
            host::store_secret(&host, MOUNT).await;
            host::answer(&host, host::read(MOUNT)).await;
            begun.elapsed()
        }));
    }
    bench.row(against_raw("from registration to the first answer", median(&mut theirs), median(&mut ours)));
}

fn against_raw(what: &str, theirs: Duration, ours: Duration) -> Row {
    Row::new(what, Figure::Time(ours)).against("raw wasmtime", Figure::Time(theirs))
}

fn mounted(bench: &Bench, instances: InstancePolicy) -> Host {
    bench.runtime.block_on(async {
        let host = host::with_plugin(&bench.component, MemoryStorage::new(), instances).await;
        host::enable(&host, MOUNT).await;
        host::store_secret(&host, MOUNT).await;
        host
    })
}

async fn answer(sandbox: &mut raw::Sandbox) {
    let request = raw::Request {
        id: "b4ca4a1c-6c56-4b4e-9d9f-1d2a7a2f3a10".to_owned(),
        operation: Operation::Read,
        path: host::PATH.to_owned(),
        data: Vec::new(),
        lease: None,
    };
    assert!(matches!(sandbox.handle(request).await, Body::Data(data) if data == host::SECRET.as_bytes()));
}
