//! Storage operations of an instance that is in many calls: how many run at a time, and room for what they answer.
//!
//! The largest answer that may come is reserved before it is asked for, and what came counts until the guest has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::storage::{Room, Taken, Transaction, ViewError};

/// Storage operations of one instance that run at a time; more wait for their turn. Each holds its answer in the host's
/// memory until the guest takes it.
const STORAGE_OPERATIONS_MAX: usize = 64;

/// The host's bytes for an instance divided by this are set aside for answers. So an operation that waits for room for
/// its answer waits for nothing but other answers to be taken.
const ANSWERS_SHARE: usize = 4;

/// The turns of one instance, all its calls together.
pub(in crate::runtime::wasm) struct StorageTurns {
    operations: Semaphore,
    answers: Room,
    /// Of answers that came.
    untaken: Mutex<Option<Taken>>,
    /// Whether the guest was interrupted while it ran, so that answers may wait behind it.
    interrupted: AtomicBool,
    /// All of it comes out of what the host may keep for the guest.
    _set_aside: Option<Taken>,
}

impl StorageTurns {
    /// Returns the turns of an instance. The host may keep `bytes_max` for it, all of which come out of `room`.
    pub(in crate::runtime::wasm) fn of(room: &Room, bytes_max: usize) -> Self {
        let bytes = bytes_max / ANSWERS_SHARE;
        Self {
            operations: Semaphore::new(STORAGE_OPERATIONS_MAX),
            answers: Room::new(bytes, "instance_host_bytes_max"),
            untaken: Mutex::default(),
            interrupted: AtomicBool::new(false),
            _set_aside: room.take(bytes).ok(),
        }
    }

    /// Does a storage operation when it is its turn, and when there is room for the largest answer that it may have, in
    /// bytes. One that may be larger than there is room waits until all is free.
    pub(super) async fn run<R: Answer>(
        &self,
        answer_bytes_max: usize,
        operation: impl Future<Output = Result<R, ViewError>>,
    ) -> Result<R, ViewError> {
        let _turn = self.operations.acquire().await.expect("the semaphore is never closed");
        let reserved = if answer_bytes_max > 0 { self.answers.wait_for(answer_bytes_max).await } else { None };
        let done = operation.await;
        self.came(reserved, done.as_ref().map_or(0, Answer::bytes));
        done
    }

    /// An answer of this size came, for which room was reserved.
    fn came(&self, reserved: Option<Taken>, bytes: usize) {
        let Some(mut reserved) = reserved else { return };
        reserved.shrink_to(bytes);
        let mut untaken = self.untaken.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *untaken {
            Some(untaken) => untaken.add(reserved),
            None => *untaken = Some(reserved),
        }
    }

    /// The guest was interrupted.
    pub(in crate::runtime::wasm) fn interrupted(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// The event loop has paused: where the guest was not interrupted, there is nothing left for it to do, and it has
    /// its answers.
    pub(in crate::runtime::wasm) fn paused(&self) {
        if !self.interrupted.swap(false, Ordering::Relaxed) {
            let taken = self.untaken.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(taken);
        }
    }
}

/// The result of an operation, which is in the host's memory until the guest has it.
pub(super) trait Answer {
    /// Returns the size of the result in bytes.
    fn bytes(&self) -> usize;
}

impl Answer for Option<Vec<u8>> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Vec::len)
    }
}

impl Answer for Vec<String> {
    fn bytes(&self) -> usize {
        self.iter().map(|child| size_of::<String>() + child.len()).sum()
    }
}

impl Answer for () {
    fn bytes(&self) -> usize {
        0
    }
}

/// What it holds counts by itself.
impl Answer for Transaction {
    fn bytes(&self) -> usize {
        0
    }
}
