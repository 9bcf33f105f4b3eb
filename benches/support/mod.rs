//! What the measurements share: how a time is taken, the table, the plugin, a host, raw wasmtime, bare gRPC and an HTTP
//! client.

pub mod chart;
pub mod client;
pub mod cores;
#[path = "../../tests/support/go.rs"]
pub mod go;
pub mod grpc;
#[path = "../../tests/support/guests.rs"]
pub mod guests;
pub mod host;
pub mod raw;
pub mod table;
pub mod tls;

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::{Handle, Runtime};

use host::Plugin;
use table::{Row, Table};

/// Asks for the table and its charts to be written into `docs/`, when it is set.
const DOCUMENT: &str = "COFFERDAM_BENCH_DOCUMENT";

/// Pairs of times that are taken for a comparison.
const SAMPLES: usize = 50;

/// How long what is compared is repeated, once to get warm and then to be measured; its yardstick takes as long again.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASUREMENT: Duration = Duration::from_secs(3);

/// Takes times and gathers them in the table.
pub struct Bench {
    criterion: Criterion,
    /// The component that all measurements use: it reads one storage entry for one read.
    pub component: Plugin,
    /// Runs hosts and sandboxes.
    pub runtime: Runtime,
    table: Table,
}

impl Bench {
    /// Builds the components and reads what the command line leaves out.
    pub fn new() -> Self {
        Self {
            criterion: Criterion::default()
                .warm_up_time(WARM_UP)
                .measurement_time(MEASUREMENT)
                .sample_size(SAMPLES)
                .configure_from_args(),
            component: Plugin {
                folder: guests::build("guest-examples").unwrap_or_else(|why| panic!("{why}")),
                file: "passthrough_plugin.wasm",
            },
            runtime: Runtime::new().expect("the runtime starts"),
            table: Table::default(),
        }
    }

    /// Says whether the command line leaves this in.
    pub fn wants(&self, name: &str) -> bool {
        let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
        // A longer filter wants some of what this is the beginning of.
        filter.is_none_or(|filter| name.contains(&filter) || filter.starts_with(name))
    }

    /// Compares two operations and adds what `row` makes of their times, unless the command line leaves it out.
    ///
    /// They take turns, since whatever else the machine does would otherwise fall on one of them. Criterion is shown
    /// the time of the second.
    pub fn compare(
        &mut self,
        name: &str,
        mut theirs: impl AsyncFnMut(),
        mut ours: impl AsyncFnMut(),
        row: impl FnOnce(Duration, Duration) -> Row,
    ) {
        let runtime = self.runtime.handle().clone();
        self.compare_turns(
            name,
            |turns| runtime.block_on(repeat(turns, &mut theirs)),
            |turns| runtime.block_on(repeat(turns, &mut ours)),
            row,
        );
    }

    /// The same for operations that take so many turns by themselves, and say how long they took.
    pub fn compare_turns(
        &mut self,
        name: &str,
        mut theirs: impl FnMut(u64) -> Duration,
        mut ours: impl FnMut(u64) -> Duration,
        row: impl FnOnce(Duration, Duration) -> Row,
    ) {
        let (mut their_times, mut our_times) = (Vec::new(), Vec::new());
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|turns| {
                let (theirs, ours) = (theirs(turns), ours(turns));
                their_times.push(theirs.div_f64(turns as f64));
                our_times.push(ours.div_f64(turns as f64));
                ours
            });
        });
        if our_times.is_empty() {
            return;
        }
        // What criterion asked for before its samples was for getting warm.
        let first = our_times.len().saturating_sub(SAMPLES);
        self.row(row(median(&mut their_times[first..]), median(&mut our_times[first..])));
    }

    /// Adds a row to the table.
    pub fn row(&mut self, row: Row) {
        self.table.push(row);
    }

    /// Says what the table lacks, and why.
    pub fn leave_out(&mut self, what: String) {
        self.table.leave_out(what);
    }

    /// Prints the table, and writes it into the document if that is asked for.
    pub fn finish(self) {
        self.criterion.final_summary();
        println!("\n{}", self.table);
        if std::env::var_os(DOCUMENT).is_some() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            self.table.write_into(&root.join("docs/measurements.md")).unwrap_or_else(|why| panic!("{why}"));
            self.table.draw(&root.join("docs/charts")).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

async fn repeat(turns: u64, operation: &mut impl AsyncFnMut()) -> Duration {
    let begun = Instant::now();
    for _ in 0..turns {
        operation().await;
    }
    begun.elapsed()
}

/// Does something so many times on tasks of a runtime, as a server does, so many of them at a time, and returns how
/// long that took.
pub fn on_tasks<F: Future<Output = ()> + Send>(
    runtime: &Handle,
    turns: u64,
    at_a_time: u64,
    operation: &(impl Fn() -> F + Clone + Send + 'static),
) -> Duration {
    let each = turns.div_ceil(at_a_time);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..at_a_time)
        .map(|_| {
            let operation = operation.clone();
            runtime.spawn(async move {
                for _ in 0..each {
                    operation().await;
                }
            })
        })
        .collect();
    let done = runtime.block_on(futures_util::future::join_all(tasks));
    let took = begun.elapsed();
    done.into_iter().for_each(|done| done.expect("the operation does not panic"));
    took.mul_f64(turns as f64 / (each * at_a_time) as f64)
}

/// Returns the middle one of some times.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
