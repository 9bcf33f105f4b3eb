//! The right to one call of an instance for one mount.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;
use tokio::time::timeout_at;

use super::member::{Member, Readiness, Seat};
use super::set::Set;
use crate::catalog::InstancePolicy;
use crate::meter::{InUse, Retired};
use crate::runtime::{Call, Failure, Instance, Residence};

/// When a resident instance that is made anew is initialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initialized {
    /// At once: it takes the place of one that crashed.
    Now,
    /// By whoever asked for it: the mount is starting.
    Later,
}

/// The right to one call of an instance for one mount, until it is dropped.
pub(super) struct Place<'set> {
    set: &'set Arc<Set>,
    pub(super) member: Arc<Member>,
    mount: Arc<str>,
    _in_use: InUse,
    _turn: Option<SemaphorePermit<'set>>,
}

impl<'set> Place<'set> {
    pub(super) fn new(
        set: &'set Arc<Set>,
        member: Arc<Member>,
        mount: Arc<str>,
        turn: Option<SemaphorePermit<'set>>,
    ) -> Self {
        let in_use = member.lend();
        Self { set, member, mount, _in_use: in_use, _turn: turn }
    }

    /// Returns the instance to call.
    pub(super) fn instance(&self) -> &Arc<dyn Instance> {
        &self.member.instance
    }

    /// Sets the instance up for the mount unless it is, and tells it which keys were written.
    pub(super) async fn prepare(&self, call: &Call, initialized: Initialized) -> Result<(), Failure> {
        let Some(preparing) = self.seat(|seat| Arc::clone(&seat.preparing)) else { return Err(left()) };
        // Whoever holds it works for as long as its own deadline allows.
        let _turn = timeout_at(call.deadline, preparing.lock()).await.map_err(|_| still_made())?;
        let begun = self.seat(|seat| {
            let readiness = std::mem::replace(&mut seat.readiness, Readiness::Preparing);
            (readiness, std::mem::take(&mut seat.written))
        });
        let (readiness, written) = begun.ok_or_else(left)?;
        let instance = &self.member.instance;
        if readiness == Readiness::Ready {
            for key in &written {
                let told = instance.invalidate(call.clone(), key).await;
                told.inspect_err(|failure| self.member.failed(failure))?;
            }
        } else {
            let mut set_up = instance.setup(call.clone()).await;
            if set_up.is_ok() && initialized == Initialized::Now && self.set.program.residence() == Residence::Resident
            {
                set_up = instance.initialize(call.clone()).await;
            }
            set_up.inspect_err(|_| self.member.dies_as(Retired::SetupFailed))?;
            if self.set.settings.policy == InstancePolicy::PerMount {
                instance.work_in_background(Call::lifecycle(&call.scope, call.limit));
            }
        }
        self.seat(|seat| {
            // Unless somebody wanted it forgotten meanwhile.
            if seat.readiness == Readiness::Preparing {
                seat.readiness = Readiness::Ready;
            }
        });
        Ok(())
    }

    fn seat<T>(&self, look: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        self.set.seat(&self.member, &self.mount, look)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.set.end(&self.member, &self.mount);
    }
}

fn still_made() -> Failure {
    Failure::Busy("its instance was still being made at the deadline".to_owned())
}

fn left() -> Failure {
    Failure::Busy("its mount is ending".to_owned())
}
