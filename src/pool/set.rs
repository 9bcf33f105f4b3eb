//! The instances that requests choose from: those of one mount, or those that all mounts of a program share; and the
//! right to one call of one of them.
//!
//! What is decided under the lock is only which instance answers; instances are made, set up and called outside of it.
//! Each instance has a *seat* for each mount that it answers for. The seat knows whether the instance was set up for
//! the mount, and which stored keys others have written since: the instance is told of those before its next call for
//! that mount.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, SemaphorePermit};
use tokio::time::timeout_at;

use super::budget::{InstanceBudget, Keeper};
use super::member::{Member, Readiness, Seat, Slot, make};
use super::settings::PoolSettings;
use super::turns::{Turns, Waiting};
use crate::meter::{InUse, Retired};
use crate::runtime::{Call, Failure, Instance, Program, Residence, Spread};

/// How often idle instances are looked for.
pub(crate) const SWEEP_PERIOD: std::time::Duration = std::time::Duration::from_secs(5);

/// Instances of one program, kept alike.
pub(crate) struct Set {
    pub(super) program: Arc<dyn Program>,
    pub(super) settings: PoolSettings,
    budget: Arc<InstanceBudget>,
    /// One permit for each call that may run at a time in all of them, where mounts share them. Those of one mount have
    /// its own turns.
    shared_turns: Option<Turns>,
    state: Mutex<State>,
    /// Told when a choice may have another outcome than before.
    changed: Notify,
    /// Who waits for that.
    choosing: AtomicUsize,
}

#[derive(Default)]
struct State {
    members: Vec<Slot>,
    /// For which mounts instances are being made.
    making: Vec<Arc<str>>,
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

impl Choice {
    fn of((member, readiness): (Arc<Member>, Readiness)) -> Self {
        Choice::Use(member, readiness)
    }
}

impl Set {
    pub(super) fn new(
        program: Arc<dyn Program>,
        settings: PoolSettings,
        budget: Arc<InstanceBudget>,
        shared_turns: Option<Turns>,
    ) -> Arc<Self> {
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
            Some(shared) => Some(shared.try_take()?),
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
        Some(Place::new(self, member, Arc::clone(mount), turn))
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
        let mut place = Place::new(self, member, mount, turn);
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
        state.members.iter_mut().filter(|slot| !slot.retiring && slot.is_dead(concurrency)).for_each(|slot| {
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
        let member = Arc::new(make(&*self.program, &self.settings.grants, &self.budget, call).await?);
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
            let keeper: Arc<dyn Keeper> = Arc::clone(self) as _;
            self.budget.watch(&keeper);
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
            slot.written(mount, keys);
        }
    }

    /// Makes every instance set itself up again before its next call for this mount, but for those that are in one.
    pub(super) fn forget(&self, mount: &str) {
        self.lock().members.iter_mut().filter(|slot| !slot.answers_for(mount)).for_each(|slot| slot.forget(mount));
    }

    /// Returns the instance that is set up for a mount, where there is at most one.
    pub(super) fn resident(self: &Arc<Self>, mount: &Arc<str>) -> Option<Place<'_>> {
        let mut state = self.lock();
        let is_ready = |slot: &&mut Slot| slot.seats.get(mount).is_some_and(|seat| seat.readiness == Readiness::Ready);
        let slot = state.members.iter_mut().filter(is_ready).find(|slot| slot.member.instance.is_alive())?;
        let member = slot.enter(mount).0;
        drop(state);
        Some(Place::new(self, member, Arc::clone(mount), None))
    }

    /// Takes a mount's seats away, and returns the instances that can be told so. One that cannot, since it is in as
    /// many calls as it takes, goes after them with what it remembers. Those that no other mount shares all go.
    pub(super) fn leave(self: &Arc<Self>, mount: &Arc<str>, why: Retired) -> Vec<Place<'_>> {
        let mut told = Vec::new();
        let mut state = self.lock();
        for slot in &mut state.members {
            let Some(seat) = slot.seats.remove(mount) else { continue };
            if seat.in_flight > 0 || !slot.takes_calls(self.settings.concurrency) {
                slot.retire(why);
            } else if seat.readiness == Readiness::Ready {
                slot.busy += 1;
                told.push(Place::new(self, Arc::clone(&slot.member), Arc::clone(mount), None));
            }
        }
        let gone = if self.shared_turns.is_none() { std::mem::take(&mut state.members) } else { Vec::new() };
        gone.iter().for_each(|slot| slot.member.goes_as(why));
        drop(state);
        drop(gone);
        told
    }

    /// Looks at what an instance knows of a mount, unless it was let go.
    pub(super) fn seat<T>(&self, member: &Arc<Member>, mount: &str, look: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        let mut state = self.lock();
        let slot = state.members.iter_mut().find(|slot| Arc::ptr_eq(&slot.member, member))?;
        slot.seats.get_mut(mount).map(look)
    }

    /// Ends a call.
    pub(super) fn end(&self, member: &Arc<Member>, mount: &str) {
        let gone = {
            let mut state = self.lock();
            let Some(at) = state.members.iter().position(|slot| Arc::ptr_eq(&slot.member, member)) else {
                // It was let go meanwhile.
                drop(state);
                self.say_changed();
                self.budget.became_idle();
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
            if slot.is_dead(self.settings.concurrency) {
                // What nobody has explained, nobody was there to be told of: whoever called has dropped the call.
                member.dies_as(Retired::Cancelled);
                slot.retiring = true;
            }
            let (idle, retiring) = (slot.busy == 0, slot.retiring);
            let too_many = idle && !retiring && {
                let idle = state.members.iter().filter(|slot| slot.busy == 0).count();
                idle > self.settings.idle_max as usize
            };
            if too_many {
                member.goes_as(Retired::Idle);
            }
            (too_many || idle && retiring).then(|| state.members.swap_remove(at))
        };
        self.say_changed();
        drop(gone);
        self.budget.became_idle();
    }

    fn say_changed(&self) {
        if self.choosing.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }
}

impl Keeper for Set {
    fn idle_since(&self) -> Option<u64> {
        let state = self.state.try_lock().ok()?;
        state.members.iter().filter(|slot| slot.busy == 0).map(|slot| slot.last_used).min()
    }

    /// The instance is not told: its memory is a cache, and telling it would
    /// make one mount wait for another's code.
    fn evict(&self, why: Retired) {
        if self.program.residence() == Residence::Resident {
            return;
        }
        let gone = {
            let mut state = self.lock();
            let idle = state.members.iter().enumerate().filter(|(_, slot)| slot.busy == 0);
            let oldest = idle.min_by_key(|(_, slot)| slot.last_used).map(|(at, _)| at);
            oldest.map(|at| state.members.swap_remove(at))
        };
        gone.iter().for_each(|slot| slot.member.goes_as(why));
        drop(gone);
    }

    fn sweep(&self) {
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
        gone.iter().for_each(|slot| slot.member.goes_as(Retired::Idle));
        drop(gone);
    }

    fn is_empty(&self) -> bool {
        self.lock().members.is_empty()
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
    /// Whether the instance was set up for this very call.
    pub(super) is_new: bool,
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
        Self { set, member, mount, is_new: false, _in_use: in_use, _turn: turn }
    }

    /// Returns the instance to call.
    pub(super) fn instance(&self) -> &Arc<dyn Instance> {
        &self.member.instance
    }

    /// Sets the instance up for the mount unless it is, and tells it which keys were written.
    pub(super) async fn prepare(&mut self, call: &Call, initialized: Initialized) -> Result<(), Failure> {
        let Some(preparing) = self.seat(|seat| Arc::clone(&seat.preparing)) else { return Err(left()) };
        // Whoever holds it works for as long as its own deadline allows.
        let _turn = timeout_at(call.deadline, preparing.lock()).await.map_err(|_| still_made())?;
        let begun = self.seat(|seat| {
            let readiness = std::mem::replace(&mut seat.readiness, Readiness::Preparing);
            (readiness, std::mem::take(&mut seat.written))
        });
        let (readiness, written) = begun.ok_or_else(left)?;
        let instance = Arc::clone(&self.member.instance);
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
            self.is_new = true;
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
