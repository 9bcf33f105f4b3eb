//! Which cores a measurement over HTTP runs on: the client has one, and its servers have the others, as if they were
//! two machines.
//!
//! Left to the system, a server that answers quickly is woken on the client's core, and one that takes a little longer
//! on another, which in a virtual machine costs more than any answer: then the ratio of the two says where they ran.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use core_affinity::CoreId;
use tokio::runtime::{Builder, Runtime};

/// Returns the core of the client, and those of the servers, as they were before any thread was bound to one; `None`
/// where there are too few.
fn cores() -> Option<&'static (CoreId, Vec<CoreId>)> {
    static CORES: OnceLock<Option<(CoreId, Vec<CoreId>)>> = OnceLock::new();
    let cores = CORES.get_or_init(|| {
        let mut cores = core_affinity::get_core_ids()?;
        (cores.len() > 1).then(|| (cores.remove(0), cores))
    });
    cores.as_ref()
}

/// Binds this thread to the client's core, for good.
pub fn bind_client() {
    if let Some((client, _)) = cores() {
        core_affinity::set_for_current(*client);
    }
}

/// Returns a runtime for a server: a thread for each core that servers have.
pub fn server() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all();
    if let Some((_, cores)) = cores() {
        let next = AtomicUsize::new(0);
        builder.worker_threads(cores.len()).on_thread_start(move || {
            core_affinity::set_for_current(cores[next.fetch_add(1, Ordering::Relaxed) % cores.len()]);
        });
    }
    builder.build().expect("the runtime starts")
}
