//! One live instance: what it is in, what it knows of each mount, and how it goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout_at;

use super::budget::{InstanceBudget, InstancePermit};
use crate::meter::{InUse, LiveInstance, Retired};
use crate::runtime::{Call, Failure, Grants, Instance, Program, Residence};

/// Mounts that one instance answers for in its life. A plugin keeps state for each, in a memory that is bounded; a
/// fresh instance costs less than asking the plugin to forget one mount after the other.
const SEATS_MAX: usize = 256;

/// Keys of one mount that an instance is told of one by one. When others have written more since its last call, it is
/// set up again instead, which makes it forget all of them.
const KEYS_TOLD_MAX: usize = 64;

/// An instance's place.
pub(super) struct Slot {
    pub(super) member: Arc<Member>,
    /// Calls that it is in.
    pub(super) busy: u32,
    /// Calls that it was in.
    pub(super) served: u64,
    /// Takes no further calls.
    pub(super) retiring: bool,
    pub(super) last_used: u64,
    /// How often it was found idle since.
    pub(super) idle_sweeps: u32,
    pub(super) seats: BTreeMap<Arc<str>, Seat>,
}

/// What an instance knows of one mount.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) in_flight: u32,
    pub(super) readiness: Readiness,
    /// Keys that others wrote since its last call, each once, in the order in which they were first written.
    pub(super) written: Vec<Arc<str>>,
    /// Held by the one who sets it up or tells it of keys.
    pub(super) preparing: Arc<tokio::sync::Mutex<()>>,
}

/// A live instance.
pub(super) struct Member {
    pub(super) instance: Arc<dyn Instance>,
    counted: Arc<LiveInstance>,
    /// Whether it is known why it died.
    explained: AtomicBool,
    /// `None` for one that is resident.
    _permit: Option<InstancePermit>,
}

/// Whether an instance may be called for a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It has to be set up.
    #[default]
    Unready,
    /// It is being set up, or told of keys; or was, and that failed or was given up. From then on what others write is
    /// noted, since it may have been read already.
    Preparing,
    /// It was set up, and nothing has happened that it must forget as a whole.
    Ready,
}

/// Makes an instance that is not set up for any mount yet.
pub(super) async fn make(
    program: &dyn Program,
    grants: &Grants,
    budget: &Arc<InstanceBudget>,
    call: &Call,
) -> Result<Member, Failure> {
    let permit = match program.residence() {
        Residence::Evictable => Some(budget.admit(call.deadline).await?),
        Residence::Resident => None,
    };
    // A guest's code may run already while its instance is made.
    let made = timeout_at(call.deadline, program.instantiate(grants)).await;
    let instance = made.map_err(|_| Failure::Deadline(call.limit))??;
    let counted = program.meter().created();
    Ok(Member { instance, counted, explained: AtomicBool::new(false), _permit: permit })
}

impl Member {
    /// Takes note of a failure that may have been its end.
    pub(super) fn failed(&self, failure: &Failure) {
        self.dies_as(failure.retires_as());
    }

    /// Takes note of why it goes, if it is dead.
    pub(super) fn dies_as(&self, why: Retired) {
        if !self.instance.is_alive() && !self.explained.swap(true, Ordering::Relaxed) {
            self.counted.retire(why);
        }
    }

    /// Takes note of why it goes, which is next.
    pub(super) fn goes_as(&self, why: Retired) {
        self.counted.retire(why);
    }

    pub(super) fn lend(&self) -> InUse {
        self.counted.lend()
    }
}

impl Slot {
    pub(super) fn new(member: Arc<Member>, now: u64) -> Self {
        Self { member, busy: 0, served: 0, retiring: false, last_used: now, idle_sweeps: 0, seats: BTreeMap::new() }
    }

    /// Whether it is in a call for this mount. Even one that is about to go may still store something then.
    pub(super) fn answers_for(&self, mount: &str) -> bool {
        self.seats.get(mount).is_some_and(|seat| seat.in_flight > 0)
    }

    /// Whether it will never answer again. One that serves a call at a time only shows it when the call is over.
    pub(super) fn is_dead(&self, concurrency: u32) -> bool {
        self.busy < concurrency && !self.member.instance.is_alive()
    }

    pub(super) fn knows(&self, mount: &str) -> bool {
        self.seats.contains_key(mount)
    }

    pub(super) fn is_ready_for(&self, mount: &str) -> bool {
        self.seats.get(mount).is_some_and(|seat| seat.readiness == Readiness::Ready && seat.written.is_empty())
    }

    /// Lets it take no further calls.
    pub(super) fn retire(&mut self, why: Retired) {
        self.retiring = true;
        self.member.goes_as(why);
    }

    pub(super) fn has_room(&self) -> bool {
        self.seats.len() < SEATS_MAX
    }

    pub(super) fn takes_calls(&self, concurrency: u32) -> bool {
        !self.retiring && self.busy < concurrency && self.member.instance.is_alive()
    }

    /// Takes the instance for one more call of this mount.
    pub(super) fn enter(&mut self, mount: &Arc<str>) -> (Arc<Member>, Readiness) {
        self.busy += 1;
        let seat = match self.seats.get_mut(mount) {
            Some(seat) => seat,
            None => self.seats.entry(Arc::clone(mount)).or_default(),
        };
        seat.in_flight += 1;
        let readiness = if seat.written.is_empty() { seat.readiness } else { Readiness::Preparing };
        (Arc::clone(&self.member), readiness)
    }

    /// Takes note of keys that somebody else wrote.
    pub(super) fn written(&mut self, mount: &str, keys: &[Arc<str>]) {
        let Some(seat) = self.seats.get_mut(mount) else { return };
        if seat.readiness == Readiness::Unready {
            return;
        }
        if seat.written.len() + keys.len() > KEYS_TOLD_MAX {
            seat.forget();
        } else {
            for key in keys {
                if !seat.written.contains(key) {
                    seat.written.push(Arc::clone(key));
                }
            }
        }
    }

    /// Makes the instance set itself up again before its next call for this mount, if it knows it.
    pub(super) fn forget(&mut self, mount: &str) {
        if let Some(seat) = self.seats.get_mut(mount) {
            seat.forget();
        }
    }
}

impl Seat {
    /// Makes the instance set itself up again before its next call for this mount.
    pub(super) fn forget(&mut self) {
        self.readiness = Readiness::Unready;
        self.written.clear();
    }
}
