//! A built-in plugin's backend: what runs its calls, each on a thread of its own, and cuts off those that are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cofferdam_sdk::embed::{Backend, View};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::line::Line;
use super::view::CallView;
use super::{Shared, convert};
use crate::request::{Request, Response};
use crate::runtime::{Call, Failure, Instance};

/// A backend. Whatever ends a call early (a panic, the deadline, a caller who stopped waiting) ends the instance too: a thread that
/// goes on may hold a lock inside the plugin for ever. Other calls that are in it end as they would.
pub(super) struct BuiltinInstance {
    backend: Arc<dyn Backend>,
    shared: Arc<Shared>,
    gone: AtomicBool,
}

impl BuiltinInstance {
    pub(super) fn new(backend: Box<dyn Backend>, shared: Arc<Shared>) -> Self {
        Self { backend: backend.into(), shared, gone: AtomicBool::new(false) }
    }

    /// Runs the plugin, and returns what it answers.
    async fn run<T: Send + 'static>(
        &self,
        call: Call,
        work: impl FnOnce(&dyn Backend, &dyn View) -> Result<T, cofferdam_sdk::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let (deadline, limit) = (call.deadline, call.limit);
        let place = self.place(&call).await?;
        let mut running = Running { line: Arc::default(), gone: &self.gone, answered: false };
        let view = CallView {
            call,
            line: Arc::clone(&running.line),
            runtime: Handle::current(),
            line_bytes_max: self.shared.line_bytes_max,
        };
        let backend = Arc::clone(&self.backend);
        let task = spawn_blocking(move || {
            let _place = place;
            // It may have waited for a thread until after it was given up.
            (!view.line.is_cut()).then(|| work(&*backend, &view))
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(Some(answer))) => {
                running.answered = true;
                answer.map_err(|error| Failure::Backend(convert::backend_error(error)))
            }
            // What it said goes to standard error, as of any thread, and to no client.
            Ok(Err(error)) if error.is_panic() => Err(Failure::Trap("it panicked".to_owned())),
            Ok(Ok(None) | Err(_)) => Err(Failure::Host("the call was not begun".to_owned())),
            Err(_) => Err(Failure::Deadline(limit)),
        }
    }

    /// Waits for a place among the calls under way.
    async fn place(&self, call: &Call) -> Result<OwnedSemaphorePermit, Failure> {
        match timeout_at(call.deadline, Arc::clone(&self.shared.places).acquire_owned()).await {
            Ok(place) => place.map_err(|_| Failure::Host("built-in plugins are not served any more".to_owned())),
            Err(_) => {
                let calls_max = self.shared.calls_max;
                Err(Failure::Busy(format!("all {calls_max} calls that built-in plugins may be in are under way")))
            }
        }
    }
}

/// A call that is under way, as the host sees it. Dropping it, in whatever way the call ends, takes the storage away.
struct Running<'a> {
    line: Arc<Line>,
    gone: &'a AtomicBool,
    answered: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.line.cut();
        if !self.answered {
            self.gone.store(true, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl Instance for BuiltinInstance {
    fn is_alive(&self) -> bool {
        !self.gone.load(Ordering::SeqCst)
    }

    async fn setup(&self, call: Call) -> Result<(), Failure> {
        self.run(call.read_only(), |backend, view| backend.setup(view)).await
    }

    async fn initialize(&self, call: Call) -> Result<(), Failure> {
        self.run(call, |backend, view| backend.initialize(view)).await
    }

    async fn handle(&self, call: Call, request: Request) -> Result<Response, Failure> {
        let request = convert::request(request);
        self.run(call, |backend, view| backend.handle(view, request)).await.map(convert::response)
    }

    async fn exists(&self, call: Call, request: &Request) -> Result<Option<bool>, Failure> {
        let request = convert::request(request.clone());
        self.run(call, |backend, view| backend.exists(view, request)).await.map(convert::known)
    }

    async fn invalidate(&self, call: Call, key: &str) -> Result<(), Failure> {
        let key = key.to_owned();
        self.run(call, move |backend, view| {
            backend.invalidate(view, &key);
            Ok(())
        })
        .await
    }

    async fn cleanup(&self, call: Call) -> Result<(), Failure> {
        self.run(call, |backend, view| {
            backend.cleanup(view);
            Ok(())
        })
        .await
    }
}
