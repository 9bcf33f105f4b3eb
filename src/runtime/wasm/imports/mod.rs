//! What a guest may call: one file for each interface of ours.
//!
//! `context` and `transaction` are the plain world's `host`, `concurrent` is the async world's `host-async`. What both
//! tell of a call at once is written once, in `facts`; `storage` words what comes of storage, and `turns` holds back
//! what waits for it in the async world. `output` is behind WASI's standard output; the rest of WASI is wasmtime's own,
//! closed (`guest.rs`).

mod concurrent;
mod context;
mod facts;
pub(super) mod output;
mod storage;
mod transaction;
pub(super) mod turns;
