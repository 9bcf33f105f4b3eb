//! The right to call an instance for one mount, from the moment that it was chosen until it is given back.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::audience::Audience;
use super::instance::{Live, MountState, Preparation};
use super::roster::Found;
use super::turns::Turn;
use crate::meter::{InUse, Retired};
use crate::plugin::InstancePolicy;
use crate::request::{Request, Response};
use crate::runtime::{Call, Failure, Instance, MountKey, Residence};

/// An instance that may be called, until this is dropped. Dropping it gives a healthy instance back and lets a dead one
/// go.
pub(crate) struct Borrowed<'pool> {
    audience: &'pool Arc<Audience>,
    live: Arc<Live>,
    /// The mount whose call the roster counts; `None` for an instance that serves nobody else.
    mount: Option<MountKey>,
    _in_use: InUse,
    _turns: [Option<Turn<'pool>>; 2],
}

/// When a resident instance that is made anew is initialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initialized {
    /// At once: it takes the place of one that crashed.
    Now,
    /// By the caller: the mount is starting.
    Later,
}

impl<'pool> Borrowed<'pool> {
    /// Borrows an instance of the roster, which has been entered for this mount.
    pub(super) fn entered(
        audience: &'pool Arc<Audience>,
        live: Arc<Live>,
        mount: MountKey,
        turns: [Option<Turn<'pool>>; 2],
    ) -> Self {
        let in_use = live.lend();
        Self { audience, live, mount: Some(mount), _in_use: in_use, _turns: turns }
    }

    /// Borrows an instance of the roster that is ready, if one is free and nobody has to be waited for.
    pub(super) fn at_once(audience: &'pool Arc<Audience>, mount: MountKey, turn: Turn<'pool>) -> Option<Self> {
        let shared = match &audience.roster.shared_turns {
            Some(turns) => Some(turns.try_take()?),
            None => None,
        };
        let live = audience.roster.find_ready(mount)?;
        Some(Self::entered(audience, live, mount, [Some(turn), shared]))
    }

    /// Borrows an instance of the roster, made if need be, set up for the call's mount and told what was written.
    pub(super) async fn kept(
        audience: &'pool Arc<Audience>,
        call: &Call,
        initialized: Initialized,
        turn: Option<Turn<'pool>>,
    ) -> Result<Self, Failure> {
        let shared = match &audience.roster.shared_turns {
            Some(turns) => Some(turns.take(call).await?),
            None => None,
        };
        let Found { live, is_ready } = audience.roster.find(call).await?;
        let borrowed = Self::entered(audience, live, call.scope.key, [turn, shared]);
        if !is_ready {
            borrowed.prepare(call, initialized).await?;
        }
        Ok(borrowed)
    }

    /// Makes an instance for this call alone, and sets it up.
    pub(super) async fn fresh(audience: &'pool Arc<Audience>, call: &Call, turn: Turn<'pool>) -> Result<Self, Failure> {
        let roster = &audience.roster;
        let live = Arc::new(Live::make(&*roster.program, &roster.settings.grants, &roster.budget, call).await?);
        let in_use = live.lend();
        let set_up = live.instance.setup(call.clone()).await;
        live.goes_as(if set_up.is_ok() { Retired::Finished } else { Retired::SetupFailed });
        set_up?;
        Ok(Self { audience, live, mount: None, _in_use: in_use, _turns: [Some(turn), None] })
    }

    /// Sets the instance up for the mount unless it is, and tells it which keys were written.
    pub(super) async fn prepare(&self, call: &Call, initialized: Initialized) -> Result<(), Failure> {
        let preparing = self.state(|state| Arc::clone(&state.preparing)).ok_or_else(left)?;
        // Whoever holds it works for as long as its own deadline allows.
        let _preparing = timeout_at(call.deadline, preparing.lock()).await.map_err(|_| still_made())?;
        match self.state(MountState::begin_preparing).ok_or_else(left)? {
            Preparation::Tell(written) => self.tell(call, &written).await?,
            Preparation::SetUp => self.set_up(call, initialized).await?,
        }
        self.state(MountState::end_preparing);
        Ok(())
    }

    async fn tell(&self, call: &Call, written: &[Arc<str>]) -> Result<(), Failure> {
        for key in written {
            self.noting(self.live.instance.invalidate(call.clone(), key).await)?;
        }
        Ok(())
    }

    async fn set_up(&self, call: &Call, initialized: Initialized) -> Result<(), Failure> {
        let instance = &self.live.instance;
        let mut set_up = instance.setup(call.clone()).await;
        let is_resident = self.audience.roster.program.residence() == Residence::Resident;
        if set_up.is_ok() && is_resident && initialized == Initialized::Now {
            set_up = instance.initialize(call.clone()).await;
        }
        set_up.inspect_err(|_| self.live.dies_as(Retired::SetupFailed))?;
        if initialized == Initialized::Now && self.audience.roster.settings.policy == InstancePolicy::PerMount {
            let background = Call::lifecycle(&call.scope, call.limit);
            instance.work_in_background(self.observed(background));
        }
        Ok(())
    }

    /// Looks at what the instance knows of the mount, unless the mount has ended there.
    fn state<T>(&self, look: impl FnOnce(&mut MountState) -> T) -> Option<T> {
        self.audience.roster.state_of(&self.live, self.mount?, look)
    }

    // ----------------------------------------------------------------------------------------------------------------
    // Calling it

    pub(super) fn instance(&self) -> &Arc<dyn Instance> {
        &self.live.instance
    }

    /// Answers a request.
    pub(crate) fn handle(
        &self,
        call: Call,
        request: Request,
    ) -> impl Future<Output = Result<Response, Failure>> + Send + '_ {
        // Both move into the instance's future at once, and not through this one.
        let answer = self.instance().handle(self.observed(call), request);
        async move { self.noting(answer.await) }
    }

    /// Tells whether the path of a write exists.
    pub(crate) async fn exists(&self, call: Call, request: &Request) -> Result<Option<bool>, Failure> {
        self.noting(self.instance().exists(call.read_only(), request).await)
    }

    /// Starts the mount in this instance.
    pub(super) async fn initialize(&self, call: Call) -> Result<(), Failure> {
        self.noting(self.instance().initialize(self.observed(call)).await)
    }

    /// Returns the call with a storage whose writes the other instances hear of, if there can be any.
    pub(crate) fn observed(&self, call: Call) -> Call {
        self.audience.observed(call, self.mount.map(|_| &self.live))
    }

    /// Counts a failure that may have been the instance's end.
    fn noting<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        outcome.inspect_err(|failure| self.live.failed(failure))
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(mount) = self.mount {
            self.audience.roster.leave(&self.live, mount);
        }
    }
}

fn still_made() -> Failure {
    Failure::Busy("its instance was still being made at the deadline".to_owned())
}

fn left() -> Failure {
    Failure::Busy("its mount is ending".to_owned())
}
