//! What native plugins take: how long one needs from its start to its first answer, and the memory of its mounts.
//!
//! Measured of the plugin that the other measurements use, in Rust and, where there is Go, in Go.

use std::fs;
use std::time::Instant;

use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy, NativePlugins};

use crate::native::passthrough;
use crate::support::host::Plugin;
use crate::support::table::{Figure, Row};
use crate::support::{Bench, go, host, median};

/// Mounts with a process each.
const APART: usize = 10;

/// Mounts in one process.
const TOGETHER: usize = 100;

pub fn measure(bench: &mut Bench) {
    if !bench.wants("processes") {
        return;
    }
    measure_plugin(bench, "Rust", &passthrough());
    match go::build("passthrough").unwrap_or_else(|why| panic!("{why}")) {
        go::Built::Yes(path) => {
            let folder = path.parent().expect("a file is in a folder").to_owned();
            measure_plugin(bench, "Go", &Plugin { folder, file: "passthrough" });
        }
        go::Built::NoGo => bench.leave_out("a native plugin in Go, since there is no Go here".to_owned()),
    }
}

fn measure_plugin(bench: &mut Bench, language: &str, plugin: &Plugin) {
    apart(bench, language, plugin);
    together(bench, language, plugin);
}

/// Mounts that have a process each: what each takes to start, and to be there.
fn apart(bench: &mut Bench, language: &str, plugin: &Plugin) {
    let opted_out = vec![host::NAME.parse().expect("the name is well formed")];
    let settings = NativePlugins { multiplexing_opt_out: opted_out, ..NativePlugins::default() };
    let (mut times, bytes) = bench.runtime.block_on(async {
        let host = start(plugin, settings).await;
        let mut times = Vec::new();
        for number in 0..APART {
            let begun = Instant::now();
            first_answer(&host, number).await;
            times.push(begun.elapsed());
        }
        let processes = children();
        assert_eq!(processes.len(), APART, "each mount has a process");
        let bytes: f64 = processes.into_iter().map(resident_bytes).sum();
        host.shutdown().await;
        (times, bytes)
    });
    let time = Figure::Time(median(&mut times));
    bench.row(Row::new(format!("a native plugin in {language}: start to first answer"), time));
    let memory = Figure::Bytes(bytes / APART as f64);
    bench.row(Row::new(format!("a native plugin in {language}: memory of a mount with its own process"), memory));
}

/// Mounts that share one process: what one more of them takes there.
fn together(bench: &mut Bench, language: &str, plugin: &Plugin) {
    let bytes = bench.runtime.block_on(async {
        let host = start(plugin, NativePlugins::default()).await;
        first_answer(&host, 0).await;
        let processes = children();
        let [process] = processes[..] else { panic!("the mounts have the processes {processes:?}") };
        let before = resident_bytes(process);
        for number in 1..TOGETHER {
            first_answer(&host, number).await;
        }
        assert_eq!(children(), [process], "the mounts share a process");
        let bytes = resident_bytes(process) - before;
        host.shutdown().await;
        bytes
    });
    let memory = Figure::Bytes(bytes / (TOGETHER - 1) as f64);
    bench.row(Row::new(format!("a native plugin in {language}: memory of one more mount in a process"), memory));
}

async fn start(plugin: &Plugin, settings: NativePlugins) -> Host {
    let host = host::with_processes(plugin, MemoryStorage::new(), settings).await;
    host::register(&host, plugin, InstancePolicy::PerMount).await;
    assert!(children().is_empty(), "no process is left of others");
    host
}

/// Enables a mount, and asks it once.
async fn first_answer(host: &Host, number: usize) {
    let mount = format!("mounts/{number}");
    host::enable(host, &mount).await;
    let nothing = host.handle(host::read(&mount)).await;
    assert!(nothing.is_ok(), "the plugin answers that nothing is there");
}

/// Returns the processes that this one started and that still run.
fn children() -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("Linux tells which processes there are");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent(*id) == Some(std::process::id())).collect()
}

/// Returns who started a process.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind its name, which may hold anything, and its state.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Returns what is resident of a process, its share of what several have in common included.
fn resident_bytes(process: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("the process runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("Linux tells what it takes");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kilobytes * 1024.0
}
