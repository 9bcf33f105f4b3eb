//! One live instance: the calls that it is in, what it knows of each mount, and how it goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout_at;

use super::budget::{InstanceBudget, InstancePermit};
use crate::meter::{InUse, LiveInstance, Retired};
use crate::runtime::{Call, Failure, Grants, Instance, MountKey, Program, Residence};

/// Mounts that one instance answers for in its life. A plugin keeps state for each, in a memory that is bounded; a
/// fresh instance costs less than asking the plugin to forget one mount after the other.
const MOUNTS_MAX: usize = 256;

/// Keys of one mount that an instance is told of one by one. When others have written more since its last call, it is
/// set up again instead, which makes it forget all of them.
const KEYS_TOLD_MAX: usize = 64;

/// A live instance. It lives until the roster and all calls have dropped it.
pub(super) struct Live {
    pub(super) instance: Arc<dyn Instance>,
    counted: Arc<LiveInstance>,
    /// Whether it is known why it died.
    explained: AtomicBool,
    /// `None` for a resident one, which takes no place in the budget. Given back when the instance is gone.
    _permit: Option<InstancePermit>,
}

/// What a roster knows of one of its instances.
pub(super) struct Entry {
    pub(super) live: Arc<Live>,
    /// Calls that the instance is in now.
    pub(super) busy: u32,
    /// Calls that it has answered, or failed to.
    pub(super) served: u64,
    /// Whether it takes no further calls, and goes when it is in none.
    pub(super) is_retiring: bool,
    /// The [moment](InstanceBudget::now) of its last call.
    pub(super) last_used: u64,
    /// How many sweeps have found it idle since its last call.
    pub(super) idle_sweeps: u32,
    pub(super) mounts: BTreeMap<MountKey, MountState>,
}

/// What an instance knows of one mount.
#[derive(Default)]
pub(super) struct MountState {
    /// Calls for the mount that the instance is in now.
    pub(super) in_flight: u32,
    pub(super) readiness: Readiness,
    /// Keys that others have written since the instance was set up or told, each once, in the order in which they were
    /// first written.
    pub(super) written: Vec<Arc<str>>,
    /// Held by the call that sets the instance up or tells it of keys.
    pub(super) preparing: Arc<tokio::sync::Mutex<()>>,
}

/// Whether an instance may be called for a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It has to be set up.
    #[default]
    Unready,
    /// It is being set up or told of keys; or it was, and that failed or was given up. What others write from then on
    /// is noted, since the instance may have read the value before.
    Preparing,
    /// It was set up, and has only to be told of the keys that others wrote.
    Ready,
}

// --------------------------------------------------------------------------------------------------------------------
// Live

impl Live {
    /// Makes an instance that is granted this and is not set up for any mount yet, within the call's deadline.
    pub(super) async fn make(
        program: &dyn Program,
        grants: &Grants,
        budget: &Arc<InstanceBudget>,
        call: &Call,
    ) -> Result<Self, Failure> {
        let permit = match program.residence() {
            Residence::Evictable => Some(budget.admit(call.deadline).await?),
            Residence::Resident => None,
        };
        // A guest's code may run already while its instance is made.
        let made = timeout_at(call.deadline, program.instantiate(grants)).await;
        let instance = made.map_err(|_| Failure::Deadline(call.limit))??;
        let counted = program.meter().created();
        Ok(Self { instance, counted, explained: AtomicBool::new(false), _permit: permit })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.instance.is_alive()
    }

    /// Counts a failure that may have been the instance's end as the reason of that.
    pub(super) fn failed(&self, failure: &Failure) {
        self.dies_as(failure.retires_as());
    }

    /// Counts why the instance died, if it is dead. What is said first counts.
    pub(super) fn dies_as(&self, why: Retired) {
        if !self.is_alive() && !self.explained.swap(true, Ordering::Relaxed) {
            self.counted.retire(why);
        }
    }

    /// Counts why the instance goes, which it does when the last call has ended. What is said last counts.
    pub(super) fn goes_as(&self, why: Retired) {
        self.counted.retire(why);
    }

    /// Counts the instance as busy until the result is dropped.
    pub(super) fn lend(&self) -> InUse {
        self.counted.lend()
    }
}

// --------------------------------------------------------------------------------------------------------------------
// Entry

impl Entry {
    pub(super) fn new(live: Arc<Live>, now: u64) -> Self {
        Self { live, busy: 0, served: 0, is_retiring: false, last_used: now, idle_sweeps: 0, mounts: BTreeMap::new() }
    }

    /// Returns whether the instance is in a call for this mount. Even one that is about to go may still store something
    /// then.
    pub(super) fn answers_for(&self, mount: MountKey) -> bool {
        self.mounts.get(&mount).is_some_and(|state| state.in_flight > 0)
    }

    /// Returns whether the instance will never answer again. One that serves a call at a time only shows it when the
    /// call is over.
    pub(super) fn is_dead(&self, concurrency: u32) -> bool {
        self.busy < concurrency && !self.live.is_alive()
    }

    pub(super) fn takes_calls(&self, concurrency: u32) -> bool {
        !self.is_retiring && self.busy < concurrency && self.live.is_alive()
    }

    pub(super) fn knows(&self, mount: MountKey) -> bool {
        self.mounts.contains_key(&mount)
    }

    /// Returns whether the instance can be called for this mount as it is.
    pub(super) fn is_ready_for(&self, mount: MountKey) -> bool {
        self.mounts.get(&mount).is_some_and(MountState::is_ready)
    }

    /// Returns whether the instance was set up for this mount, and has at most to be told of keys.
    pub(super) fn is_set_up_for(&self, mount: MountKey) -> bool {
        self.mounts.get(&mount).is_some_and(|state| state.readiness == Readiness::Ready)
    }

    /// Returns whether the instance may get to know one more mount.
    pub(super) fn has_room(&self) -> bool {
        self.mounts.len() < MOUNTS_MAX
    }

    /// Lets the instance take no further calls.
    pub(super) fn retire(&mut self, why: Retired) {
        self.is_retiring = true;
        self.live.goes_as(why);
    }

    /// Takes the instance for one more call of this mount. Returns whether it can be called as it is.
    pub(super) fn enter(&mut self, mount: MountKey) -> (Arc<Live>, bool) {
        self.busy += 1;
        let state = self.mounts.entry(mount).or_default();
        state.in_flight += 1;
        (Arc::clone(&self.live), state.is_ready())
    }

    /// Ends one call of this mount.
    pub(super) fn leave(&mut self, mount: MountKey, now: u64) {
        self.busy -= 1;
        // The mount may have ended meanwhile.
        if let Some(state) = self.mounts.get_mut(&mount) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
        self.served += 1;
        self.last_used = now;
        self.idle_sweeps = 0;
    }

    /// Notes keys of a mount that somebody else wrote.
    pub(super) fn written(&mut self, mount: MountKey, keys: &[Arc<str>]) {
        if let Some(state) = self.mounts.get_mut(&mount) {
            state.written(keys);
        }
    }

    /// Makes the instance set itself up again before its next call for this mount, if it knows the mount.
    pub(super) fn forget(&mut self, mount: MountKey) {
        if let Some(state) = self.mounts.get_mut(&mount) {
            state.forget();
        }
    }
}

// --------------------------------------------------------------------------------------------------------------------
// MountState

impl MountState {
    fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready && self.written.is_empty()
    }

    fn written(&mut self, keys: &[Arc<str>]) {
        if self.readiness == Readiness::Unready {
            return;
        }
        if self.written.len() + keys.len() > KEYS_TOLD_MAX {
            self.forget();
            return;
        }
        for key in keys {
            if !self.written.contains(key) {
                self.written.push(Arc::clone(key));
            }
        }
    }

    fn forget(&mut self) {
        self.readiness = Readiness::Unready;
        self.written.clear();
    }

    /// Begins to set the instance up, or to tell it of keys. Returns what has to be done.
    pub(super) fn begin_preparing(&mut self) -> Preparation {
        let written = std::mem::take(&mut self.written);
        match std::mem::replace(&mut self.readiness, Readiness::Preparing) {
            Readiness::Ready => Preparation::Tell(written),
            Readiness::Unready | Readiness::Preparing => Preparation::SetUp,
        }
    }

    /// Ends what was begun, unless somebody wanted the mount forgotten meanwhile.
    pub(super) fn end_preparing(&mut self) {
        if self.readiness == Readiness::Preparing {
            self.readiness = Readiness::Ready;
        }
    }
}

/// What an instance needs before it can be called for a mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Preparation {
    /// To be set up.
    SetUp,
    /// To be told that others wrote these keys.
    Tell(Vec<Arc<str>>),
}
