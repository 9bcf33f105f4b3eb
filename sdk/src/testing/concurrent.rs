//! The test mount of a plugin whose instance serves many requests at once: requests that overlap, and time that passes
//! when a test says so.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use serde::Serialize;

use super::rules;
use super::world::{LogLine, MemoryView, World};
use crate::stored::{Page, StorageError, Wrap};
use crate::view::{Access, AsyncTransactionView, AsyncView, Facts, TransactionView, View, Wait};
use crate::{AsyncContext, AsyncMounts, AsyncPlugin, Caller, Error, Level, Operation, Request, Response, Ttls};

/// An [`AsyncPlugin`], mounted in memory by the same rules as [`TestMount`](super::TestMount).
///
/// Its time is its own: while everything waits, it jumps to where the first [`sleep`](AsyncContext::sleep) ends. So a
/// plugin that waits an hour is tested at once, and always in the same order.
///
/// ```
/// # use cofferdam_sdk::{AsyncContext, AsyncPlugin, Description, Error, Request, Response};
/// # struct Slow;
/// # impl AsyncPlugin for Slow {
/// #     fn describe() -> Description { Description::secret("Takes its time.") }
/// #     async fn setup(_: &AsyncContext<'_>) -> Result<Self, Error> { Ok(Self) }
/// #     async fn handle(&self, ctx: &AsyncContext<'_>, _: Request) -> Result<Response, Error> {
/// #         ctx.sleep(std::time::Duration::from_secs(3600)).await?;
/// #         Ok(Response::none())
/// #     }
/// # }
/// use cofferdam_sdk::{Operation, testing::AsyncTestMount};
///
/// let mount = AsyncTestMount::<Slow>::start().unwrap();
/// let requests = (0..100).map(|_| Request::new(Operation::Read, "anything"));
/// assert!(mount.together(requests).iter().all(Result::is_ok));
/// assert_eq!(mount.elapsed(), std::time::Duration::from_secs(3600));
/// ```
pub struct AsyncTestMount<P: AsyncPlugin> {
    world: World,
    clock: Clock,
    mounts: AsyncMounts<P>,
    calls: Cell<u64>,
}

impl<P: AsyncPlugin> AsyncTestMount<P> {
    /// Mounts a plugin with all defaults: setup, then initialize.
    pub fn start() -> Result<Self, Error> {
        let mount =
            Self { world: World::default(), clock: Clock::default(), mounts: AsyncMounts::new(), calls: Cell::new(0) };
        mount.run(mount.set_up())?;
        Ok(mount)
    }

    /// Reads a path.
    pub fn read(&self, path: &str) -> Result<Response, Error> {
        self.request(Request::new(Operation::Read, path))
    }

    /// Writes to a path: a create if the plugin says that it is absent, an update otherwise.
    pub fn write(&self, path: &str, data: impl Serialize) -> Result<Response, Error> {
        self.request(Request::new(Operation::Update, path).with_data(&data)?)
    }

    /// Makes any request. A create or an update becomes what the plugin's `exists` says.
    pub fn request(&self, request: Request) -> Result<Response, Error> {
        self.run(self.answer(request))
    }

    /// Makes these requests at the same time, and returns the answers in the same order.
    pub fn together(&self, requests: impl IntoIterator<Item = Request>) -> Vec<Result<Response, Error>> {
        self.run(all(requests.into_iter().map(|request| self.answer(request))))
    }

    /// Makes a request and gives it up after this time; returns its answer if it came before.
    pub fn give_up_after(&self, time: Duration, request: Request) -> Option<Result<Response, Error>> {
        let until = self.clock.now.get() + time;
        let mut answer = Box::pin(self.answer(request));
        let mut is_given_up = false;
        self.run(poll_fn(|context| {
            if !is_given_up && self.clock.now.get() >= until {
                // The request's latest call is the one in flight.
                self.mounts.cancel(self.calls.get());
                is_given_up = true;
            }
            match answer.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready((!is_given_up).then_some(answer)),
                Poll::Pending => {
                    self.clock.wake_at(until, context);
                    Poll::Pending
                }
            }
        }))
    }

    /// Starts the mount again on the same storage, as a restart of the server does: cleanup, setup, initialize.
    pub fn restart(&self) -> Result<(), Error> {
        self.run(async {
            let view = self.view(Access::ReadWrite, Caller::default());
            self.mounts.cleanup(self.next_call(), &AsyncContext::new(&view)).await;
            self.set_up().await
        })
    }

    /// Lets the plugin work in the background for this time, or until it is done, and returns what it said in that
    /// case.
    pub fn work_for(&self, time: Duration) -> Option<Result<(), Error>> {
        let until = self.clock.now.get() + time;
        let view = self.view(Access::ReadWrite, Caller::default());
        let ctx = AsyncContext::new(&view);
        let mut work = pin!(self.mounts.background(self.next_call(), &ctx));
        self.run(poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.clock.now.get() >= until => Poll::Ready(None),
            Poll::Pending => {
                self.clock.wake_at(until, context);
                Poll::Pending
            }
        }))
    }

    /// Returns how much time has passed in this mount.
    pub fn elapsed(&self) -> Duration {
        self.clock.now.get()
    }

    /// Changes a key (`None` deletes it) behind the plugin's back, as another node does, and tells the plugin so.
    pub fn change_elsewhere(&self, key: &str, value: Option<&[u8]>) {
        self.world.memory.set(key, value);
        let view = self.view(Access::ReadWrite, Caller::default());
        self.run(self.mounts.invalidate(self.next_call(), &AsyncContext::new(&view), key));
    }

    /// Changes a key just before the next transaction commits, so that one which read that key conflicts.
    pub fn change_before_commit(&self, key: &str, value: &[u8]) {
        self.world.memory.change_before_commit(key, value);
    }

    /// Returns what is stored under a key.
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        self.world.memory.value(key)
    }

    /// Returns what the plugin has logged so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.world.logs.borrow().clone()
    }

    async fn set_up(&self) -> Result<(), Error> {
        let view = self.view(Access::ReadOnly, Caller::default());
        self.mounts.setup(self.next_call(), &AsyncContext::new(&view)).await?;
        let view = self.view(Access::ReadWrite, Caller::default());
        self.mounts.initialize(self.next_call(), &AsyncContext::new(&view)).await
    }

    async fn answer(&self, mut request: Request) -> Result<Response, Error> {
        rules::check_request(&request)?;
        let description = P::describe();
        let open = rules::check_description(&description)?;
        let reach = rules::reach(&open, &request.path);
        let caller = rules::caller_at(reach, &self.world.caller);
        if matches!(request.operation, Operation::Create | Operation::Update) {
            let view = self.view(Access::ReadOnly, caller.clone());
            let known = self.mounts.exists(self.next_call(), &AsyncContext::new(&view), request.clone()).await?;
            request.operation = rules::write_operation(&description, known)?;
        }
        let operation = request.operation;
        let view = self.view(Access::ReadWrite, caller);
        let response = self.mounts.handle(self.next_call(), &AsyncContext::new(&view), request).await?;
        rules::check_response(&description, operation, reach, response)
    }

    fn view(&self, access: Access, caller: Caller) -> MemoryAsyncView<'_> {
        MemoryAsyncView { memory: MemoryView { world: &self.world, caller, access }, clock: &self.clock }
    }

    fn next_call(&self) -> u64 {
        self.calls.set(self.calls.get() + 1);
        self.calls.get()
    }

    /// Runs something to its end, letting time pass whenever everything waits.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return done;
            }
            if !woken.0.swap(false, Ordering::Relaxed) {
                assert!(self.clock.advance(), "the plugin waits for what never comes");
            }
        }
    }
}

/// Waits for all of these.
async fn all<T>(waited_for: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = waited_for.map(|one| (Box::pin(one), None)).collect();
    poll_fn(|context| {
        let mut is_done = true;
        for (one, done) in &mut pending {
            if done.is_none() {
                match one.as_mut().poll(context) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, done)| done).collect()
}

/// Whether anything that is waited for has come.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// --- Clock ---

/// A mount's own time.
#[derive(Default)]
struct Clock {
    now: Cell<Duration>,
    sleeping: RefCell<BTreeMap<Duration, Vec<Waker>>>,
}

impl Clock {
    fn wake_at(&self, time: Duration, context: &Context<'_>) {
        self.sleeping.borrow_mut().entry(time).or_default().push(context.waker().clone());
    }

    /// Lets time pass until the first sleeper wakes; `false` if nobody sleeps.
    fn advance(&self) -> bool {
        let Some((time, wakers)) = self.sleeping.borrow_mut().pop_first() else { return false };
        self.now.set(self.now.get().max(time));
        wakers.into_iter().for_each(Waker::wake);
        true
    }
}

// --- MemoryAsyncView ---

/// One call's view of a test mount. Nothing in memory is waited for; only sleeping is.
struct MemoryAsyncView<'a> {
    memory: MemoryView<'a>,
    clock: &'a Clock,
}

impl Facts for MemoryAsyncView<'_> {
    fn mount_id(&self) -> String {
        self.memory.mount_id()
    }

    fn mount_path(&self) -> String {
        self.memory.mount_path()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.memory.options()
    }

    fn ttls(&self) -> Ttls {
        self.memory.ttls()
    }

    fn caller(&self) -> Caller {
        self.memory.caller()
    }

    fn header(&self, name: &str) -> Vec<String> {
        self.memory.header(name)
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.memory.log(level, message, fields);
    }
}

fn ready<'a, T: 'a>(value: T) -> Wait<'a, T> {
    Box::pin(std::future::ready(value))
}

impl AsyncView for MemoryAsyncView<'_> {
    fn sleep(&self, time: Duration) -> Wait<'_, Result<(), ()>> {
        let until = self.clock.now.get() + time;
        Box::pin(poll_fn(move |context| {
            if self.clock.now.get() >= until {
                return Poll::Ready(Ok(()));
            }
            self.clock.wake_at(until, context);
            Poll::Pending
        }))
    }

    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Vec<u8>>, StorageError>> {
        ready(self.memory.get(key))
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], wrap: Wrap) -> Wait<'a, Result<(), StorageError>> {
        ready(self.memory.put(key, value, wrap))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StorageError>> {
        ready(self.memory.delete(key))
    }

    fn list<'a>(&'a self, page: Page<'a>) -> Wait<'a, Result<Vec<String>, StorageError>> {
        ready(self.memory.list(page))
    }

    fn begin(&self, access: Access) -> Wait<'_, Result<Box<dyn AsyncTransactionView + '_>, StorageError>> {
        let begun = self.memory.begin(access);
        ready(begun.map(|transaction| Box::new(MemoryAsyncTransaction(transaction)) as Box<dyn AsyncTransactionView>))
    }
}

struct MemoryAsyncTransaction<'a>(Box<dyn TransactionView + 'a>);

impl AsyncTransactionView for MemoryAsyncTransaction<'_> {
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Vec<u8>>, StorageError>> {
        ready(self.0.get(key))
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], wrap: Wrap) -> Wait<'a, Result<(), StorageError>> {
        ready(self.0.put(key, value, wrap))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StorageError>> {
        ready(self.0.delete(key))
    }

    fn list<'a>(&'a self, page: Page<'a>) -> Wait<'a, Result<Vec<String>, StorageError>> {
        ready(self.0.list(page))
    }

    fn commit<'a>(self: Box<Self>) -> Wait<'a, Result<(), StorageError>>
    where
        Self: 'a,
    {
        ready(self.0.commit())
    }
}

#[cfg(test)]
mod tests;
