//! One request to a native plugin, against gRPC without a host around it; and the same plugin in a sandbox, against it
//! as a process.
//!
//! Requests come from tasks of the runtime, as in a server. A greeting is one call. A read is two, one inside the
//! other: the plugin asks the host for what is stored.

use std::time::Duration;

use cofferdam::request::Request;
use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy};

use crate::support::grpc::Bare;
use crate::support::host::{GREETING, GREETING_PATH, PATH, Plugin, SECRET};
use crate::support::table::{Figure, Row};
use crate::support::{Bench, guests, host, on_tasks};

const MOUNT: &str = "secrets";

/// Requests at a time, where throughput is measured.
const AT_A_TIME: u64 = 64;

/// How much more than gRPC itself one request may cost.
const OVER_BARE: f64 = 1.3;

/// How much faster than in a process the plugin is to answer in a sandbox that is there already.
const WARM_OVER_NATIVE: f64 = 20.0;

/// What a request in a fresh sandbox may cost of what the way to a process costs alone.
const FRESH_OVER_HOP: f64 = 1.0 / 3.0;

/// The plugins as processes, in folders of their own.
const PASSTHROUGH: &str = "passthrough-native";
const HELLO: &str = "hello-native";

pub fn measure(bench: &mut Bench) {
    if !bench.wants("native") {
        return;
    }
    let folder = build();
    let greeter = mounted(bench, &Plugin { folder: folder.clone(), file: HELLO }, InstancePolicy::PerMount);
    let reader = mounted(bench, &passthrough(), InstancePolicy::PerMount);
    bench.runtime.block_on(host::store_secret(&reader, MOUNT));
    let bare = bench.runtime.block_on(Bare::start());
    against_bare(bench, &bare, &greeter, &reader);
    against_sandbox(bench, &bare, &greeter, &reader);
    bench.runtime.block_on(async { tokio::join!(greeter.shutdown(), reader.shutdown()) });
}

/// Returns the same plugin as the component is, as a process.
pub fn passthrough() -> Plugin {
    Plugin { folder: build(), file: PASSTHROUGH }
}

fn build() -> std::path::PathBuf {
    let built = guests::build_native_released("guest-examples", &[HELLO, PASSTHROUGH]);
    built.unwrap_or_else(|why| panic!("{why}"))
}

/// What a host and a plugin add to gRPC.
fn against_bare(bench: &mut Bench, bare: &Bare, greeter: &Host, reader: &Host) {
    let bare_greeting = bare.calls(GREETING_PATH, GREETING);
    let bare_read = bare.calls(PATH, SECRET);
    let greeting = asks(greeter, host::greet(MOUNT), GREETING);
    let read = asks(reader, host::read(MOUNT), SECRET);
    let one = "one bare call";
    compare(bench, "native, a greeting", 1, &bare_greeting, &greeting, |theirs, ours| {
        let row = Row::new("a request to a native plugin that stores nothing", Figure::Time(ours));
        row.against(one, Figure::Time(theirs)).ratio_at_most(OVER_BARE)
    });
    compare(bench, "native, a read", 1, &bare_read, &read, |theirs, ours| {
        let row = Row::new("a request to a native plugin that reads one entry", Figure::Time(ours));
        row.against("two bare calls, nested", Figure::Time(theirs)).ratio_at_most(OVER_BARE)
    });
    compare(bench, "native, greetings at once", AT_A_TIME, &bare_greeting, &greeting, |theirs, ours| {
        let row = Row::new(format!("the first of these, {AT_A_TIME} at a time"), Figure::rate(ours));
        row.against("bare calls", Figure::rate(theirs))
    });
    compare(bench, "native, reads at once", AT_A_TIME, &bare_read, &read, |theirs, ours| {
        let row = Row::new(format!("the second of these, {AT_A_TIME} at a time"), Figure::rate(ours));
        row.against("two bare calls, nested", Figure::rate(theirs))
    });
}

/// What a sandbox saves.
fn against_sandbox(bench: &mut Bench, bare: &Bare, greeter: &Host, reader: &Host) {
    let warm = mounted(bench, &bench.component, InstancePolicy::PerMount);
    let fresh = mounted(bench, &bench.component, InstancePolicy::PerRequest);
    for host in [&warm, &fresh] {
        bench.runtime.block_on(host::store_secret(host, MOUNT));
    }
    let [warm, fresh] = [&warm, &fresh].map(|host| asks(host, host::read(MOUNT), SECRET));
    let greeting = asks(greeter, host::greet(MOUNT), GREETING);
    let read = asks(reader, host::read(MOUNT), SECRET);
    compare(bench, "native, or in a warm sandbox", 1, &read, &warm, |native, warm| {
        let row = Row::new("reads in a warm sandbox, one at a time", Figure::rate(warm));
        row.against("native, reading as well", Figure::rate(native)).ratio_at_least(WARM_OVER_NATIVE)
    });
    compare(bench, "native, or in a fresh sandbox", 1, &greeting, &fresh, |native, fresh| {
        let row = Row::new("reads in a fresh sandbox, one at a time", Figure::rate(fresh));
        row.against("native, storing nothing", Figure::rate(native)).ratio_at_least(1.0)
    });
    let hop = bare.calls(GREETING_PATH, GREETING);
    compare(bench, "native, a hop or a fresh sandbox", 1, &hop, &fresh, |hop, fresh| {
        let row = Row::new("a read in a fresh sandbox, against the hop alone", Figure::Time(fresh));
        row.against("one bare call", Figure::Time(hop)).ratio_at_most(FRESH_OVER_HOP)
    });
}

fn compare<T, O>(
    bench: &mut Bench,
    name: &str,
    at_a_time: u64,
    theirs: &(impl Fn() -> T + Clone + Send + 'static),
    ours: &(impl Fn() -> O + Clone + Send + 'static),
    row: impl FnOnce(Duration, Duration) -> Row,
) where
    T: Future<Output = ()> + Send,
    O: Future<Output = ()> + Send,
{
    let runtime = bench.runtime.handle().clone();
    bench.compare_turns(
        name,
        |turns| on_tasks(&runtime, turns, at_a_time, theirs),
        |turns| on_tasks(&runtime, turns, at_a_time, ours),
        row,
    );
}

/// Returns what asks a host, and expects this answer.
fn asks(
    host: &Host,
    request: Request,
    expected: &'static str,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Clone + Send + use<> {
    let host = host.clone();
    move || {
        let (host, request) = (host.clone(), request.clone());
        Box::pin(async move { host::answer_with(&host, request, expected).await })
    }
}

fn mounted(bench: &Bench, plugin: &Plugin, instances: InstancePolicy) -> Host {
    bench.runtime.block_on(async {
        let host = host::with_plugin(plugin, MemoryStorage::new(), instances).await;
        host::enable(&host, MOUNT).await;
        host
    })
}
