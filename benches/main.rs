//! What Cofferdam costs, beside what it stands on: every figure next to its yardstick, from one run.
//!
//! `cargo bench` measures all of it in a few minutes and prints one table at the end, in Markdown; `cargo bench --
//! warm` measures what has `warm` in its name. The table holds each goal to what was measured; a goal that is missed
//! fails nothing.
//!
//! * `mounts` — ten thousand mounts of one plugin: enabling, memory, listing, finding, starting again.
//! * `request` — one request to a sandbox, against wasmtime without a host around it; a write against a read.
//! * `threads` — how many more requests two threads answer than one.
//! * `waiting` — a hundred requests that wait at once in one instance.
//! * `reload` — starting a plugin's mounts again while they answer.
//! * `restart` — starting a host again that has many plugins.
//! * `http` — one read over a kept connection, against an axum handler without a host behind it, with TLS and without;
//!   in a fresh sandbox, and built in.
//! * `processes` — native plugins: from start to first answer, memory.
//! * `native` — one request to a native plugin, against gRPC without a host around it, and against the same plugin in a
//!   sandbox.
//!
//! With `COFFERDAM_BENCH_DOCUMENT=1` the table and its charts are written into `docs/`.

#![expect(unreachable_pub, reason = "a program has no outside")]

mod http;
mod mounts;
mod native;
mod processes;
mod reload;
mod request;
mod restart;
mod support;
mod threads;
mod waiting;

use support::{Bench, grpc};

/// What the program allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    if grpc::is_other_side() {
        return grpc::serve_other_side();
    }
    let mut bench = Bench::new();
    // First, because memory that other measurements gave back would hide what mounts take.
    mounts::measure(&mut bench);
    request::measure(&mut bench);
    threads::measure(&mut bench);
    waiting::measure(&mut bench);
    reload::measure(&mut bench);
    restart::measure(&mut bench);
    processes::measure(&mut bench);
    native::measure(&mut bench);
    // Last, because it binds this thread to a core.
    http::measure(&mut bench);
    bench.finish();
}
