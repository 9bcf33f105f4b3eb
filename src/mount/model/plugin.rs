//! A plugin whose instances do what the history says, and report to its book.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::timeout_at;

use super::book::{Book, InFlight, Memory, Order, Written, lock};
use super::{Failing, How, INSTANCES_MAX, Kept, Sort};
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::mount::{Attempt, Launched, Launcher, StartError};
use crate::pool::PoolSettings;
use crate::request::{BackendError, Operation, Request, Response};
use crate::runtime::{Call, Description, Failure, Grants, Instance, Program, Residence};

pub(super) struct Plugin {
    pub(super) sort: Sort,
    pub(super) is_shared: bool,
    pub(super) description: Description,
    pub(super) meter: Arc<PluginMeter>,
    pub(super) book: Arc<Mutex<Book>>,
}

pub(super) struct Actor {
    pub(super) sort: Sort,
    pub(super) number: u64,
    pub(super) is_alive: Arc<AtomicBool>,
    pub(super) book: Arc<Mutex<Book>>,
}

/// What an instance is in. It dies if this is dropped before it is over, unless it serves others too.
pub(super) struct Busy<'a> {
    pub(super) actor: &'a Actor,
    pub(super) request: Option<u16>,
    pub(super) is_over: bool,
}

/// Lets others run, or not, as the history says.
pub(super) async fn pause(book: &Mutex<Book>) {
    let turns = lock(book).pause();
    for _ in 0..turns {
        yield_now().await;
    }
}

/// The number of the request that a call is for.
pub(super) fn number(call: &Call) -> Option<u16> {
    call.remote_address.map(|address| address.port())
}

/// The number of the mount's generation that a call is for.
pub(super) fn generation(call: &Call) -> u64 {
    call.scope.accessor.parse().expect("the accessor is its generation's number")
}

#[async_trait]
impl Program for Plugin {
    fn description(&self) -> &Description {
        &self.description
    }

    fn capabilities(&self) -> &[String] {
        &[]
    }

    fn imports(&self) -> &[String] {
        &[]
    }

    fn meter(&self) -> &Arc<PluginMeter> {
        &self.meter
    }

    fn concurrency(&self) -> NonZeroU32 {
        NonZeroU32::new(self.sort.concurrency()).expect("it is not zero")
    }

    fn residence(&self) -> Residence {
        if self.sort == Sort::Native { Residence::Resident } else { Residence::Evictable }
    }

    async fn instantiate(&self, _: &Grants) -> Result<Arc<dyn Instance>, Failure> {
        pause(&self.book).await;
        let mut book = lock(&self.book);
        if book.takes(Failing::Make) {
            return Err(Failure::Trap("it was told not to be made".to_owned()));
        }
        let is_alive = Arc::new(AtomicBool::new(true));
        let number = book.made(self.sort, self.is_shared, &is_alive);
        Ok(Arc::new(Actor { sort: self.sort, number, is_alive, book: Arc::clone(&self.book) }))
    }
}

impl Actor {
    pub(super) fn begin(&self, request: Option<u16>) -> Busy<'_> {
        lock(&self.book).begin(self.number);
        Busy { actor: self, request, is_over: false }
    }

    /// Notes at what version it began to be prepared for a request.
    pub(super) fn prepares(&self, call: &Call) -> u64 {
        let mut book = lock(&self.book);
        let version = book.version;
        if let Some(number) = number(call) {
            book.prepared.entry(number).or_insert(version);
        }
        version
    }

    pub(super) fn die(&self) {
        self.is_alive.store(false, Ordering::SeqCst);
    }

    pub(super) async fn obey(&self, call: &Call, orders: &mut UnboundedReceiver<Order>) -> Result<How, Failure> {
        loop {
            match timeout_at(call.deadline, orders.recv()).await {
                Err(_) => return Err(Failure::Deadline(call.limit)),
                Ok(None) => return Ok(How::Answers),
                Ok(Some(Order::End(ending))) => return Ok(ending),
                Ok(Some(Order::Write(key))) => {
                    let (key, value) = (format!("k{key}"), Bytes::from_static(b"1").into());
                    if call.storage.put(&key, &value).await.is_ok() {
                        let mut book = lock(&self.book);
                        let version = book.next_version();
                        let written = Written { version, generation: generation(call), by: Some(self.number) };
                        book.wrote(&call.scope.id, key, written);
                    }
                }
            }
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        lock(&self.book).instances.remove(&self.number);
    }
}

impl Busy<'_> {
    pub(super) fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.actor.sort.concurrency() == 1 {
            self.actor.die();
        }
        let mut book = lock(&self.actor.book);
        book.end(self.actor.number);
        if let Some(number) = self.request {
            book.calls.retain(|call| call.number != number);
        }
    }
}

#[async_trait]
impl Instance for Actor {
    fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::SeqCst)
    }

    async fn setup(&self, call: Call) -> Result<(), Failure> {
        let busy = self.begin(None);
        let set_up_at = self.prepares(&call);
        if lock(&self.book).takes(Failing::SetUpForEver) {
            let _ = timeout_at(call.deadline, std::future::pending::<()>()).await;
            return Err(Failure::Deadline(call.limit));
        }
        pause(&self.book).await;
        let mut book = lock(&self.book);
        if book.takes(Failing::SetUp) {
            drop(book);
            return Err(Failure::Trap("it was told not to set up".to_owned()));
        }
        if let Some(known) = book.instances.get_mut(&self.number) {
            known.mounts.insert(Arc::clone(&call.scope.id), Memory { set_up_at, told: BTreeMap::new() });
        }
        drop(book);
        busy.over();
        Ok(())
    }

    async fn initialize(&self, _: Call) -> Result<(), Failure> {
        let busy = self.begin(None);
        pause(&self.book).await;
        busy.over();
        Ok(())
    }

    async fn handle(&self, call: Call, request: Request) -> Result<Response, Failure> {
        if request.operation == Operation::Rollback {
            let busy = self.begin(None);
            pause(&self.book).await;
            busy.over();
            return Ok(Response::default());
        }
        let number = number(&call).expect("each request has a number");
        let busy = self.begin(Some(number));
        let (orders, mut received) = unbounded_channel();
        lock(&self.book).answers(InFlight {
            mount: Arc::clone(&call.scope.id),
            generation: generation(&call),
            instance: self.number,
            sort: self.sort,
            number,
            orders,
        });
        match self.obey(&call, &mut received).await? {
            How::Answers => {
                busy.over();
                Ok(Response::default())
            }
            How::Declines => {
                busy.over();
                Err(Failure::Backend(BackendError::NotFound("it was told to decline".to_owned())))
            }
            How::Crashes => {
                self.die();
                Err(Failure::Trap("it was told to crash".to_owned()))
            }
        }
    }

    async fn exists(&self, _: Call, _: &Request) -> Result<Option<bool>, Failure> {
        Ok(None)
    }

    async fn invalidate(&self, call: Call, key: &str) -> Result<(), Failure> {
        let busy = self.begin(None);
        let version = self.prepares(&call);
        pause(&self.book).await;
        if let Some(known) = lock(&self.book).instances.get_mut(&self.number) {
            // Others may have told it meanwhile.
            let told = known.mounts.entry(Arc::clone(&call.scope.id)).or_default().told.entry(key.to_owned());
            let told = told.or_default();
            *told = version.max(*told);
        }
        busy.over();
        Ok(())
    }

    async fn cleanup(&self, call: Call) -> Result<(), Failure> {
        let busy = self.begin(None);
        pause(&self.book).await;
        if let Some(known) = lock(&self.book).instances.get_mut(&self.number) {
            known.mounts.remove(&call.scope.id);
        }
        busy.over();
        Ok(())
    }
}

/// Launches one of the plugins, kept in one way.
pub(super) struct Starter {
    pub(super) program: Arc<Plugin>,
    pub(super) kept: Kept,
}

#[async_trait]
impl Launcher for Starter {
    async fn launch(&self, _: Attempt) -> Result<Launched, StartError> {
        let program = Arc::clone(&self.program) as Arc<dyn Program>;
        let settings = PoolSettings::resolve(self.kept.policy, &self.kept.limits, &*program, &limits());
        Ok(Launched { program, settings, version: None, sha256: None })
    }
}

fn limits() -> Limits {
    Limits {
        mount_instances_max: INSTANCES_MAX,
        pooled_instances_max: INSTANCES_MAX,
        per_request_instances_max: INSTANCES_MAX,
        ..Limits::default()
    }
}
