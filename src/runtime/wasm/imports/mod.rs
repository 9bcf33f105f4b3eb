//! What a guest may call: one file for each door.
//!
//! WASI's doors are wasmtime's own, closed; see `state.rs` for what is behind them.

mod context;
pub(super) mod facts;
pub(super) mod output;
mod transaction;

use super::bindings::cofferdam::plugin::host;
use super::bindings::cofferdam::plugin::types::StorageError;
use super::state::State;
use crate::storage::ViewError;

impl host::Host for State {}
impl super::bindings::cofferdam::plugin::types::Host for State {}

impl From<ViewError> for StorageError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::ReadOnly => StorageError::ReadOnly,
            ViewError::TooLarge(limit) => StorageError::TooLarge(limit),
            ViewError::InvalidKey(why) => StorageError::InvalidKey(why),
            ViewError::Conflict => StorageError::Conflict,
            ViewError::Unavailable(why) => StorageError::Unavailable(why),
        }
    }
}
