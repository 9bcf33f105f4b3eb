//! The instances that calls choose from: those of one mount, or those that all mounts of a program share.
//!
//! What is decided under the lock is only which instance answers; instances are made, set up and called outside of it.
//! The roster knows of each instance which calls it is in, and of each mount that the instance answers for whether it
//! was set up and which stored keys others have written since: it is told of those before its next call for that mount.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::timeout_at;

use super::budget::{InstanceBudget, Keeper};
use super::instance::{Entry, Live, MountState};
use super::settings::PoolSettings;
use super::turns::Turns;
use super::waiters::Waiters;
use crate::meter::Retired;
use crate::runtime::{Call, Failure, MountKey, Program, Residence, Spread};

/// How often idle instances are looked for.
pub(crate) const SWEEP_PERIOD: Duration = Duration::from_secs(5);

/// Instances of one program, kept alike.
pub(super) struct Roster {
    pub(super) program: Arc<dyn Program>,
    pub(super) settings: PoolSettings,
    pub(super) budget: Arc<InstanceBudget>,
    /// The turns of all calls together, where mounts share the instances. A mount that has its own has its own turns.
    pub(super) shared_turns: Option<Turns>,
    state: Mutex<State>,
    /// Calls for which there was no instance. Their turns bound how many there are.
    choosing: Waiters,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// The mounts for which instances are being made, once for each instance.
    making: Vec<MountKey>,
    /// Who answers from here, where mounts share the instances: of a mount that is reloaded, two generations may, when
    /// the one before the last had the same program as the next.
    tenants: Vec<(MountKey, Weak<Tenant>)>,
}

/// Stands for one generation of a mount while its instances answer from a roster. It is known by its address.
pub(super) struct Tenant;

/// What to do for a call.
enum Choice {
    /// Use this instance, which the call has entered.
    Use(Found),
    /// Make a new one, which is noted as being made.
    Make,
    /// Wait until something changes.
    Wait,
}

/// An instance that a call has entered.
pub(super) struct Found {
    pub(super) live: Arc<Live>,
    /// Whether it can be called as it is.
    pub(super) is_ready: bool,
}

impl Roster {
    pub(super) fn new(
        program: Arc<dyn Program>,
        settings: PoolSettings,
        budget: Arc<InstanceBudget>,
        shared_turns: Option<Turns>,
    ) -> Arc<Self> {
        Arc::new(Self { program, settings, budget, shared_turns, state: Mutex::default(), choosing: Waiters::new() })
    }

    pub(super) fn spread(&self) -> Spread {
        self.program.description().spread
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ----------------------------------------------------------------------------------------------------------------
    // Choosing an instance

    /// Enters an instance that can be called for this mount as it is, if there is one.
    pub(super) fn find_ready(&self, mount: MountKey) -> Option<Arc<Live>> {
        let (spread, concurrency) = (self.spread(), self.settings.concurrency);
        let mut state = self.lock();
        if spread == Spread::One && state.making.contains(&mount) {
            return None;
        }
        let is_free = |entry: &Entry| entry.is_ready_for(mount) && entry.takes_calls(concurrency);
        let at = state.entries.iter().position(is_free)?;
        let answers_elsewhere = |(other, entry): (usize, &Entry)| other != at && entry.answers_for(mount);
        if spread == Spread::One && state.entries.iter().enumerate().any(answers_elsewhere) {
            return None;
        }
        Some(state.entries[at].enter(mount).0)
    }

    /// Enters an instance, and makes one if need be. Waits for one no longer than the call has time.
    pub(super) async fn find(self: &Arc<Self>, call: &Call) -> Result<Found, Failure> {
        let mount = call.scope.key;
        match self.choose(mount) {
            Choice::Use(found) => return Ok(found),
            Choice::Make => return self.make(call).await,
            Choice::Wait => {}
        }
        let waiting = self.choosing.join();
        loop {
            let mut changed = pin!(waiting.told());
            // From here on, nothing that changes is missed.
            changed.as_mut().enable();
            match self.choose(mount) {
                Choice::Use(found) => return Ok(found),
                Choice::Make => return self.make(call).await,
                Choice::Wait => {}
            }
            let waited = timeout_at(call.deadline, changed).await;
            waited.map_err(|_| Failure::Busy("its instances were busy until the deadline".to_owned()))?;
        }
    }

    fn choose(&self, mount: MountKey) -> Choice {
        let concurrency = self.settings.concurrency;
        let mut state = self.lock();
        state.retire_dead(concurrency);
        if self.spread() == Spread::One {
            // Another instance may not answer for this mount while this one does.
            if let Some(entry) = state.entries.iter_mut().find(|entry| entry.answers_for(mount)) {
                return if entry.takes_calls(concurrency) { Choice::of(entry, mount) } else { Choice::Wait };
            }
            if state.making.contains(&mount) {
                return Choice::Wait;
            }
        }
        if let Some(at) = state.best(mount, concurrency) {
            if self.spread() == Spread::One {
                state.forget_elsewhere(mount, Some(at));
            }
            return Choice::of(&mut state.entries[at], mount);
        }
        state.retire_full(mount);
        let staying = state.entries.iter().filter(|entry| !entry.is_retiring).count();
        if staying + state.making.len() < self.settings.instances_max as usize {
            state.making.push(mount);
            return Choice::Make;
        }
        Choice::Wait
    }

    /// Makes the instance whose making was noted, and enters it.
    async fn make(self: &Arc<Self>, call: &Call) -> Result<Found, Failure> {
        let mount = call.scope.key;
        let noted = Making { roster: self, mount };
        let gone: Vec<Entry> =
            self.lock().entries.extract_if(.., |entry| entry.is_retiring && entry.busy == 0).collect();
        drop(gone);
        let live = Arc::new(Live::make(&*self.program, &self.settings.grants, &self.budget, call).await?);
        {
            let mut state = self.lock();
            if self.spread() == Spread::One {
                state.forget_elsewhere(mount, None);
            }
            let mut entry = Entry::new(Arc::clone(&live), self.budget.now());
            entry.enter(mount);
            state.entries.push(entry);
        }
        drop(noted);
        if self.program.residence() == Residence::Evictable {
            let keeper: Arc<dyn Keeper> = Arc::clone(self) as _;
            self.budget.watch(&keeper);
        }
        Ok(Found { live, is_ready: false })
    }

    /// Enters the instance that is set up for a mount, where there is at most one.
    pub(super) fn find_resident(&self, mount: MountKey) -> Option<Found> {
        let mut state = self.lock();
        let mut set_up = state.entries.iter_mut().filter(|entry| entry.is_set_up_for(mount));
        let (live, is_ready) = set_up.find(|entry| entry.live.is_alive())?.enter(mount);
        Some(Found { live, is_ready })
    }

    /// Ends a call of an instance that was entered.
    pub(super) fn leave(&self, live: &Arc<Live>, mount: MountKey) {
        let gone = self.lock().leave(live, mount, &self.settings, self.budget.now());
        self.choosing.tell_all_after_lock();
        drop(gone);
        self.budget.became_idle();
    }

    // ----------------------------------------------------------------------------------------------------------------
    // What instances know of mounts

    /// Looks at what an instance knows of a mount, unless the mount has ended there.
    pub(super) fn state_of<T>(
        &self,
        live: &Arc<Live>,
        mount: MountKey,
        look: impl FnOnce(&mut MountState) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let entry = state.entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.live, live))?;
        entry.mounts.get_mut(&mount).map(look)
    }

    /// Notes for all instances but `writer` that these keys of a mount were written.
    pub(super) fn written(&self, mount: MountKey, keys: &[Arc<str>], writer: Option<&Arc<Live>>) {
        let mut state = self.lock();
        let is_writer = |entry: &Entry| writer.is_some_and(|writer| Arc::ptr_eq(&entry.live, writer));
        state.entries.iter_mut().filter(|entry| !is_writer(entry)).for_each(|entry| entry.written(mount, keys));
    }

    /// Makes every instance set itself up again before its next call for this mount, but for those that are in one.
    pub(super) fn forget(&self, mount: MountKey) {
        self.lock().forget_unless_answering(mount);
    }

    /// Lets a tenant answer for a mount from instances that others use too. What those know of the mount is out of
    /// date: they may be set up for it already, with what they were told before.
    pub(super) fn join(&self, mount: MountKey, tenant: &Arc<Tenant>) {
        let mut state = self.lock();
        state.tenants.retain(|(_, other)| other.strong_count() > 0);
        state.tenants.push((mount, Arc::downgrade(tenant)));
        state.forget_unless_answering(mount);
    }

    /// Ends a tenant's part in [`Self::join`], and nothing else.
    pub(super) fn part(&self, mount: MountKey, tenant: &Arc<Tenant>) {
        let mut state = self.lock();
        state.part(mount, tenant);
        state.forget_unless_answering(mount);
    }

    /// Ends a mount, unless another tenant answers for it from here. Returns the instances that can be told so, which
    /// the caller has entered for that. One that cannot, since it is in as many calls as it takes, goes after them with
    /// what it remembers. Those that no other mount shares all go.
    pub(super) fn end(&self, mount: MountKey, tenant: &Arc<Tenant>, why: Retired) -> Vec<Arc<Live>> {
        let mut told = Vec::new();
        let mut state = self.lock();
        if state.part(mount, tenant) {
            state.forget_unless_answering(mount);
            return told;
        }
        for entry in &mut state.entries {
            let is_set_up = entry.is_set_up_for(mount);
            let Some(known) = entry.mounts.remove(&mount) else { continue };
            if known.in_flight > 0 || !entry.takes_calls(self.settings.concurrency) {
                entry.retire(why);
            } else if is_set_up {
                entry.busy += 1;
                told.push(Arc::clone(&entry.live));
            }
        }
        let gone = if self.shared_turns.is_none() { std::mem::take(&mut state.entries) } else { Vec::new() };
        gone.iter().for_each(|entry| entry.live.goes_as(why));
        drop(state);
        drop(gone);
        told
    }
}

impl Choice {
    fn of(entry: &mut Entry, mount: MountKey) -> Self {
        let (live, is_ready) = entry.enter(mount);
        Choice::Use(Found { live, is_ready })
    }
}

// --------------------------------------------------------------------------------------------------------------------
// State

impl State {
    /// Retires instances that died while nobody called them, as a process may. They go when another is made.
    fn retire_dead(&mut self, concurrency: u32) {
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_retiring && entry.is_dead(concurrency)) {
            entry.is_retiring = true;
            entry.live.dies_as(Retired::Crashed);
        }
    }

    /// Retires idle instances that know as many mounts as they may, and not this one.
    fn retire_full(&mut self, mount: MountKey) {
        let is_full = |entry: &&mut Entry| entry.busy == 0 && !entry.has_room() && !entry.knows(mount);
        self.entries.iter_mut().filter(is_full).for_each(|entry| entry.retire(Retired::Recycled));
    }

    /// Returns the free instance that knows the mount, or else the one that was used last: so those that have been idle
    /// longest can go.
    fn best(&self, mount: MountKey, concurrency: u32) -> Option<usize> {
        let free = self.entries.iter().enumerate().filter(|(_, entry)| entry.takes_calls(concurrency));
        let best = free.max_by_key(|(_, entry)| (entry.knows(mount), entry.has_room(), entry.last_used));
        best.filter(|(_, entry)| entry.knows(mount) || entry.has_room()).map(|(at, _)| at)
    }

    /// Lets a tenant go. Returns whether there is another of the mount.
    fn part(&mut self, mount: MountKey, tenant: &Arc<Tenant>) -> bool {
        self.tenants.retain(|(_, other)| other.as_ptr() != Arc::as_ptr(tenant) && other.strong_count() > 0);
        self.tenants.iter().any(|(other, _)| *other == mount)
    }

    /// What instances remember of a mount is out of date from here on, but for those that are in a call for it.
    fn forget_unless_answering(&mut self, mount: MountKey) {
        let others = self.entries.iter_mut().filter(|entry| !entry.answers_for(mount));
        others.for_each(|entry| entry.forget(mount));
    }

    /// What all other instances remember of a mount is out of date from here on.
    fn forget_elsewhere(&mut self, mount: MountKey, but: Option<usize>) {
        let others = self.entries.iter_mut().enumerate().filter(|(at, _)| Some(*at) != but);
        others.for_each(|(_, entry)| entry.forget(mount));
    }

    /// Ends a call, and returns the instance if it goes with that.
    fn leave(&mut self, live: &Arc<Live>, mount: MountKey, settings: &PoolSettings, now: u64) -> Option<Entry> {
        // It may be out of the roster already.
        let at = self.entries.iter().position(|entry| Arc::ptr_eq(&entry.live, live))?;
        let entry = &mut self.entries[at];
        entry.leave(mount, now);
        if settings.requests_max.is_some_and(|max| entry.served >= max) {
            entry.retire(Retired::Recycled);
        }
        if entry.is_dead(settings.concurrency) {
            // Unless a failure has said why, nobody was there to see one: the call was dropped.
            live.dies_as(Retired::Cancelled);
            entry.is_retiring = true;
        }
        let (is_idle, is_retiring) = (entry.busy == 0, entry.is_retiring);
        if is_idle && !is_retiring && self.idle() > settings.idle_max as usize {
            live.goes_as(Retired::Idle);
            return Some(self.entries.swap_remove(at));
        }
        (is_idle && is_retiring).then(|| self.entries.swap_remove(at))
    }

    fn idle(&self) -> usize {
        self.entries.iter().filter(|entry| entry.busy == 0).count()
    }
}

// --------------------------------------------------------------------------------------------------------------------
// What the budget asks of a roster

impl Keeper for Roster {
    fn idle_since(&self) -> Option<u64> {
        self.lock().entries.iter().filter(|entry| entry.busy == 0).map(|entry| entry.last_used).min()
    }

    /// The instance is not told: its memory is a cache, and telling it would make one mount wait for another's code.
    fn evict(&self, why: Retired) {
        if self.program.residence() == Residence::Resident {
            return;
        }
        let gone = {
            let mut state = self.lock();
            let idle = state.entries.iter().enumerate().filter(|(_, entry)| entry.busy == 0);
            let oldest = idle.min_by_key(|(_, entry)| entry.last_used).map(|(at, _)| at);
            oldest.map(|at| state.entries.swap_remove(at))
        };
        gone.iter().for_each(|entry| entry.live.goes_as(why));
    }

    fn sweep(&self) {
        if self.program.residence() == Residence::Resident {
            return;
        }
        let periods = self.settings.idle_timeout.as_secs().div_ceil(SWEEP_PERIOD.as_secs()).max(1);
        let has_expired = |entry: &mut Entry| {
            if entry.busy > 0 {
                return false;
            }
            entry.idle_sweeps = entry.idle_sweeps.saturating_add(1);
            // The first sweep may come right after the last call.
            u64::from(entry.idle_sweeps) > periods
        };
        let gone: Vec<Entry> = self.lock().entries.extract_if(.., has_expired).collect();
        gone.iter().for_each(|entry| entry.live.goes_as(Retired::Idle));
    }

    fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        self.budget.forget(self);
    }
}

/// An instance that is being made for a mount, until this is dropped.
struct Making<'roster> {
    roster: &'roster Roster,
    mount: MountKey,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        {
            let making = &mut self.roster.lock().making;
            if let Some(at) = making.iter().position(|mount| *mount == self.mount) {
                making.swap_remove(at);
            }
        }
        self.roster.choosing.tell_all_after_lock();
    }
}
