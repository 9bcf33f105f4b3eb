//! The clock that interrupts guests: how often it ticks, and its thread.

use std::time::Duration;

use wasmtime::Engine;

use crate::runtime::LoadError;

/// How often the epoch advances. A guest that computes gives its thread to others this often, and a deadline is noticed
/// this late at most.
pub(super) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// A guest that computes yields after this many ticks.
pub(super) const YIELD_TICKS: u64 = 1;

/// Advances the epoch until the engine is gone.
pub(super) fn start(engine: &Engine) -> Result<(), LoadError> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("cofferdam-epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH_TICK);
            }
        })
        .map(drop)
        .map_err(|cause| LoadError::Host(format!("cannot start the sandbox's clock: {cause}")))
}
