//! What the store of a sandbox of the async world holds: what any sandbox's does, and the calls that are in flight.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{GuestTaskId, Resource};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::limits::Limits;
use crate::runtime::Call;
use crate::runtime::wasm::state::{ContextHandle, Grants, State, TRANSACTIONS_OPEN_MAX, TransactionHandle};
use crate::storage::{Room, Taken, Transaction};

/// Transactions that may be open at a time in one instance, all calls together. Nearly every call needs one at most;
/// each may hold megabytes of what it read and wrote.
const INSTANCE_TRANSACTIONS_MAX: usize = 64;

/// Storage operations of one instance that run at a time; more wait for their turn. Each holds its answer in the host's
/// memory until the guest takes it.
const STORAGE_OPERATIONS_MAX: usize = 64;

/// Which part of the host's bytes for an instance is set aside for answers: one of so many. So who waits for room for
/// an answer waits for nothing but other answers to be taken.
const ANSWERS_SHARE: usize = 4;

/// Which call of an instance it is: the number of its context's handle.
pub(super) type CallNumber = u32;

/// The data of one store.
pub(in crate::runtime::wasm) struct ConcurrentState {
    /// What every sandbox has. The one call that it has a place for is never begun.
    pub(in crate::runtime::wasm) base: State,
    lent: HashMap<CallNumber, Lent>,
    transactions: HashMap<u32, (CallNumber, Arc<Mutex<Transaction>>)>,
    transactions_begun: u32,
    tasks: HashMap<GuestTaskId, CallNumber>,
    operations: Arc<Semaphore>,
    answers: Arc<Answers>,
    turned: Instant,
}

/// What a call was lent.
#[derive(Clone)]
pub(super) struct Lent {
    pub(super) call: Arc<Call>,
    /// Whatever waits for this call ends when it is cancelled.
    pub(super) over: CancellationToken,
}

/// An open transaction, and the call that it belongs to.
pub(super) struct Begun {
    pub(super) call: Arc<Call>,
    pub(super) transaction: Arc<Mutex<Transaction>>,
    pub(super) over: CancellationToken,
}

impl ConcurrentState {
    /// Returns the state of a new sandbox.
    pub(in crate::runtime::wasm) fn new(limits: &Limits, grants: &Grants<'_>) -> Self {
        let base = State::new(limits, grants);
        Self {
            answers: Arc::new(Answers::of(base.room(), limits.instance_host_bytes_max)),
            base,
            lent: HashMap::new(),
            transactions: HashMap::new(),
            transactions_begun: 0,
            tasks: HashMap::new(),
            operations: Arc::new(Semaphore::new(STORAGE_OPERATIONS_MAX)),
            turned: Instant::now(),
        }
    }

    /// Returns for how long the guest has computed without a pause, if that is what it does.
    pub(in crate::runtime::wasm) fn computing(&self) -> Duration {
        self.turned.elapsed()
    }

    /// The event loop turned: nothing computes.
    pub(super) fn turned(&mut self) {
        self.turned = Instant::now();
    }

    /// Begins a call: from here on, the context of this number stands for it.
    pub(super) fn lend(&mut self, number: CallNumber, mut call: Call, over: CancellationToken) {
        self.base.output.join(&call.scope);
        call.storage = call.storage.within(self.base.room());
        self.lent.insert(number, Lent { call: Arc::new(call), over });
    }

    /// Notes which of the guest's tasks a call became.
    pub(super) fn became(&mut self, number: CallNumber, task: GuestTaskId) {
        self.tasks.insert(task, number);
    }

    /// Returns the call that one of these tasks is, the first that is any.
    pub(super) fn call_of(&self, mut tasks: impl Iterator<Item = GuestTaskId>) -> Option<CallNumber> {
        tasks.find_map(|task| self.tasks.get(&task).copied())
    }

    /// Ends a call: what was lent is taken back, and transactions left open are undone.
    pub(super) fn take_back(&mut self, number: CallNumber) {
        self.lent.remove(&number);
        self.tasks.retain(|_, call| *call != number);
        self.transactions.retain(|_, (call, _)| *call != number);
    }

    /// Returns what was lent with this context. A guest cannot make or keep a context, so one that is not lent means
    /// that the sandbox does not hold what it promises, and ends it with a trap.
    pub(super) fn lent(&self, context: &Resource<ContextHandle>) -> wasmtime::Result<&Lent> {
        self.lent
            .get(&context.rep())
            .ok_or_else(|| wasmtime::Error::msg("a context was used outside the call that it was lent for"))
    }

    /// Keeps a transaction for the rest of the call, unless too many are open in it or in the instance.
    pub(super) fn open_transaction(
        &mut self,
        context: &Resource<ContextHandle>,
        transaction: Transaction,
    ) -> Option<Resource<TransactionHandle>> {
        let number = context.rep();
        let open = self.transactions.values().filter(|(call, _)| *call == number).count();
        if open >= TRANSACTIONS_OPEN_MAX || self.transactions.len() >= INSTANCE_TRANSACTIONS_MAX {
            return None;
        }
        self.transactions_begun = self.transactions_begun.wrapping_add(1);
        self.transactions.insert(self.transactions_begun, (number, Arc::new(Mutex::new(transaction))));
        Some(Resource::new_own(self.transactions_begun))
    }

    /// Returns a transaction, unless the call that began it is over.
    pub(super) fn transaction(&self, handle: &Resource<TransactionHandle>) -> Option<Begun> {
        let (number, transaction) = self.transactions.get(&handle.rep())?;
        let Lent { call, over } = self.lent.get(number)?.clone();
        Some(Begun { call, transaction: Arc::clone(transaction), over })
    }

    /// Lets a transaction go.
    pub(super) fn close_transaction(&mut self, handle: &Resource<TransactionHandle>) {
        self.transactions.remove(&handle.rep());
    }

    /// The turns of storage operations.
    pub(super) fn operations(&self) -> Arc<Semaphore> {
        Arc::clone(&self.operations)
    }

    /// The answers of storage operations.
    pub(in crate::runtime::wasm) fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }
}

// -------------------------------------------------------------------------------------------------------------------
// Answers

/// Answers of storage operations: the largest that may come is reserved before it is asked for, and what came counts
/// until the guest has it.
pub(in crate::runtime::wasm) struct Answers {
    room: Room,
    /// Of answers that came.
    untaken: std::sync::Mutex<Option<Taken>>,
    /// Whether the guest was interrupted while it ran, so that answers may wait behind it.
    interrupted: AtomicBool,
    /// All of it comes out of what the host may keep for the guest.
    _set_aside: Option<Taken>,
}

impl Answers {
    fn of(room: &Room, bytes_max: usize) -> Self {
        let bytes = bytes_max / ANSWERS_SHARE;
        Self {
            room: Room::new(bytes, "instance_host_bytes_max"),
            untaken: std::sync::Mutex::default(),
            interrupted: AtomicBool::new(false),
            _set_aside: room.take(bytes).ok(),
        }
    }

    /// Waits until there is room for an answer of so many bytes. One that may be larger than there is room waits until
    /// all is free.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<Taken> {
        self.room.wait_for(bytes).await
    }

    /// An answer of so many bytes came, for which room was reserved.
    pub(super) fn came(&self, reserved: Option<Taken>, bytes: usize) {
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
    pub(super) fn paused(&self) {
        if !self.interrupted.swap(false, Ordering::Relaxed) {
            let taken = self.untaken.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(taken);
        }
    }
}

impl WasiView for ConcurrentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.base.ctx()
    }
}
