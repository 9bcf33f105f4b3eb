//! A sandbox that answers many calls at once, as others see it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};
use wasmtime::Store;

use super::calls::{Answer, Calls, Entered, Outcome, Urgency};
use super::event_loop::{self, Ask, Job};
use super::share::{Governor, Ration};
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::request::{Request, Response};
use crate::runtime::wasm::bindings::concurrent::PluginAsync;
use crate::runtime::wasm::guest::Guest;
use crate::runtime::wasm::lent::CallNumber;
use crate::runtime::wasm::memory::{Memory, NoRoom, Reserved};
use crate::runtime::{Call, Failure, Instance};

/// A sandbox, run by a task of its own that ends when this is dropped.
pub(in crate::runtime::wasm) struct ConcurrentInstance {
    calls: Arc<Calls>,
    inbox: mpsc::Sender<Job>,
    sandbox: Arc<SandboxTask>,
    /// The calls that may be in flight: those that were given up count until the guest has ended them.
    turns: Arc<Semaphore>,
    /// Where there has to be room for what is sent.
    memory: Arc<Memory>,
    /// Work in the background, by its mount's id.
    background: Mutex<HashMap<Arc<str>, Background>>,
    limits: Arc<Limits>,
}

struct Background {
    number: CallNumber,
    ended: oneshot::Receiver<Outcome>,
}

impl ConcurrentInstance {
    /// Starts the task that runs a sandbox.
    pub(in crate::runtime::wasm) fn start(
        store: Store<Guest>,
        plugin: PluginAsync,
        limits: &Arc<Limits>,
        background: &Arc<Ration>,
        meter: &Arc<PluginMeter>,
    ) -> Self {
        let memory = Arc::clone(store.data().memory.memory());
        let turns = (limits.instance_calls_max as usize).clamp(1, Semaphore::MAX_PERMITS);
        let calls = Arc::new(Calls::new(limits.cancel_grace));
        // A call has its turn before it gets here, so half of it is always free for work in the background.
        let (inbox, jobs) = mpsc::channel(turns.saturating_mul(2).min(Semaphore::MAX_PERMITS));
        let governor = Governor::new(Arc::clone(&calls), Arc::clone(background), Arc::clone(meter));
        let event_loop = event_loop::run(store, plugin, jobs, Arc::clone(&calls), Arc::clone(limits));
        let sandbox = SandboxTask::spawn(event_loop, governor);
        Self {
            calls,
            inbox,
            sandbox,
            turns: Arc::new(Semaphore::new(turns)),
            memory,
            background: Mutex::default(),
            limits: Arc::clone(limits),
        }
    }

    /// Makes a call. Its deadline is kept here, whatever the sandbox does; and so is its end, should this future be
    /// dropped.
    async fn ask(&self, call: Call, ask: Ask) -> Outcome {
        let (deadline, limit) = (call.deadline, call.limit);
        let turn = timeout_at(deadline, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Failure::Busy("it was busy with other requests until the deadline".to_owned()))?;
        let turn = turn.expect("the semaphore is never closed");
        // Before it enters: what does not fit would end all that are in there.
        let room = match &ask {
            Ask::Handle(request) | Ask::Exists(request) => Some(self.reserve(request)?),
            Ask::Setup | Ask::Initialize | Ask::Background | Ask::Invalidate(_) | Ask::Cleanup => None,
        };
        let Entered { number, over, answered } = self.calls.enter(Urgency::Awaited, Some(deadline)).ok_or_else(gone)?;
        let waiting = Waiting { calls: &self.calls, number };
        let job = Job { number, ask, call, over, turn: Some(turn), room };
        if self.inbox.try_send(job).is_err() {
            return Err(gone());
        }
        let outcome = match timeout_at(deadline, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Failure::Deadline(limit)),
        };
        drop(waiting);
        outcome
    }

    /// Reserves room for a request in the guest's memory, which all its calls share.
    fn reserve(&self, request: &Request) -> Result<Reserved, Failure> {
        let bytes =
            request.data.len() + request.path.as_str().len() + request.lease.as_ref().map_or(0, |lease| lease.len());
        self.memory.reserve(bytes).map_err(|refused| match refused {
            NoRoom::Now => Failure::Busy(format!(
                "other requests take the memory of its instance (instance_memory_bytes_max), and this one's {bytes} bytes do not \
                 fit beside them"
            )),
            NoRoom::Ever(fits) => Failure::TooLarge(format!(
                "it has {bytes} bytes, and an instance has room for {fits} (instance_memory_bytes_max)"
            )),
        })
    }

    /// Makes a call that has nothing to say.
    async fn tell(&self, call: Call, ask: Ask) -> Result<(), Failure> {
        self.ask(call, ask).await.map(drop)
    }

    fn background(&self) -> MutexGuard<'_, HashMap<Arc<str>, Background>> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConcurrentInstance {
    fn drop(&mut self) {
        self.sandbox.let_go();
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A sandbox's task, which can be ended from outside: when an instance is dropped, its memory, its place in the budget
/// and its mounts' storage are free at once, and not when the task happens to run again.
struct SandboxTask {
    task: Mutex<Option<Task>>,
    /// Of what polls it.
    poller: OnceLock<AbortHandle>,
    is_needed: AtomicBool,
}

impl SandboxTask {
    fn spawn(task: impl Future<Output = ()> + Send + 'static, mut governor: Governor) -> Arc<Self> {
        let sandbox = Arc::new(Self {
            task: Mutex::new(Some(Box::pin(task))),
            poller: OnceLock::new(),
            is_needed: AtomicBool::new(true),
        });
        let shared = Arc::clone(&sandbox);
        let poller = tokio::spawn(poll_fn(move |context| {
            let Poll::Ready(whom) = governor.admit(context) else { return Poll::Pending };
            // Out of its place while it runs: no lock is held meanwhile, and a panic ends it.
            let Some(mut task) = shared.place().take() else { return Poll::Ready(()) };
            let begun = Instant::now();
            let polled = task.as_mut().poll(context);
            governor.ran(whom, begun.elapsed());
            let mut place = shared.place();
            if polled.is_ready() || !shared.is_needed.load(Ordering::SeqCst) {
                drop(place);
                return Poll::Ready(());
            }
            *place = Some(task);
            polled
        }));
        // It is set here only.
        let _ = sandbox.poller.set(poller.abort_handle());
        sandbox
    }

    fn place(&self) -> MutexGuard<'_, Option<Task>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the task now, or as soon as it pauses if it runs at this moment.
    fn let_go(&self) {
        self.is_needed.store(false, Ordering::SeqCst);
        let task = self.place().take();
        drop(task);
        // Nothing would wake what polled it.
        if let Some(poller) = self.poller.get() {
            poller.abort();
        }
    }
}

/// What becomes of a call that came too late.
fn gone() -> Failure {
    Failure::Lost("its instance was going when it came".to_owned())
}

/// Gives a call up unless it has ended.
struct Waiting<'a> {
    calls: &'a Calls,
    number: CallNumber,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.calls.give_up(self.number);
    }
}

#[async_trait]
impl Instance for ConcurrentInstance {
    fn is_alive(&self) -> bool {
        self.calls.is_open()
    }

    async fn setup(&self, call: Call) -> Result<(), Failure> {
        self.tell(call.read_only(), Ask::Setup).await
    }

    fn work_in_background(&self, call: Call) {
        let scope = Arc::clone(&call.scope);
        let Some(Entered { number, over, answered }) = self.calls.enter(Urgency::Background, None) else { return };
        let job = Job { number, ask: Ask::Background, call, over, turn: None, room: None };
        if self.inbox.try_send(job).is_err() {
            self.calls.answer(number, Err(gone()));
            tracing::warn!(plugin = &*scope.plugin, mount = %scope.path, "too much begins in the background at once");
            return;
        }
        let background = Background { number, ended: answered };
        let before = self.background().insert(Arc::clone(&scope.id), background);
        if let Some(before) = before {
            // What it knew is out of date.
            self.calls.give_up(before.number);
        }
    }

    async fn initialize(&self, call: Call) -> Result<(), Failure> {
        self.tell(call, Ask::Initialize).await
    }

    async fn handle(&self, call: Call, request: Request) -> Result<Response, Failure> {
        match self.ask(call, Ask::Handle(request)).await? {
            Answer::Response(response) => Ok(*response),
            Answer::Done | Answer::Existence(_) => Err(other_answer()),
        }
    }

    async fn exists(&self, call: Call, request: &Request) -> Result<Option<bool>, Failure> {
        match self.ask(call, Ask::Exists(request.clone())).await? {
            Answer::Existence(existence) => Ok(existence),
            Answer::Done | Answer::Response(_) => Err(other_answer()),
        }
    }

    async fn invalidate(&self, call: Call, key: &str) -> Result<(), Failure> {
        self.tell(call, Ask::Invalidate(key.to_owned())).await
    }

    async fn cleanup(&self, call: Call) -> Result<(), Failure> {
        let background = self.background().remove(&call.scope.id);
        if let Some(Background { number, ended }) = background {
            self.calls.give_up(number);
            // One that does not end in time retires the instance, which is going anyway.
            drop(timeout(self.limits.cancel_grace, ended).await);
        }
        self.tell(call, Ask::Cleanup).await
    }
}

fn other_answer() -> Failure {
    Failure::Host("another call was answered".to_owned())
}
