//! How many instances may live at a time in the whole host, and which one goes when another is needed.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::{Instant, timeout_at};

use super::room::Room;
use crate::meter::Retired;
use crate::runtime::Failure;

/// What keeps instances, some of which may be idle.
pub(super) trait Keeper: Send + Sync {
    /// Returns the [moment](InstanceBudget::now) of the last call of the instance that has been idle longest, if any is
    /// idle. An instance that is idle is seen here before [`InstanceBudget::became_idle`] is called.
    fn idle_since(&self) -> Option<u64>;

    /// Lets the instance go that has been idle longest, if any is idle.
    fn evict(&self, why: Retired);

    /// Lets instances go that have been idle for longer than they may. Called once in each period of sweeping.
    fn sweep(&self);

    /// Returns whether it keeps no instance.
    fn is_empty(&self) -> bool;
}

/// Counts live instances, and makes idle ones give way.
pub(crate) struct InstanceBudget {
    room: Room,
    /// Advances with each admission: what was used before the last admission is older than what was used after it. Only
    /// read on the way of a request, so that requests on several cores share no line of memory that changes.
    admissions: AtomicU64,
    /// Those that keep an instance, by address. Only looked through when the budget is spent.
    keepers: Mutex<HashMap<usize, Weak<dyn Keeper>>>,
    /// The keepers of idle instances when they were last looked through, longest idle first, with the moment of the
    /// last call.
    oldest: Mutex<VecDeque<(u64, Weak<dyn Keeper>)>>,
    /// Held by the one who looks for an instance to evict, so that no two choose the same.
    looking: Mutex<()>,
}

/// The right of one instance to live.
pub(super) struct InstancePermit(Arc<InstanceBudget>);

impl InstanceBudget {
    /// Returns a budget for this many instances.
    pub(crate) fn new(instances_max: u32) -> Arc<Self> {
        Arc::new(Self {
            room: Room::new(instances_max as usize),
            admissions: AtomicU64::new(0),
            keepers: Mutex::default(),
            oldest: Mutex::default(),
            looking: Mutex::default(),
        })
    }

    /// Returns the current moment, as instances note their last use by.
    pub(super) fn now(&self) -> u64 {
        self.admissions.load(Ordering::Relaxed)
    }

    /// Looks after what keeps an instance from now on.
    pub(super) fn watch(&self, keeper: &Arc<dyn Keeper>) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.insert(address(Arc::as_ptr(keeper)), Arc::downgrade(keeper));
    }

    /// Forgets what is gone.
    pub(super) fn forget<K>(&self, keeper: &K) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.remove(&address(std::ptr::from_ref(keeper)));
    }

    /// Lets instances go that have been idle for longer than they may. To be called once a
    /// [`SWEEP_PERIOD`](super::SWEEP_PERIOD).
    pub(crate) fn sweep(&self) {
        // No keeper may be dropped while the lock is held, since it would ask to be forgotten.
        let keepers: Vec<Arc<dyn Keeper>> = {
            let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
            keepers.values().filter_map(Weak::upgrade).collect()
        };
        keepers.iter().for_each(|keeper| keeper.sweep());
        let mut watched = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        // A keeper that makes an instance asks to be watched after it has the instance: after this, if not before.
        for keeper in keepers.iter().filter(|keeper| keeper.is_empty()) {
            watched.remove(&address(Arc::as_ptr(keeper)));
        }
    }

    /// Says that an instance became idle and could go. Its keeper has released its lock by then.
    pub(super) fn became_idle(&self) {
        self.room.can_be_made();
    }

    /// Admits one more instance, if need be by letting the one go that has been idle longest. Fails as busy if every
    /// instance is in a call until the deadline.
    pub(super) async fn admit(self: &Arc<Self>, deadline: Instant) -> Result<InstancePermit, Failure> {
        self.admissions.fetch_add(1, Ordering::Relaxed);
        if let Some(permit) = self.try_admit() {
            return Ok(permit);
        }
        // The queues of mounts bound how many wait here.
        let waiting = self.room.wait();
        loop {
            let mut room = pin!(waiting.told());
            // From here on, whatever becomes idle is heard of, however many others wait.
            room.as_mut().enable();
            if let Some(permit) = self.try_evict() {
                return Ok(permit);
            }
            timeout_at(deadline, room).await.map_err(|_| {
                Failure::Busy("every instance that the host may run was busy until the deadline".to_owned())
            })?;
        }
    }

    /// Admits one more instance if another can go, or has gone.
    fn try_evict(self: &Arc<Self>) -> Option<InstancePermit> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = self.oldest_idle() {
            oldest.evict(Retired::Evicted);
            if let Some(permit) = self.try_admit() {
                return Some(permit);
            }
        }
        self.try_admit()
    }

    fn try_admit(self: &Arc<Self>) -> Option<InstancePermit> {
        self.room.try_take().then(|| InstancePermit(Arc::clone(self)))
    }

    /// Returns the keeper whose instance has been idle longest.
    ///
    /// Looking through all keepers costs time for each, so what one look finds serves many admissions: an instance that
    /// was not used since is still older than all that were.
    fn oldest_idle(&self) -> Option<Arc<dyn Keeper>> {
        self.still_oldest().or_else(|| {
            let keepers: Vec<Arc<dyn Keeper>> = {
                let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
                keepers.values().filter_map(Weak::upgrade).collect()
            };
            let mut idle: Vec<_> =
                keepers.iter().filter_map(|keeper| Some((keeper.idle_since()?, Arc::downgrade(keeper)))).collect();
            idle.sort_unstable_by_key(|(since, _)| *since);
            *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = idle.into();
            self.still_oldest()
        })
    }

    /// Returns the first of the oldest that was not used since they were looked for.
    fn still_oldest(&self) -> Option<Arc<dyn Keeper>> {
        // No keeper may be dropped while a lock is held, since it would ask to be forgotten.
        let next = || self.oldest.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while let Some((since, keeper)) = next() {
            if let Some(keeper) = keeper.upgrade().filter(|keeper| keeper.idle_since() == Some(since)) {
                return Some(keeper);
            }
        }
        None
    }
}

impl Drop for InstancePermit {
    fn drop(&mut self) {
        self.0.room.give_back();
    }
}

/// Returns where something lies, which nothing else does while it lives.
fn address<T: ?Sized>(of: *const T) -> usize {
    of.cast::<()>().addr()
}
