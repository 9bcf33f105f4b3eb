//! One backend in a process: what answers for one mount.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_proto::messages::pb;
use cofferdam_proto::names::NO_INSTANCE;
use tokio::time::timeout_at;
use tonic::Code;

use super::callbacks::Callbacks;
use super::client::{Backend, Missed, after};
use super::convert;
use super::process::{Process, why};
use super::supervision::{Core, kind_of};
use crate::request::{BackendError, Request, Response};
use crate::runtime::text::brief;
use crate::runtime::{Call, Failure, Instance, PathRules};

/// How long a plugin may take to show that it still answers at all, after a call ran out of time.
const SIGN_OF_LIFE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a backend that is given up may take to clean up.
const ABANDONED_CLEANUP: Duration = Duration::from_secs(10);

/// A backend, from its setup on.
pub(super) struct ProcessInstance {
    core: Arc<Core>,
    seat: OnceLock<Seat>,
}

/// A backend's place in a process.
struct Seat {
    process: Arc<Process>,
    backend: Backend,
    callbacks: Callbacks,
    /// The socket that the plugin asks them through.
    socket: PathBuf,
    mount: Arc<str>,
    unauthenticated: PathRules,
    /// The plugin's SDK lost it, or it was cleaned up.
    gone: AtomicBool,
    /// The plugin was told to forget it.
    cleaned: AtomicBool,
}

impl ProcessInstance {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, seat: OnceLock::new() }
    }

    fn seat(&self, call: &Call) -> Result<&Seat, Failure> {
        let seat = self.seat.get().ok_or_else(|| Failure::Host("the backend was not set up".to_owned()))?;
        seat.callbacks.update(&call.scope);
        seat.process.log.enter(&call.scope.id, &call.scope.path);
        Ok(seat)
    }

    async fn take_seat(&self, call: &Call, process: Arc<Process>) -> Result<Seat, Failure> {
        let (limits, scope) = (&self.core.shared.limits, &call.scope);
        let id = process.broker.next_id();
        let address = process.directory.path().join(id.to_string());
        let (tls, room) = (process.tls.clone(), &process.room);
        let callbacks = Callbacks::listen(scope, address.clone(), tls, room, limits.process_message_bytes_max);
        let callbacks = callbacks.map_err(|error| {
            Failure::Host(format!("its callbacks cannot be served at {}: {error}", address.display()))
        })?;
        let announced = timeout_at(call.deadline, process.broker.announce(id, &address)).await;
        announced
            .map_err(|_| Failure::Deadline(call.limit))?
            .map_err(|error| Failure::Trap(format!("its broker is gone: {error}")))?;
        let backend = Backend::new(process.channel.clone(), limits.process_message_bytes_max);
        let mut seat = Seat {
            process,
            backend,
            callbacks,
            socket: address,
            mount: Arc::clone(&scope.id),
            unauthenticated: PathRules::default(),
            gone: AtomicBool::new(false),
            cleaned: AtomicBool::new(false),
        };
        seat.process.log.enter(&scope.id, &scope.path);
        let mut config: HashMap<_, _> = scope.options.clone().into_iter().collect();
        config.extend(self.core.config());
        let args = pb::SetupArgs { broker_id: id, config, backend_uuid: scope.id.to_string() };
        let reply = seat.answered(call, seat.backend.setup(scope, args, call.deadline).await).await?;
        if !reply.err.is_empty() {
            return Err(Failure::Backend(BackendError::Internal(brief(&reply.err))));
        }
        let kind = seat.answered(call, seat.backend.kind(call.deadline).await).await?;
        match kind_of(kind.r#type) {
            Ok(kind) if kind == self.core.kind => {}
            Ok(kind) => {
                return Err(Failure::Trap(format!(
                    "it says now that it is of type {kind}, and it is {}",
                    self.core.kind
                )));
            }
            Err(why) => return Err(Failure::Trap(format!("it {why}"))),
        }
        let paths = seat.answered(call, seat.backend.special_paths(call.deadline).await).await?;
        let open = paths.paths.unwrap_or_default().unauthenticated;
        seat.unauthenticated = PathRules::parse(&open)
            .map_err(|why| Failure::Trap(format!("its unauthenticated paths are malformed: {why}")))?;
        seat.callbacks.open().await;
        Ok(seat)
    }
}

impl Seat {
    /// Gives an answer, or its absence, its meaning.
    async fn answered<T>(&self, call: &Call, answer: Result<T, Missed>) -> Result<T, Failure> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(Missed::Deadline) => {
                self.look_for_life();
                Err(Failure::Deadline(call.limit))
            }
            Err(Missed::Status(status)) => {
                if let Some(exit) = self.process.end_behind(&status).await {
                    return Err(Failure::Trap(format!("its process {exit}")));
                }
                if matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) {
                    // The message was too large, and only this call suffers.
                    return Err(Failure::Unusable(format!("more than is taken: {}", brief(status.message()))));
                }
                // Where the connection is gone, or the plugin's SDK has lost track of this backend, a new one starts
                // from a clean slate.
                let lost = std::error::Error::source(&*status).is_some() || status.message().contains(NO_INSTANCE);
                if lost {
                    self.gone.store(true, Ordering::SeqCst);
                    return Err(Failure::Trap(why(&Missed::Status(status))));
                }
                Err(Failure::Unusable(why(&Missed::Status(status))))
            }
        }
    }

    /// Kills a process that does not even answer what its SDK answers by itself.
    fn look_for_life(&self) {
        // Not the process itself, which would live as long as this looks.
        let (child, log) = (Arc::clone(&self.process.child), Arc::clone(&self.process.log));
        let backend = self.backend.clone();
        tokio::spawn(async move {
            let looked = backend.kind(after(SIGN_OF_LIFE_DEADLINE)).await;
            if matches!(looked, Err(Missed::Deadline)) && child.has_exited().is_none() {
                log.fault("the plugin's process does not answer any more, and is killed");
                child.kill();
            }
        });
    }

    fn is_alive(&self) -> bool {
        !self.gone.load(Ordering::Relaxed) && self.process.is_alive() && !self.process.misses(&self.socket)
    }
}

/// Whoever drops a backend without cleaning up leaves nobody to wait for it.
impl Drop for Seat {
    fn drop(&mut self) {
        if !self.process.is_alive() {
            // What it printed last may still be on its way to the log, and names the mount.
            return;
        }
        self.process.log.leave(&self.mount);
        if self.cleaned.load(Ordering::SeqCst) {
            return;
        }
        // It keeps the process until it is through; a plugin that is set up again under a new id must forget the old
        // one.
        let (process, backend) = (Arc::clone(&self.process), self.backend.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                drop(backend.cleanup(after(ABANDONED_CLEANUP)).await);
                drop(process);
            });
        }
    }
}

#[async_trait]
impl Instance for ProcessInstance {
    fn is_alive(&self) -> bool {
        // One that has not been set up yet can be.
        self.seat.get().is_none_or(Seat::is_alive)
    }

    fn unauthenticated(&self) -> Option<&PathRules> {
        self.seat.get().map(|seat| &seat.unauthenticated)
    }

    async fn setup(&self, call: Call) -> Result<(), Failure> {
        if self.seat.get().is_some() {
            // What came after it failed, and is tried again.
            return Ok(());
        }
        let starting = self.core.process(&call.scope.id);
        // A process that takes its time goes on starting only as long as somebody waits for it.
        let process = tokio::time::timeout_at(call.deadline, starting).await;
        let process = process.map_err(|_| Failure::Deadline(call.limit))??;
        let multiplexes = process.multiplexes;
        let seat = self.take_seat(&call, process).await.inspect_err(|failure| {
            if !multiplexes {
                // Its process goes with it, and the next attempt takes another.
                self.core.failed(&call.scope.id, Duration::ZERO, &failure.to_string());
            }
        })?;
        self.seat.set(seat).map_err(|_| Failure::Host("the backend was set up twice".to_owned()))
    }

    async fn initialize(&self, call: Call) -> Result<(), Failure> {
        let seat = self.seat(&call)?;
        match seat.backend.initialize(&call).await {
            // Plugins of old SDKs have no such call.
            Err(Missed::Status(status)) if status.code() == Code::Unimplemented => Ok(()),
            answer => seat.answered(&call, answer).await?.err.map_or(Ok(()), |error| Err(convert::error(error))),
        }
    }

    async fn handle(&self, call: Call, request: Request) -> Result<Response, Failure> {
        let seat = self.seat(&call)?;
        let request = convert::request(&call, &request, self.core.kind, self.core.launch.name.as_str())?;
        let answer = seat.backend.handle(&call, request).await;
        convert::reply(seat.answered(&call, answer).await?)
    }

    async fn exists(&self, call: Call, request: &Request) -> Result<Option<bool>, Failure> {
        let seat = self.seat(&call)?;
        let request = convert::request(&call, request, self.core.kind, self.core.launch.name.as_str())?;
        let answer = seat.backend.exists(&call, request).await;
        let reply = seat.answered(&call, answer).await?;
        match reply.err {
            Some(error) => Err(convert::error(error)),
            None => Ok(reply.check_found.then_some(reply.exists)),
        }
    }

    async fn invalidate(&self, call: Call, key: &str) -> Result<(), Failure> {
        let seat = self.seat(&call)?;
        let answer = seat.backend.invalidate(&call, key).await;
        seat.answered(&call, answer).await
    }

    async fn cleanup(&self, call: Call) -> Result<(), Failure> {
        let Some(seat) = self.seat.get() else { return Ok(()) };
        let answer = seat.backend.cleanup(call.deadline).await;
        // It stores nothing from here on, whatever it answered: the mount's data may be wiped next.
        seat.callbacks.close().await;
        let answer = seat.answered(&call, answer).await;
        seat.gone.store(true, Ordering::SeqCst);
        seat.cleaned.store(true, Ordering::SeqCst);
        seat.process.log.leave(&seat.mount);
        answer
    }
}
