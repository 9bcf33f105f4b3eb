//! A built-in plugin's backend: what runs its calls, each on a thread of its own, and cuts off those that are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_sdk::embed::{Backend, View};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{timeout, timeout_at};

use super::line::Line;
use super::view::CallView;
use super::{Shared, convert};
use crate::request::{Request, Response};
use crate::runtime::{Call, Failure, Instance};

/// A backend. A panic ends the instance. So does a call that was given up, since its deadline passed or nobody waits
/// for it any more, and that does not return soon though its storage is gone: it may hold a lock inside the plugin for
/// ever. Other calls that are in the instance end as they would.
pub(super) struct BuiltinInstance {
    backend: Arc<dyn Backend>,
    shared: Arc<Shared>,
    gone: Arc<AtomicBool>,
}

impl BuiltinInstance {
    pub(super) fn new(backend: Box<dyn Backend>, shared: Arc<Shared>) -> Self {
        Self { backend: backend.into(), shared, gone: Arc::default() }
    }

    /// Runs the plugin, and returns what it answers.
    async fn run<T: Send + 'static>(
        &self,
        call: Call,
        work: impl FnOnce(&dyn Backend, &dyn View) -> Result<T, cofferdam_sdk::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let (deadline, limit) = (call.deadline, call.limit);
        let place = self.place(&call).await?;
        let line = Arc::new(Line::default());
        let view = CallView {
            call,
            line: Arc::clone(&line),
            runtime: Handle::current(),
            line_bytes_max: self.shared.line_bytes_max,
        };
        let backend = Arc::clone(&self.backend);
        let task = spawn_blocking(move || {
            let _place = place;
            // It may have waited for a thread until after it was given up.
            (!view.line.is_cut()).then(|| work(&*backend, &view))
        });
        let mut running = Running { task: Some(task), line, gone: Arc::clone(&self.gone), grace: self.shared.grace };
        match timeout_at(deadline, running.ended()).await {
            Ok(Ok(Some(answer))) => answer.map_err(|error| Failure::Backend(convert::backend_error(error))),
            Ok(Err(error)) if error.is_panic() => {
                self.gone.store(true, Ordering::SeqCst);
                // What it said went to standard error, as of any thread, and goes to no client.
                Err(Failure::Trap("it panicked".to_owned()))
            }
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
struct Running<T: Send + 'static> {
    /// `None` once it has ended.
    task: Option<JoinHandle<T>>,
    line: Arc<Line>,
    gone: Arc<AtomicBool>,
    /// How long it may take to return once it is given up.
    grace: Duration,
}

impl<T: Send> Running<T> {
    /// Returns what the task returned.
    async fn ended(&mut self) -> Result<T, JoinError> {
        let ended = match &mut self.task {
            Some(task) => task.await,
            None => std::future::pending().await,
        };
        self.task = None;
        ended
    }
}

impl<T: Send> Drop for Running<T> {
    fn drop(&mut self) {
        self.line.cut();
        let Some(task) = self.task.take() else { return };
        let (gone, grace) = (Arc::clone(&self.gone), self.grace);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if !matches!(timeout(grace, task).await, Ok(Ok(_))) {
                    gone.store(true, Ordering::SeqCst);
                }
            })),
            Err(_) => gone.store(true, Ordering::SeqCst),
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
