//! A sandbox that answers, one call at a time.
//!
//! A call takes the sandbox out of its place and puts it back only when the guest answered. So whatever ends a call
//! early (a trap, the deadline, a caller who stopped waiting and dropped the future) leaves the place empty: the
//! sandbox is gone with its memory, and a half-run guest can never serve anybody else.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Resource;
use wasmtime::{Store, Trap, WasmBacktrace};

use super::bindings::Plugin;
use super::bindings::cofferdam::plugin::types as wit;
use super::clock::YIELD_TICKS;
use super::convert;
use super::guest::Guest;
use super::lent::ContextHandle;
use crate::meter::MountMeter;
use crate::request::{Request, Response};
use crate::runtime::text::brief;
use crate::runtime::{Call, Failure, Instance};

/// A sandbox, or the empty place of one.
pub(super) struct WasmInstance {
    place: Mutex<Option<Box<Sandbox>>>,
}

struct Sandbox {
    store: Store<Guest>,
    plugin: Plugin,
}

/// A sandbox that is in a call.
struct Busy {
    sandbox: Box<Sandbox>,
    context: Resource<ContextHandle>,
    deadline: Instant,
    limit: Duration,
    /// Where the time counts that it runs.
    meter: Arc<MountMeter>,
}

/// What a guest's function returns: its own result, within what can go wrong with running it, within the deadline.
type Returned<T> = Result<wasmtime::Result<Result<T, wit::Error>>, tokio::time::error::Elapsed>;

impl WasmInstance {
    pub(super) fn new(store: Store<Guest>, plugin: Plugin) -> Self {
        Self { place: Mutex::new(Some(Box::new(Sandbox { store, plugin }))) }
    }

    fn begin(&self, call: Call) -> Result<Busy, Failure> {
        let taken = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut sandbox = taken.ok_or_else(|| Failure::Host("the instance is gone".to_owned()))?;
        let (deadline, limit, meter) = (call.deadline, call.limit, Arc::clone(&call.scope.meter));
        let context = sandbox.store.data_mut().begin(call);
        sandbox.store.set_epoch_deadline(YIELD_TICKS);
        Ok(Busy { sandbox, context, deadline, limit, meter })
    }

    fn end<T>(&self, mut busy: Busy, returned: Returned<T>) -> Result<T, Failure> {
        match returned {
            Err(_) => Err(Failure::Deadline(busy.limit)),
            Ok(Err(cause)) => Err(Failure::Trap(trap_report(&cause, busy.sandbox.store.data()))),
            Ok(Ok(answer)) => {
                busy.sandbox.store.data_mut().end();
                *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(busy.sandbox);
                answer.map_err(|error| Failure::Backend(convert::backend_error(error)))
            }
        }
    }
}

#[async_trait]
impl Instance for WasmInstance {
    fn is_alive(&self) -> bool {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    async fn setup(&self, call: Call) -> Result<(), Failure> {
        let mut busy = self.begin(call.read_only())?;
        let Sandbox { store, plugin } = &mut *busy.sandbox;
        let run = plugin.cofferdam_plugin_backend().call_setup(store, Resource::new_borrow(busy.context.rep()));
        let returned = timeout_at(busy.deadline, busy.meter.timed(run)).await;
        self.end(busy, returned)
    }

    async fn initialize(&self, call: Call) -> Result<(), Failure> {
        let mut busy = self.begin(call)?;
        let Sandbox { store, plugin } = &mut *busy.sandbox;
        let run = plugin.cofferdam_plugin_backend().call_initialize(store, Resource::new_borrow(busy.context.rep()));
        let returned = timeout_at(busy.deadline, busy.meter.timed(run)).await;
        self.end(busy, returned)
    }

    async fn handle(&self, call: Call, request: Request) -> Result<Response, Failure> {
        let mut busy = self.begin(call)?;
        let context = Resource::new_borrow(busy.context.rep());
        let request = convert::request(request);
        let returned = {
            let Sandbox { store, plugin } = &mut *busy.sandbox;
            // Pinned where it is made: it is large, and each wrapper would move it.
            let run = pin!(plugin.cofferdam_plugin_backend().call_handle(store, context, &request));
            timeout_at(busy.deadline, busy.meter.timed(run)).await
        };
        self.end(busy, returned).map(convert::response)
    }

    async fn exists(&self, call: Call, request: &Request) -> Result<Option<bool>, Failure> {
        let mut busy = self.begin(call)?;
        let Sandbox { store, plugin } = &mut *busy.sandbox;
        let context = Resource::new_borrow(busy.context.rep());
        let request = convert::request(request.clone());
        let run = plugin.cofferdam_plugin_backend().call_exists(store, context, &request);
        let returned = timeout_at(busy.deadline, busy.meter.timed(run)).await;
        self.end(busy, returned)
    }

    async fn invalidate(&self, call: Call, key: &str) -> Result<(), Failure> {
        let mut busy = self.begin(call)?;
        let Sandbox { store, plugin } = &mut *busy.sandbox;
        let context = Resource::new_borrow(busy.context.rep());
        let run = plugin.cofferdam_plugin_backend().call_invalidate(store, context, key);
        let returned = timeout_at(busy.deadline, busy.meter.timed(run)).await;
        self.end(busy, returned.map(|run| run.map(Ok)))
    }

    async fn cleanup(&self, call: Call) -> Result<(), Failure> {
        let mut busy = self.begin(call)?;
        let Sandbox { store, plugin } = &mut *busy.sandbox;
        let run = plugin.cofferdam_plugin_backend().call_cleanup(store, Resource::new_borrow(busy.context.rep()));
        let returned = timeout_at(busy.deadline, busy.meter.timed(run)).await;
        self.end(busy, returned.map(|run| run.map(Ok)))
    }
}

/// Says in one line why a sandbox ended: for the client, so with nothing of the guest's memory or of the host in it.
pub(super) fn trap_report(cause: &wasmtime::Error, guest: &Guest) -> String {
    let mut report = if let Some(exit) = cause.downcast_ref::<wasmtime_wasi::I32Exit>() {
        format!("it called exit({})", exit.0)
    } else if let Some(trap) = cause.downcast_ref::<Trap>() {
        format!("it trapped: {}", trap.to_string().trim_start_matches("wasm trap: "))
    } else {
        format!("it was stopped: {}", brief(&cause.root_cause().to_string()))
    };
    if let Some(limit) = guest.memory.exhausted() {
        report.push_str(&format!(" (it had reached its memory limit of {} MiB)", limit >> 20));
    }
    if let Some(backtrace) = cause.downcast_ref::<WasmBacktrace>() {
        // The first frame is where it happened; a person who builds plugins knows it by its name.
        if let Some(name) = backtrace.frames().first().and_then(|frame| frame.func_name()) {
            report.push_str(&format!(" in {}", brief(name)));
        }
    }
    report
}
