//! Bytes that the host keeps for somebody at most, whatever it is that is kept: counted in one place before they are
//! kept.

#![cfg_attr(
    not(any(feature = "wasm", feature = "process")),
    allow(dead_code, reason = "only guests that the host cannot trust have a room")
)]

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::view_error::ViewError;

/// Room for so many bytes. Clones share it.
#[derive(Clone)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    bytes_max: usize,
    /// The limit that it comes from, and what it is for: for messages.
    limit: &'static str,
}

/// Bytes of a [`Room`] that are taken until this is dropped.
pub(crate) struct Taken(OwnedSemaphorePermit);

impl Room {
    /// Returns room for so many bytes, which a limit of this name allows.
    pub(crate) fn new(bytes_max: usize, limit: &'static str) -> Self {
        // What is taken is counted in 32 bits.
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(bytes_max)), bytes_max, limit }
    }

    /// Takes bytes if there are as many. Whoever is refused keeps what it has, and waits for nobody who might wait for
    /// it.
    pub(crate) fn take(&self, bytes: usize) -> Result<Taken, ViewError> {
        let permits = u32::try_from(bytes).ok();
        let taken = permits.and_then(|permits| Arc::clone(&self.free).try_acquire_many_owned(permits).ok());
        taken.map(Taken).ok_or_else(|| {
            let (max, limit) = (self.bytes_max, self.limit);
            ViewError::Unavailable(format!(
                "the host keeps {max} bytes at most for it ({limit}), and {bytes} more do not fit: end transactions and let storage \
                 calls that wait come to their end first"
            ))
        })
    }

    /// Waits until so many bytes are free, or all that there are if that is less, and takes them. Use it only where
    /// those who hold some give them back without waiting for more.
    pub(crate) async fn wait_for(&self, bytes: usize) -> Option<Taken> {
        let permits = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        Arc::clone(&self.free).acquire_many_owned(permits).await.ok().map(Taken)
    }

    /// Returns how many bytes are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }
}

impl Taken {
    /// Adds bytes of the same room.
    pub(crate) fn add(&mut self, more: Taken) {
        self.0.merge(more.0);
    }

    /// Gives some of them back.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        drop(self.0.split(bytes));
    }

    /// Gives back what exceeds so many bytes.
    #[cfg(feature = "wasm")]
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.give_back(self.0.num_permits().saturating_sub(bytes));
    }
}
