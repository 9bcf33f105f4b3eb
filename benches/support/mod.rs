//! What the measurements share: how a time is taken, the table, the plugin, a host, raw wasmtime and an HTTP client.

pub mod client;
#[path = "../../tests/support/guests.rs"]
mod guests;
pub mod host;
pub mod raw;
pub mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::Runtime;

use table::{Row, Table};

/// Pairs of times that are taken for a comparison.
const SAMPLES: usize = 50;

/// How long what is compared is repeated, once to get warm and then to be measured; its yardstick takes as long again.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASUREMENT: Duration = Duration::from_secs(3);

/// Takes times and gathers them in the table.
pub struct Bench {
    criterion: Criterion,
    /// Where the plugins' files are.
    pub plugins: PathBuf,
    /// Runs hosts and sandboxes.
    pub runtime: Runtime,
    table: Table,
}

impl Bench {
    /// Builds the plugins and reads what the command line leaves out.
    pub fn new() -> Self {
        Self {
            criterion: Criterion::default()
                .warm_up_time(WARM_UP)
                .measurement_time(MEASUREMENT)
                .sample_size(SAMPLES)
                .configure_from_args(),
            plugins: guests::build("guest-examples").unwrap_or_else(|why| panic!("{why}")),
            runtime: Runtime::new().expect("the runtime starts"),
            table: Table::default(),
        }
    }

    /// Says whether the command line leaves this in.
    pub fn wants(&self, name: &str) -> bool {
        std::env::args().skip(1).find(|argument| !argument.starts_with('-')).is_none_or(|filter| name.contains(&filter))
    }

    /// Compares two operations and adds what `row` makes of their times, unless the command line leaves it out.
    ///
    /// They take turns, since whatever else the machine does would otherwise fall on one of them. Criterion is shown the time of
    /// the second.
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

    /// Prints the table.
    pub fn finish(self) {
        self.criterion.final_summary();
        println!("\n{}", self.table);
    }
}

async fn repeat(turns: u64, operation: &mut impl AsyncFnMut()) -> Duration {
    let begun = Instant::now();
    for _ in 0..turns {
        operation().await;
    }
    begun.elapsed()
}

/// Returns the plugin that all measurements use: it reads one storage entry for one read.
pub fn plugin_file(plugins: &Path) -> PathBuf {
    plugins.join(host::PLUGIN_FILE)
}

/// Returns the middle one of some times.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
