//! Ten thousand mounts of one plugin: enabling them, what they take while idle, listing and finding them, starting
//! again.

use std::path::Path;
use std::time::{Duration, Instant};

use cofferdam::request::Request;
use cofferdam::storage::{DurableStorage, MemoryStorage};
use cofferdam::{Host, InstancePolicy};
use futures_util::StreamExt;

use crate::http::serve_mounts;
use crate::support::client::Connection;
use crate::support::table::{Figure, Row};
use crate::support::{Bench, host, median};

const MANY: usize = 10_000;
const FEW: usize = 10;

/// Mounts that are enabled at a time in a store on disk, where each waits for the disk.
const AT_A_TIME: usize = 64;

/// Times that a listing is asked for.
const LISTINGS: usize = 15;

/// The mount that is asked.
const MOUNT: &str = "mounts/7";

pub fn measure(bench: &mut Bench) {
    if bench.wants("mounts") {
        let host = in_memory(bench);
        calling(bench, &host);
        listing(bench, &host);
        finding(bench, &host);
        on_disk(bench);
    }
}

/// Enables many mounts one after the other, and says what time and memory one takes.
fn in_memory(bench: &mut Bench) -> Host {
    let host = bench.runtime.block_on(async {
        let host = host::with_plugin(&bench.component, MemoryStorage::new(), InstancePolicy::PerMount).await;
        enable(&host, 0..FEW, 1).await;
        host
    });
    let before = private_bytes();
    let begun = Instant::now();
    bench.runtime.block_on(enable(&host, FEW..MANY, 1));
    let (time, bytes) = (begun.elapsed(), private_bytes() - before);
    let mounts = (MANY - FEW) as f64;
    bench.row(Row::new("10,000 mounts in memory: to enable one", Figure::Time(time.div_f64(mounts))));
    let memory = Row::new("10,000 mounts in memory: memory of one, idle", Figure::Bytes(bytes / mounts));
    bench.row(memory.at_most(Figure::Bytes(4.0 * 1024.0)));
    host
}

/// Calls each of many mounts once. Each needs an instance, and more are called than may live at a time.
fn calling(bench: &mut Bench, host: &Host) {
    let before = private_bytes();
    let begun = Instant::now();
    bench.runtime.block_on(async {
        for number in 0..MANY {
            let nothing = host.handle(host::read(&format!("mounts/{number}"))).await;
            assert!(nothing.is_ok(), "mount {number} answers: {nothing:?}");
        }
    });
    let (time, bytes) = (begun.elapsed(), private_bytes() - before);
    let mounts = MANY as f64;
    bench.row(Row::new("10,000 mounts, each called once: a call", Figure::Time(time.div_f64(mounts))));
    bench.row(Row::new("10,000 mounts, each called once: memory of one", Figure::Bytes(bytes / mounts)));
}

/// Lists many mounts, for an embedder and over HTTP.
fn listing(bench: &mut Bench, host: &Host) {
    let goal = Figure::Time(Duration::from_millis(100));
    let mut times: Vec<Duration> = (0..LISTINGS)
        .map(|_| {
            let begun = Instant::now();
            // Those that were enabled, and `sys/`.
            assert_eq!(host.mounts().len(), MANY + 1);
            begun.elapsed()
        })
        .collect();
    bench.row(Row::new("10,000 mounts: Host::mounts", Figure::Time(median(&mut times))).at_most(goal));
    let mut times = bench.runtime.block_on(async {
        let (server, token) = serve_mounts(host.clone(), None).await;
        let mut connection = Connection::open(server, None, "/v1/sys/mounts", &token).await;
        let mut times = Vec::new();
        for _ in 0..LISTINGS {
            let begun = Instant::now();
            connection.ask().await;
            times.push(begun.elapsed());
        }
        times
    });
    bench.row(Row::new("10,000 mounts: GET sys/mounts", Figure::Time(median(&mut times))).at_most(goal));
}

/// Looks for the mount of a path that has none, among many and among few.
fn finding(bench: &mut Bench, many: &Host) {
    let few = bench.runtime.block_on(async {
        let few = host::with_plugin(&bench.component, MemoryStorage::new(), InstancePolicy::PerMount).await;
        enable(&few, 0..FEW, 1).await;
        few
    });
    let nowhere: Request = host::read("mounts/nowhere");
    bench.compare(
        "mounts, finding none",
        async || assert!(few.handle(nowhere.clone()).await.is_err()),
        async || assert!(many.handle(nowhere.clone()).await.is_err()),
        |among_few, among_many| {
            let row = Row::new("10,000 mounts: to find that a path has none", Figure::Time(among_many));
            row.against("among 10", Figure::Time(among_few)).ratio_at_most(2.0)
        },
    );
}

/// Enables many mounts in a store on disk, and starts the host again.
fn on_disk(bench: &mut Bench) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
    let file = folder.path().join("store");
    let (enabled, first, all) = bench.runtime.block_on(async {
        let host = host::with_plugin(&bench.component, open(&file), InstancePolicy::PerMount).await;
        let begun = Instant::now();
        enable(&host, 0..MANY, AT_A_TIME).await;
        let enabled = begun.elapsed();
        host::store_secret(&host, MOUNT).await;
        host.shutdown().await;
        drop(host);

        let begun = Instant::now();
        let host = host::new(&bench.component, open(&file)).await;
        host::answer(&host, host::read(MOUNT)).await;
        let first = begun.elapsed();
        host.started().await;
        (enabled, first, begun.elapsed())
    });
    let each = Figure::Time(enabled.div_f64(MANY as f64));
    bench.row(Row::new(format!("10,000 mounts on disk: to enable one, {AT_A_TIME} at a time"), each));
    bench.row(Row::new("10,000 mounts on disk: restart to first answer", Figure::Time(first)));
    bench.row(Row::new("10,000 mounts on disk: restart until all have started", Figure::Time(all)));
}

async fn enable(host: &Host, numbers: std::ops::Range<usize>, at_a_time: usize) {
    let mounts = futures_util::stream::iter(numbers);
    mounts.for_each_concurrent(at_a_time, async |number| host::enable(host, &format!("mounts/{number}")).await).await;
}

fn open(file: &Path) -> DurableStorage {
    DurableStorage::open(file).expect("the store opens")
}

/// Returns how much memory the process has to itself. The component's image is left out: all sandboxes map the same
/// pages of it, and the kernel counts them once for each.
fn private_bytes() -> f64 {
    const PAGE_BYTES: f64 = 4096.0;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells what a process takes");
    let pages: Vec<f64> = statm.split(' ').filter_map(|pages| pages.parse().ok()).collect();
    let [_, resident, shared, ..] = pages[..] else { panic!("the numbers are fewer than Linux documents: {statm}") };
    (resident - shared) * PAGE_BYTES
}
