//! The instances that requests choose from: those of one mount, or those that all mounts of a program share.
//!
//! What is decided under the lock is only which instance answers; instances are made, set up and called outside of it. Each instance
//! has a *seat* for each mount that it answers for. The seat knows whether the instance was set up for the mount, and which stored
//! keys others have written since: the instance is told of those before its next call for that mount.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use super::budget::{InstanceBudget, InstancePermit};
use super::settings::PoolSettings;
use super::{PoolLimits, Waiting};
use crate::catalog::InstancePolicy;
use crate::meter::{InUse, LiveInstance, Retired};
use crate::runtime::{Call, Failure, Instance, Program, Residence, Spread};

/// Mounts that one instance answers for in its life. A plugin keeps state for each, in a memory that is bounded; a fresh instance
/// costs less than asking the plugin to forget one mount after the other.
const SEATS_MAX: usize = 256;

/// Keys of one mount that an instance is told of one by one. When others have written more since its last call, it is set up again
/// instead, which makes it forget all of them.
const KEYS_TOLD_MAX: usize = 64;

/// How often idle instances are looked for.
pub(crate) const SWEEP_PERIOD: std::time::Duration = std::time::Duration::from_secs(5);

/// Instances of one program, kept alike.
pub(crate) struct Set {
    pub(super) program: Arc<dyn Program>,
    pub(super) settings: PoolSettings,
    budget: Arc<InstanceBudget>,
    /// One permit for each call that may run at a time in all of them, where mounts share them. Those of one mount have its own turns.
    shared_turns: Option<SharedTurns>,
    state: Mutex<State>,
    /// Told when a choice may have another outcome than before.
    changed: Notify,
    /// Who waits for that.
    choosing: AtomicUsize,
}

struct SharedTurns {
    turns: Semaphore,
    waiting: AtomicUsize,
    queue_max: usize,
}

#[derive(Default)]
struct State {
    members: Vec<Slot>,
    /// For which mounts instances are being made.
    making: Vec<Arc<str>>,
}

/// An instance's place.
struct Slot {
    member: Arc<Member>,
    /// Calls that it is in.
    busy: u32,
    /// Calls that it was in.
    served: u64,
    /// Takes no further calls.
    retiring: bool,
    last_used: u64,
    /// How often it was found idle since.
    idle_sweeps: u32,
    seats: BTreeMap<Arc<str>, Seat>,
}

/// What an instance knows of one mount.
#[derive(Default)]
struct Seat {
    in_flight: u32,
    readiness: Readiness,
    /// Keys that others wrote since its last call.
    written: BTreeSet<Arc<str>>,
    /// Held by the one who sets it up or tells it of keys.
    preparing: Arc<tokio::sync::Mutex<()>>,
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

/// What a look at the instances comes to.
enum Choice {
    /// This one.
    Use(Arc<Member>, Readiness),
    /// A new one, whose making is noted.
    Make,
    /// None right now.
    Wait,
}

/// Whether an instance may be called for a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Readiness {
    /// It has to be set up.
    #[default]
    Unready,
    /// It is being set up, or told of keys; or was, and that failed or was given up. From then on what others write is noted, since
    /// it may have been read already.
    Preparing,
    /// It was set up, and nothing has happened that it must forget as a whole.
    Ready,
}

impl Set {
    pub(super) fn new(
        program: Arc<dyn Program>,
        settings: PoolSettings,
        budget: Arc<InstanceBudget>,
        shared: Option<PoolLimits>,
    ) -> Arc<Self> {
        let shared_turns = shared.map(|limits| SharedTurns {
            turns: Semaphore::new(settings.capacity() as usize),
            waiting: AtomicUsize::new(0),
            queue_max: limits.shared_queue_max,
        });
        Arc::new(Self {
            program,
            settings,
            budget,
            shared_turns,
            state: Mutex::default(),
            changed: Notify::new(),
            choosing: AtomicUsize::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spread(&self) -> Spread {
        self.program.description().spread
    }

    /// Returns an instance that is set up for this mount already, and knows what was written, if one is free.
    pub(super) fn try_place(self: &Arc<Self>, mount: &Arc<str>) -> Option<Place<'_>> {
        let turn = match &self.shared_turns {
            Some(shared) => Some(shared.turns.try_acquire().ok()?),
            None => None,
        };
        let member = {
            let mut state = self.lock();
            let (spread, concurrency) = (self.spread(), self.settings.concurrency);
            if spread == Spread::One && state.making.contains(mount) {
                return None;
            }
            let at = state.members.iter().position(|slot| slot.is_ready_for(mount) && slot.takes_calls(concurrency))?;
            let elsewhere = |(other, slot): (usize, &Slot)| other != at && slot.answers_for(mount);
            if spread == Spread::One && state.members.iter().enumerate().any(elsewhere) {
                return None;
            }
            state.members[at].enter(mount).0
        };
        Some(self.placed(member, mount, turn))
    }

    fn placed<'set>(
        self: &'set Arc<Self>,
        member: Arc<Member>,
        mount: &Arc<str>,
        turn: Option<SemaphorePermit<'set>>,
    ) -> Place<'set> {
        let in_use = member.counted.lend();
        Place { set: self, member, mount: Arc::clone(mount), _in_use: in_use, _turn: turn }
    }

    /// Returns an instance that is set up for the call's mount, and knows what was written.
    pub(super) async fn place(self: &Arc<Self>, call: &Call, initialized: Initialized) -> Result<Place<'_>, Failure> {
        let turn = match &self.shared_turns {
            Some(shared) => Some(shared.take(call).await?),
            None => None,
        };
        let mount = Arc::clone(&call.scope.id);
        let mut choosing = None;
        let (member, readiness) = loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            if choosing.is_some() {
                // From here on, nothing that changes is missed.
                changed.as_mut().enable();
            }
            match self.choose(&mount) {
                Choice::Use(member, readiness) => break (member, readiness),
                Choice::Make => break (self.make(call, &mount).await?, Readiness::Unready),
                Choice::Wait if choosing.is_none() => {
                    // The turns bound how many there are.
                    choosing = Waiting::join(&self.choosing, usize::MAX);
                    continue;
                }
                Choice::Wait => {}
            }
            let waited = timeout_at(call.deadline, changed).await;
            waited.map_err(|_| Failure::Busy("its instances were busy until the deadline".to_owned()))?;
        };
        drop(choosing);
        let place = self.placed(member, &mount, turn);
        if readiness != Readiness::Ready {
            place.prepare(call, initialized).await?;
        }
        Ok(place)
    }

    /// Chooses, and takes what was chosen.
    fn choose(&self, mount: &Arc<str>) -> Choice {
        let mut state = self.lock();
        let state = &mut *state;
        let concurrency = self.settings.concurrency;
        // Some die while nobody calls them: a process ends. They go when another is made.
        state.members.iter_mut().filter(|slot| !slot.retiring && !slot.member.instance.is_alive()).for_each(|slot| {
            slot.retiring = true;
            slot.member.dies_as(Retired::Crashed);
        });
        if self.spread() == Spread::One {
            // Another instance may not answer for this mount while this one does.
            if let Some(slot) = state.members.iter_mut().find(|slot| slot.answers_for(mount)) {
                return if slot.takes_calls(concurrency) { Choice::of(slot.enter(mount)) } else { Choice::Wait };
            }
            if state.making.contains(mount) {
                return Choice::Wait;
            }
        }
        // The one that knows the mount, or else the one that was used last: those that are idle longest go.
        let free = state.members.iter().enumerate().filter(|(_, slot)| slot.takes_calls(concurrency));
        let best = free.max_by_key(|(_, slot)| (slot.knows(mount), slot.has_room(), slot.last_used)).map(|(at, _)| at);
        let best = best.filter(|at| state.members[*at].knows(mount) || state.members[*at].has_room());
        if let Some(at) = best {
            if self.spread() == Spread::One {
                // What the others remember of the mount is out of date from here on.
                for (_, other) in state.members.iter_mut().enumerate().filter(|(other, _)| *other != at) {
                    other.forget(mount);
                }
            }
            return Choice::of(state.members[at].enter(mount));
        }
        // Full ones go when they have answered.
        for slot in state.members.iter_mut().filter(|slot| !slot.has_room() && !slot.knows(mount)) {
            if slot.busy == 0 {
                slot.retire(Retired::Recycled);
            }
        }
        let staying = state.members.iter().filter(|slot| !slot.retiring).count();
        if staying + state.making.len() < self.settings.instances_max as usize {
            state.making.push(Arc::clone(mount));
            return Choice::Make;
        }
        Choice::Wait
    }

    /// Makes the instance whose making was noted, and takes it.
    async fn make(self: &Arc<Self>, call: &Call, mount: &Arc<str>) -> Result<Arc<Member>, Failure> {
        let noted = Making { set: self, mount };
        let gone: Vec<Slot> = {
            let mut state = self.lock();
            state.members.extract_if(.., |slot| slot.retiring && slot.busy == 0).collect()
        };
        drop(gone);
        let member = Arc::new(make(&*self.program, &self.budget, call).await?);
        {
            let mut state = self.lock();
            if self.spread() == Spread::One {
                state.members.iter_mut().for_each(|other| other.forget(mount));
            }
            let mut slot = Slot::new(Arc::clone(&member), self.budget.now());
            slot.enter(mount);
            state.members.push(slot);
        }
        drop(noted);
        if self.program.residence() == Residence::Evictable {
            self.budget.watch(self);
        }
        Ok(member)
    }

    /// Tells the instances, but for one, that these keys of a mount were written.
    pub(super) fn written(&self, mount: &str, keys: &[Arc<str>], but: Option<&Member>) {
        let mut state = self.lock();
        for slot in &mut state.members {
            if but.is_some_and(|but| std::ptr::eq(Arc::as_ptr(&slot.member), but)) {
                continue;
            }
            let Some(seat) = slot.seats.get_mut(mount) else { continue };
            if seat.readiness == Readiness::Unready {
                continue;
            }
            if seat.written.len() + keys.len() > KEYS_TOLD_MAX {
                seat.forget();
            } else {
                seat.written.extend(keys.iter().cloned());
            }
        }
    }

    /// Makes every instance set itself up again before its next call for this mount.
    pub(super) fn forget(&self, mount: &str) {
        self.lock().members.iter_mut().for_each(|slot| slot.forget(mount));
    }

    /// Returns the instance that is set up for a mount, where there is at most one.
    pub(super) fn resident(self: &Arc<Self>, mount: &Arc<str>) -> Option<Place<'_>> {
        let mut state = self.lock();
        let slot = state.members.iter_mut().find(|slot| slot.member.instance.is_alive() && slot.knows(mount))?;
        let member = slot.enter(mount).0;
        drop(state);
        Some(self.placed(member, mount, None))
    }

    /// Takes a mount's seats away, and returns the instances that can be told so. One that cannot, since it is in as many calls as it
    /// takes, goes after them with what it remembers. Those that no other mount shares all go.
    pub(super) fn leave(self: &Arc<Self>, mount: &Arc<str>, why: Retired) -> Vec<Place<'_>> {
        let mut told = Vec::new();
        let mut state = self.lock();
        for slot in &mut state.members {
            let Some(seat) = slot.seats.remove(mount) else { continue };
            if seat.in_flight > 0 || !slot.takes_calls(self.settings.concurrency) {
                slot.retire(why);
            } else if seat.readiness == Readiness::Ready {
                slot.busy += 1;
                told.push(self.placed(Arc::clone(&slot.member), mount, None));
            }
        }
        let gone = if self.shared_turns.is_none() { std::mem::take(&mut state.members) } else { Vec::new() };
        gone.iter().for_each(|slot| slot.member.counted.retire(why));
        drop(state);
        drop(gone);
        told
    }

    // ------------------------------------------------------------------------------------------------------- going and staying

    /// Returns when the instance was last used that has been idle longest, if any is idle.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let state = self.state.try_lock().ok()?;
        state.members.iter().filter(|slot| slot.busy == 0).map(|slot| slot.last_used).min()
    }

    /// Lets the instance go that has been idle longest. It is not told: its memory is a cache, and telling it would make one mount
    /// wait for another's code.
    pub(super) fn evict(&self, why: Retired) {
        if self.program.residence() == Residence::Resident {
            return;
        }
        let gone = {
            let mut state = self.lock();
            let idle = state.members.iter().enumerate().filter(|(_, slot)| slot.busy == 0);
            let oldest = idle.min_by_key(|(_, slot)| slot.last_used).map(|(at, _)| at);
            oldest.map(|at| state.members.swap_remove(at))
        };
        gone.iter().for_each(|slot| slot.member.counted.retire(why));
        drop(gone);
    }

    /// Lets those go that have been idle for longer than they may. Called once a period.
    pub(super) fn sweep(&self) {
        if self.program.residence() == Residence::Resident {
            return;
        }
        let periods = self.settings.idle_timeout.as_secs().div_ceil(SWEEP_PERIOD.as_secs()).max(1);
        let gone: Vec<Slot> = {
            let mut state = self.lock();
            state
                .members
                .extract_if(.., |slot| {
                    if slot.busy > 0 {
                        return false;
                    }
                    slot.idle_sweeps = slot.idle_sweeps.saturating_add(1);
                    // The first sweep may come right after the last call.
                    u64::from(slot.idle_sweeps) > periods
                })
                .collect()
        };
        gone.iter().for_each(|slot| slot.member.counted.retire(Retired::Idle));
        drop(gone);
    }

    /// Returns whether it keeps no instance.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().members.is_empty()
    }

    /// Ends a call.
    fn end(&self, member: &Arc<Member>, mount: &str) {
        let gone = {
            let mut state = self.lock();
            let Some(at) = state.members.iter().position(|slot| Arc::ptr_eq(&slot.member, member)) else {
                // It was let go meanwhile.
                drop(state);
                self.say_changed();
                return;
            };
            let slot = &mut state.members[at];
            slot.busy -= 1;
            if let Some(seat) = slot.seats.get_mut(mount) {
                seat.in_flight = seat.in_flight.saturating_sub(1);
            }
            slot.served += 1;
            slot.last_used = self.budget.now();
            slot.idle_sweeps = 0;
            if self.settings.requests_max.is_some_and(|max| slot.served >= max) {
                slot.retire(Retired::Recycled);
            }
            let (idle, retiring) = (slot.busy == 0, slot.retiring);
            let dead = !member.instance.is_alive();
            if dead && !member.explained.load(Ordering::Relaxed) {
                // Nobody was there to be told: whoever called has dropped the call.
                member.counted.retire(Retired::Cancelled);
            }
            let too_many = idle && !retiring && {
                let idle = state.members.iter().filter(|slot| slot.busy == 0).count();
                idle > self.settings.idle_max as usize
            };
            if too_many {
                member.counted.retire(Retired::Idle);
            }
            (dead || too_many || idle && retiring).then(|| state.members.swap_remove(at))
        };
        self.say_changed();
        drop(gone);
    }

    fn say_changed(&self) {
        if self.choosing.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }
}

/// Makes an instance that is not set up for any mount yet.
pub(super) async fn make(program: &dyn Program, budget: &Arc<InstanceBudget>, call: &Call) -> Result<Member, Failure> {
    let permit = match program.residence() {
        Residence::Evictable => Some(budget.admit(call.deadline).await?),
        Residence::Resident => None,
    };
    // A guest's code may run already while its instance is made.
    let made = timeout_at(call.deadline, program.instantiate()).await;
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

impl SharedTurns {
    async fn take(&self, call: &Call) -> Result<SemaphorePermit<'_>, Failure> {
        super::take_turn(&self.turns, &self.waiting, self.queue_max, call).await
    }
}

impl Slot {
    fn new(member: Arc<Member>, now: u64) -> Self {
        Self { member, busy: 0, served: 0, retiring: false, last_used: now, idle_sweeps: 0, seats: BTreeMap::new() }
    }

    /// Whether it is in a call for this mount. A dead one is in none: it neither answers nor stores anything any more.
    fn answers_for(&self, mount: &str) -> bool {
        self.seats.get(mount).is_some_and(|seat| seat.in_flight > 0) && self.member.instance.is_alive()
    }

    fn knows(&self, mount: &str) -> bool {
        self.seats.contains_key(mount)
    }

    fn is_ready_for(&self, mount: &str) -> bool {
        self.seats.get(mount).is_some_and(|seat| seat.readiness == Readiness::Ready && seat.written.is_empty())
    }

    /// Lets it take no further calls.
    fn retire(&mut self, why: Retired) {
        self.retiring = true;
        self.member.goes_as(why);
    }

    fn has_room(&self) -> bool {
        self.seats.len() < SEATS_MAX
    }

    fn takes_calls(&self, concurrency: u32) -> bool {
        !self.retiring && self.busy < concurrency && self.member.instance.is_alive()
    }

    /// Takes the instance for one more call of this mount.
    fn enter(&mut self, mount: &Arc<str>) -> (Arc<Member>, Readiness) {
        self.busy += 1;
        let seat = match self.seats.get_mut(mount) {
            Some(seat) => seat,
            None => self.seats.entry(Arc::clone(mount)).or_default(),
        };
        seat.in_flight += 1;
        let readiness = if seat.written.is_empty() { seat.readiness } else { Readiness::Preparing };
        (Arc::clone(&self.member), readiness)
    }

    fn forget(&mut self, mount: &str) {
        if let Some(seat) = self.seats.get_mut(mount) {
            seat.forget();
        }
    }
}

impl Seat {
    /// Makes the instance set itself up again before its next call for this mount.
    fn forget(&mut self) {
        self.readiness = Readiness::Unready;
        self.written.clear();
    }
}

impl Choice {
    fn of((member, readiness): (Arc<Member>, Readiness)) -> Self {
        Choice::Use(member, readiness)
    }
}

// -------------------------------------------------------------------------------------------------------------------- Place

impl Place<'_> {
    /// Returns the instance to call.
    pub(super) fn instance(&self) -> &Arc<dyn Instance> {
        &self.member.instance
    }

    /// Sets the instance up for the mount unless it is, and tells it which keys were written.
    async fn prepare(&self, call: &Call, initialized: Initialized) -> Result<(), Failure> {
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
        let mut state = self.set.lock();
        let slot = state.members.iter_mut().find(|slot| Arc::ptr_eq(&slot.member, &self.member))?;
        slot.seats.get_mut(&self.mount).map(look)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.set.end(&self.member, &self.mount);
        self.set.budget.became_idle();
    }
}

/// Takes note, when dropped, that an instance is not being made any more.
struct Making<'set> {
    set: &'set Arc<Set>,
    mount: &'set Arc<str>,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.set.lock();
            if let Some(at) = state.making.iter().position(|mount| Arc::ptr_eq(mount, self.mount)) {
                state.making.swap_remove(at);
            }
        }
        self.set.say_changed();
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.budget.forget(self);
    }
}

fn still_made() -> Failure {
    Failure::Busy("its instance was still being made at the deadline".to_owned())
}

fn left() -> Failure {
    Failure::Busy("its mount is ending".to_owned())
}

/// The sets that mounts share, by what they share.
#[derive(Default)]
pub(crate) struct SharedSets(Mutex<BTreeMap<usize, Vec<Weak<Set>>>>);

impl SharedSets {
    /// Returns the set of this program with these settings, and makes it where there is none.
    pub(super) fn get(
        &self,
        program: &Arc<dyn Program>,
        settings: &PoolSettings,
        budget: &Arc<InstanceBudget>,
        limits: PoolLimits,
    ) -> Arc<Set> {
        // A set keeps its program, so no other can have its address while the set lives.
        let address = Arc::as_ptr(program).addr();
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|_, alike| {
            alike.retain(|set| set.strong_count() > 0);
            !alike.is_empty()
        });
        let alike = sets.entry(address).or_default();
        let found = alike.iter().filter_map(Weak::upgrade).find(|set| set.settings == *settings);
        found.unwrap_or_else(|| {
            let set = Set::new(Arc::clone(program), settings.clone(), Arc::clone(budget), Some(limits));
            alike.push(Arc::downgrade(&set));
            set
        })
    }
}
