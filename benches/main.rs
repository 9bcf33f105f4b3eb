//! What Cofferdam costs, beside what it stands on: every figure next to its yardstick, from one run.
//!
//! `cargo bench` measures all of it in a few minutes and prints one table at the end, in Markdown; `cargo bench -- warm` measures
//! what has `warm` in its name. The table holds each goal to what was measured; a goal that is missed fails nothing.
//!
//! * `mounts` — ten thousand mounts of one plugin: enabling, memory, listing, finding, starting again.
//! * `request` — one request to a sandbox, against wasmtime without a host around it.
//! * `http` — one read over a kept connection, against an axum handler without a host behind it.

#![expect(unreachable_pub, reason = "a program has no outside")]

mod http;
mod mounts;
mod request;
mod support;

use support::Bench;

fn main() {
    let mut bench = Bench::new();
    // First, because memory that other measurements gave back would hide what mounts take.
    mounts::measure(&mut bench);
    request::measure(&mut bench);
    http::measure(&mut bench);
    bench.finish();
}
