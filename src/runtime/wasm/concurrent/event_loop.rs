//! The task that owns a sandbox's store and runs its event loop, until the sandbox fails, has to be stopped, or is not
//! needed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Accessor, ComponentNamedList, Lift, Lower, Resource, TypedFunc};
use wasmtime::{AsContextMut, Store, UpdateDeadline};

use super::calls::{Answer, Calls, Stop};
use crate::limits::Limits;
use crate::request::Request;
use crate::runtime::wasm::bindings::cofferdam::plugin::types as wit;
use crate::runtime::wasm::bindings::concurrent::PluginAsync;
use crate::runtime::wasm::clock::YIELD_TICKS;
use crate::runtime::wasm::convert;
use crate::runtime::wasm::guest::Guest;
use crate::runtime::wasm::imports::turns::StorageTurns;
use crate::runtime::wasm::instance::trap_report;
use crate::runtime::wasm::lent::{CallNumber, SharedCall};
use crate::runtime::wasm::memory::Reserved;
use crate::runtime::{Call, Failure};

/// A call on its way into the sandbox.
pub(super) struct Job {
    pub(super) number: CallNumber,
    pub(super) ask: Ask,
    pub(super) call: Call,
    pub(super) over: CancellationToken,
    /// Its place among the calls that may be in flight, until the guest has ended it.
    pub(super) turn: Option<OwnedSemaphorePermit>,
    /// What it may take of the guest's memory, for as long.
    pub(super) room: Option<Reserved>,
}

/// What is asked of a plugin.
pub(super) enum Ask {
    Setup,
    Initialize,
    Handle(Request),
    Exists(Request),
    Background,
    Invalidate(String),
    Cleanup,
}

/// A call that failed on the host's side of the boundary, which leaves a store that cannot be used.
struct Broken {
    number: CallNumber,
    cause: wasmtime::Error,
}

/// What the event loop shares with what runs in it, and with the clock that interrupts the guest.
struct Shared<'a> {
    plugin: &'a PluginAsync,
    calls: &'a Calls,
    turns: &'a Arc<StorageTurns>,
    turned: &'a Turned,
}

/// When the event loop turned last: since then the guest has computed without a pause, if that is what it does.
struct Turned(Mutex<Instant>);

impl Turned {
    fn now() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    fn again(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Runs a sandbox until its end.
pub(super) async fn run(
    mut store: Store<Guest>,
    plugin: PluginAsync,
    mut inbox: mpsc::Receiver<Job>,
    calls: Arc<Calls>,
    limits: Arc<Limits>,
) {
    let ending = Ending(&calls);
    let turns = Arc::new(StorageTurns::of(store.data().room(), limits.instance_host_bytes_max));
    let turned = Arc::new(Turned::now());
    interrupt(&mut store, &limits, &turns, &turned);
    let shared = Shared { plugin: &plugin, calls: &calls, turns: &turns, turned: &turned };
    let served = async {
        let mut serving = pin!(store.run_concurrent(async |accessor| serve(accessor, &shared, &mut inbox).await));
        poll_fn(|context| {
            let served = serving.as_mut().poll(context);
            turns.paused();
            served
        })
        .await
    };
    let end = tokio::select! {
        biased;
        stop = calls.watch() => End::Stopped(stop),
        served = served => match served {
            Ok(Ok(())) => End::Unneeded,
            Ok(Err(Broken { number, cause })) => End::Failed(cause, Some(number)),
            Err(cause) => End::Failed(cause, None),
        },
    };
    match end {
        End::Unneeded | End::Stopped(Stop::Ignored) => {}
        End::Stopped(Stop::Stuck) => ending.tell(|_| {
            Failure::Lost("its instance was stopped, as another request kept it computing past its deadline".to_owned())
        }),
        End::Failed(cause, culprit) => {
            let culprit = culprit.or_else(|| culprit_in(&mut store, &calls)).or_else(|| calls.only());
            let report = trap_report(&cause, store.data());
            ending.tell(|number| crashed(number, culprit, &report));
        }
    }
}

/// Returns what a call in flight comes to when its sandbox crashed. The culprit is the call that crashed it, if that is
/// known.
fn crashed(number: CallNumber, culprit: Option<CallNumber>, report: &str) -> Failure {
    match culprit {
        Some(culprit) if culprit == number => Failure::Trap(report.to_owned()),
        Some(_) => Failure::Lost(format!("another request crashed the instance that this one was in: {report}")),
        None => Failure::Lost(format!("the instance that it was in crashed: {report}")),
    }
}

/// Has the clock stop a guest that computes for longer than any call may.
///
/// A call that computes past its deadline is noticed because it does not end. Work that no request waits for has no
/// deadline, and would go unnoticed.
fn interrupt(store: &mut Store<Guest>, limits: &Limits, turns: &Arc<StorageTurns>, turned: &Arc<Turned>) {
    let patience = limits.request_deadline.max(limits.lifecycle_deadline) + limits.cancel_grace;
    let (turns, turned) = (Arc::clone(turns), Arc::clone(turned));
    store.epoch_deadline_callback(move |_| {
        let computing = turned.elapsed();
        if computing > patience {
            return Err(wasmtime::Error::msg(format!("it computed for {}s without a pause", computing.as_secs())));
        }
        turns.interrupted();
        Ok(UpdateDeadline::Yield(YIELD_TICKS))
    });
}

/// Why a sandbox's task ends.
enum End {
    /// The instance was dropped, so no call can come any more.
    Unneeded,
    /// It has to be stopped, for this reason.
    Stopped(Stop),
    /// It trapped, in this call if that is known.
    Failed(wasmtime::Error, Option<CallNumber>),
}

/// Returns the call whose task was running when the store failed. Where a plugin runs one call's work in the task of
/// another, the call of the task is returned: the host cannot see more.
fn culprit_in(store: &mut Store<Guest>, calls: &Calls) -> Option<CallNumber> {
    calls.call_of(store.as_context_mut().async_call_stack().ok()?)
}

/// Answers every call that still waits for a sandbox when its task ends, however it ends.
struct Ending<'a>(&'a Calls);

impl Ending<'_> {
    fn tell(&self, failure: impl Fn(CallNumber) -> Failure) {
        self.0.end(failure);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end(|_| Failure::Lost("its instance was let go".to_owned()));
    }
}

/// Takes calls and runs them, all at once, until the instance is dropped and all have ended.
async fn serve(accessor: &Accessor<Guest>, shared: &Shared<'_>, inbox: &mut mpsc::Receiver<Job>) -> Result<(), Broken> {
    let mut running = FuturesUnordered::new();
    let mut is_open = true;
    poll_fn(|context| {
        shared.turned.again();
        while is_open {
            match inbox.poll_recv(context) {
                Poll::Ready(Some(job)) => running.push(one(accessor, shared, job)),
                Poll::Ready(None) => is_open = false,
                Poll::Pending => break,
            }
        }
        loop {
            match running.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Err(broken)),
                Poll::Ready(None) | Poll::Pending if !is_open => return Poll::Ready(Ok(())),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Runs one call to its end, and tells the guest if it is given up.
async fn one(accessor: &Accessor<Guest>, shared: &Shared<'_>, job: Job) -> Result<(), Broken> {
    let calls = shared.calls;
    let Job { number, ask, call, over, turn, room } = job;
    let background = matches!(ask, Ask::Background).then(|| Arc::clone(&call.scope));
    if over.is_cancelled() {
        calls.answer(number, Err(Failure::Lost("it was given up before it began".to_owned())));
        return Ok(());
    }
    let lent = SharedCall { call, over: over.clone(), turns: Arc::clone(shared.turns) };
    accessor.with(|mut access| access.data_mut().begin_shared(number, lent));
    let ended = {
        let mut ending = pin!(perform(accessor, shared, number, ask));
        tokio::select! {
            biased;
            ended = &mut ending => ended,
            () = over.cancelled() => {
                calls.heard(number);
                let cancel = shared.plugin.cofferdam_plugin_backend_async().func_cancel();
                let told = start(accessor, calls, cancel, number, (u64::from(number),));
                let (told, ended) = join(told, ending).await;
                told.and(ended)
            }
        }
    };
    accessor.with(|mut access| access.data_mut().lent.take_back(number));
    let outcome = ended.map_err(|cause| Broken { number, cause })?;
    drop((turn, room));
    if let (Some(scope), Err(_)) = (&background, &outcome)
        && !over.is_cancelled()
    {
        // Its own words are for the client of a request and may hold a secret, so they do not go to the log.
        scope.log_fault(
            "its work in the background ended with an error; it begins again with the mount's next instance",
        );
    }
    calls.answer(number, outcome.map_err(|error| Failure::Backend(convert::backend_error(error))));
    Ok(())
}

/// Makes the call of the guest that is asked for.
async fn perform(
    accessor: &Accessor<Guest>,
    Shared { plugin, calls, .. }: &Shared<'_>,
    number: CallNumber,
    ask: Ask,
) -> wasmtime::Result<Result<Answer, wit::Error>> {
    let backend = plugin.cofferdam_plugin_backend_async();
    let context = Resource::new_borrow(number);
    let done = |(result,): (Result<(), wit::Error>,)| result.map(|()| Answer::Done);
    match ask {
        Ask::Setup => start(accessor, calls, backend.func_setup(), number, (context,)).await.map(done),
        Ask::Initialize => start(accessor, calls, backend.func_initialize(), number, (context,)).await.map(done),
        Ask::Background => start(accessor, calls, backend.func_background(), number, (context,)).await.map(done),
        Ask::Handle(request) => {
            let parameters = (context, convert::request(request));
            let (result,) = start(accessor, calls, backend.func_handle(), number, parameters).await?;
            Ok(result.map(|response| Answer::Response(Box::new(convert::response(response)))))
        }
        Ask::Exists(request) => {
            let parameters = (context, convert::request(request));
            let (result,) = start(accessor, calls, backend.func_exists(), number, parameters).await?;
            Ok(result.map(Answer::Existence))
        }
        Ask::Invalidate(key) => {
            start(accessor, calls, backend.func_invalidate(), number, (context, key)).await?;
            Ok(Ok(Answer::Done))
        }
        Ask::Cleanup => {
            start(accessor, calls, backend.func_cleanup(), number, (context,)).await?;
            Ok(Ok(Answer::Done))
        }
    }
}

/// Calls one of the guest's functions, and notes which of its tasks that is.
async fn start<P, R>(
    accessor: &Accessor<Guest>,
    calls: &Calls,
    function: TypedFunc<P, R>,
    number: CallNumber,
    parameters: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + 'static,
    R: ComponentNamedList + Lift + 'static,
{
    let call = accessor.with(|mut access| {
        let call = function.start_call_concurrent::<Guest>(access.as_context_mut(), parameters);
        call.inspect(|call| calls.became(number, call.task()))
    })?;
    function.finish_call_concurrent(accessor, call).await
}
