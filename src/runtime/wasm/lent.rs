//! What a guest is lent for a call, until the call is over: the context that stands for it, and the transactions that
//! it begins.
//!
//! A handle is a number here and nothing else, so what a guest reaches is decided by looking the number up. A guest of
//! the plain world is in one call at a time, which stays in place: to lend it costs no allocation. A guest of the async
//! world is in many, and what waits for one of them outside the store holds it too.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

use super::imports::turns::StorageTurns;
use crate::runtime::Call;
use crate::storage::Transaction;

/// Transactions that may be open at a time in one call. Each holds what it read and wrote in the host's memory, some
/// megabytes at most; nearly every call needs one.
const CALL_TRANSACTIONS_MAX: usize = 4;

/// Transactions that may be open at a time in one instance, all calls together. Nearly every call needs one at most;
/// each may hold megabytes of what it read and wrote.
const INSTANCE_TRANSACTIONS_MAX: usize = 64;

/// Which call of an instance it is: the number of its context's handle.
pub(super) type CallNumber = u32;

/// Stands for the context that a guest is lent.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ContextHandle;

/// Stands for a transaction that a guest began.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TransactionHandle;

/// What one guest is lent at the moment.
#[derive(Default)]
pub(super) struct Lent {
    /// The call of a guest that is in one at a time.
    alone: Option<(CallNumber, Call)>,
    /// The calls of a guest that is in many.
    beside: HashMap<CallNumber, Arc<SharedCall>>,
    /// By the numbers of their handles.
    transactions: HashMap<u32, (CallNumber, Begun)>,
    transactions_begun: u32,
}

/// A call of a guest that is in many at once.
pub(super) struct SharedCall {
    pub(super) call: Call,
    /// Whatever waits for this call ends when it is cancelled.
    pub(super) over: CancellationToken,
    /// What all calls of the instance share.
    pub(super) turns: Arc<StorageTurns>,
}

/// A transaction, kept as the call that began it is.
#[expect(clippy::large_enum_variant, reason = "in a box, each transaction of the plain world would cost an allocation")]
enum Begun {
    Alone(Transaction),
    Shared(Arc<Mutex<Transaction>>),
}

impl Lent {
    /// Lends the one call that the guest is in.
    pub(super) fn lend(&mut self, number: CallNumber, call: Call) {
        self.alone = Some((number, call));
    }

    /// Lends a call beside others.
    pub(super) fn lend_shared(&mut self, number: CallNumber, call: SharedCall) {
        self.beside.insert(number, Arc::new(call));
    }

    /// Takes back what was lent for a call. Transactions that it left open are undone.
    pub(super) fn take_back(&mut self, number: CallNumber) {
        if self.alone.take_if(|(alone, _)| *alone == number).is_none() {
            self.beside.remove(&number);
        }
        self.transactions.retain(|_, (call, _)| *call != number);
    }

    /// Returns the call that a context was lent for. A guest cannot make or keep a context, so one that is not lent
    /// means that the sandbox does not hold what it promises, and ends it with a trap.
    pub(super) fn call(&self, context: &Resource<ContextHandle>) -> wasmtime::Result<&Call> {
        match &self.alone {
            Some((number, call)) if *number == context.rep() => Ok(call),
            _ => self.beside.get(&context.rep()).map(|shared| &shared.call).ok_or_else(not_lent),
        }
    }

    /// Returns the same for what waits outside the store.
    pub(super) fn shared_call(&self, context: &Resource<ContextHandle>) -> wasmtime::Result<Arc<SharedCall>> {
        self.beside.get(&context.rep()).cloned().ok_or_else(not_lent)
    }

    /// Keeps a transaction for the rest of the call that began it. Says which limit is reached if too many are open.
    pub(super) fn open_transaction(
        &mut self,
        context: &Resource<ContextHandle>,
        transaction: Transaction,
    ) -> Result<Resource<TransactionHandle>, &'static str> {
        let number = context.rep();
        let open_in_call = self.transactions.values().filter(|(call, _)| *call == number).count();
        if open_in_call >= CALL_TRANSACTIONS_MAX {
            return Err("too many transactions are open in this call");
        }
        if self.transactions.len() >= INSTANCE_TRANSACTIONS_MAX {
            return Err("too many transactions are open in this instance");
        }
        let begun = match &self.alone {
            Some((alone, _)) if *alone == number => Begun::Alone(transaction),
            _ => Begun::Shared(Arc::new(Mutex::new(transaction))),
        };
        self.transactions_begun = self.transactions_begun.wrapping_add(1);
        self.transactions.insert(self.transactions_begun, (number, begun));
        Ok(Resource::new_own(self.transactions_begun))
    }

    /// Returns a transaction of the one call that the guest is in; `None` if the call that began it is over.
    pub(super) fn transaction(&mut self, handle: &Resource<TransactionHandle>) -> Option<&mut Transaction> {
        match self.transactions.get_mut(&handle.rep())? {
            (_, Begun::Alone(transaction)) => Some(transaction),
            (_, Begun::Shared(_)) => None,
        }
    }

    /// Returns a transaction of a guest that is in many calls, and its call, for what waits outside the store.
    pub(super) fn shared_transaction(
        &self,
        handle: &Resource<TransactionHandle>,
    ) -> Option<(Arc<SharedCall>, Arc<Mutex<Transaction>>)> {
        match self.transactions.get(&handle.rep())? {
            (number, Begun::Shared(transaction)) => {
                Some((Arc::clone(self.beside.get(number)?), Arc::clone(transaction)))
            }
            (_, Begun::Alone(_)) => None,
        }
    }

    /// Lets a transaction go.
    pub(super) fn close_transaction(&mut self, handle: &Resource<TransactionHandle>) {
        self.transactions.remove(&handle.rep());
    }
}

fn not_lent() -> wasmtime::Error {
    wasmtime::Error::msg("a context was used outside the call that it was lent for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::runtime::double;
    use crate::storage::{Room, TransactionMode};

    fn shared() -> SharedCall {
        let bytes_max = Limits::default().instance_host_bytes_max;
        let turns = StorageTurns::of(&Room::new(bytes_max, "instance_host_bytes_max"), bytes_max);
        SharedCall { call: double::call(), over: CancellationToken::new(), turns: Arc::new(turns) }
    }

    fn context(number: CallNumber) -> Resource<ContextHandle> {
        Resource::new_borrow(number)
    }

    async fn transaction() -> Transaction {
        double::scope().storage.begin(TransactionMode::ReadWrite).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_context_stands_for_its_call_until_that_is_over() {
        let mut lent = Lent::default();
        lent.lend(1, double::call());
        assert!(lent.call(&context(1)).is_ok());
        assert!(lent.shared_call(&context(1)).is_err(), "it is lent to nobody outside the store");
        lent.take_back(1);
        lent.lend(2, double::call());
        assert!(lent.call(&context(1)).is_err() && lent.call(&context(3)).is_err());

        let mut lent = Lent::default();
        lent.lend_shared(1, shared());
        lent.lend_shared(2, shared());
        assert!(lent.call(&context(1)).is_ok() && lent.shared_call(&context(1)).is_ok());
        lent.take_back(1);
        assert!(lent.call(&context(1)).is_err() && lent.shared_call(&context(1)).is_err());
        assert!(lent.call(&context(2)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_ends_with_the_call_that_began_it() {
        let mut lent = Lent::default();
        lent.lend(1, double::call());
        let alone = lent.open_transaction(&context(1), transaction().await).unwrap();
        assert!(lent.transaction(&alone).is_some());
        lent.take_back(1);
        assert!(lent.transaction(&alone).is_none());

        let mut lent = Lent::default();
        lent.lend_shared(1, shared());
        lent.lend_shared(2, shared());
        let one = lent.open_transaction(&context(1), transaction().await).unwrap();
        let two = lent.open_transaction(&context(2), transaction().await).unwrap();
        lent.take_back(1);
        assert!(lent.shared_transaction(&one).is_none() && lent.shared_transaction(&two).is_some());
        lent.close_transaction(&two);
        assert!(lent.shared_transaction(&two).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn open_transactions_are_bounded_in_a_call_and_in_an_instance() {
        let mut lent = Lent::default();
        let calls = (INSTANCE_TRANSACTIONS_MAX / CALL_TRANSACTIONS_MAX) as CallNumber;
        for number in 0..=calls {
            lent.lend_shared(number, shared());
        }
        for number in 0..calls {
            for _ in 0..CALL_TRANSACTIONS_MAX {
                lent.open_transaction(&context(number), transaction().await).unwrap();
            }
            let refused = lent.open_transaction(&context(number), transaction().await).unwrap_err();
            assert!(refused.ends_with("in this call"), "{refused}");
        }
        let refused = lent.open_transaction(&context(calls), transaction().await).unwrap_err();
        assert!(refused.ends_with("in this instance"), "{refused}");
        lent.take_back(0);
        assert!(lent.open_transaction(&context(calls), transaction().await).is_ok());
    }
}
