//! How many instances may live at a time in the whole host, and which one goes when another is needed.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::turns::Waiting;
use crate::meter::Retired;
use crate::runtime::Failure;

/// What keeps instances that may go while nobody calls them.
pub(super) trait Keeper: Send + Sync {
    /// Returns the moment at which the instance was last used that has been idle longest, if any is idle.
    fn idle_since(&self) -> Option<u64>;

    /// Lets the instance go that has been idle longest.
    fn evict(&self, why: Retired);

    /// Lets those go that have been idle for longer than they may. Called once a
    /// [`SWEEP_PERIOD`](super::SWEEP_PERIOD).
    fn sweep(&self);

    /// Returns whether it keeps no instance.
    fn is_empty(&self) -> bool;
}

/// Counts live instances, and makes idle ones give way.
pub(crate) struct InstanceBudget {
    instances_max: usize,
    live: AtomicUsize,
    /// Advances with each admission: what was used before the last admission is older than what was used after it. Only
    /// read on the way of a request, so that requests on several cores share no line of memory that changes.
    admissions: AtomicU64,
    /// Those that keep an instance, by address. Only looked through when the budget is spent.
    keepers: Mutex<HashMap<usize, Weak<dyn Keeper>>>,
    /// The idle ones among them when they were last looked through, longest idle first, with the moment of their last
    /// use.
    oldest: Mutex<VecDeque<(u64, Weak<dyn Keeper>)>>,
    /// Held by the one who looks for an instance to let go.
    looking: Mutex<()>,
    /// Admissions that wait for room.
    waiting: AtomicUsize,
    /// Told when an instance went, or became idle while somebody waits.
    room: Notify,
}

/// The right of one instance to live.
pub(super) struct InstancePermit(Arc<InstanceBudget>);

impl InstanceBudget {
    /// Returns a budget for so many instances.
    pub(crate) fn new(instances_max: u32) -> Arc<Self> {
        Arc::new(Self {
            instances_max: instances_max as usize,
            live: AtomicUsize::new(0),
            admissions: AtomicU64::new(0),
            keepers: Mutex::default(),
            oldest: Mutex::default(),
            looking: Mutex::default(),
            waiting: AtomicUsize::new(0),
            room: Notify::new(),
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
        // No set may be dropped while the lock is held, for it would ask to be forgotten.
        let keepers: Vec<Arc<dyn Keeper>> = {
            let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
            keepers.values().filter_map(Weak::upgrade).collect()
        };
        keepers.iter().for_each(|set| set.sweep());
        let mut watched = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        // One that makes an instance says so after it has it, and so after this, if not before.
        for set in keepers.iter().filter(|set| set.is_empty()) {
            watched.remove(&address(Arc::as_ptr(set)));
        }
    }

    /// Says that an instance became idle and could go.
    pub(super) fn became_idle(&self) {
        // Pairs with the fence in `admit`: either this sees who waits, or whoever waits sees the idle instance.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.room.notify_one();
        }
    }

    /// Admits one more instance, if need be by letting the one go that has been idle longest.
    pub(super) async fn admit(self: &Arc<Self>, deadline: Instant) -> Result<InstancePermit, Failure> {
        self.admissions.fetch_add(1, Ordering::Relaxed);
        if let Some(permit) = self.try_admit() {
            return Ok(permit);
        }
        // The calls' own queues bound how many there are.
        let _waiting = Waiting::join(&self.waiting, usize::MAX);
        fence(Ordering::SeqCst);
        loop {
            let mut room = pin!(self.room.notified());
            // From here on, whatever becomes idle is heard of, however many others wait.
            room.as_mut().enable();
            {
                // One looks at a time: whoever looks holds each slot for a moment, which would look like use to
                // another.
                let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(oldest) = self.oldest_idle() {
                    oldest.evict(Retired::Evicted);
                    if let Some(permit) = self.try_admit() {
                        return Ok(permit);
                    }
                }
                if let Some(permit) = self.try_admit() {
                    return Ok(permit);
                }
            }
            timeout_at(deadline, room).await.map_err(|_| {
                Failure::Busy("every instance that the host may run was busy until the deadline".to_owned())
            })?;
        }
    }

    /// Returns whether no instance holds a place in it.
    #[cfg(test)]
    pub(super) fn is_unspent(&self) -> bool {
        self.live.load(Ordering::Relaxed) == 0
    }

    fn try_admit(self: &Arc<Self>) -> Option<InstancePermit> {
        let admitted = self
            .live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| (live < self.instances_max).then_some(live + 1));
        admitted.ok().map(|_| InstancePermit(Arc::clone(self)))
    }

    /// Returns the set whose instance has been idle longest.
    ///
    /// Looking through all sets costs time for each, so what one look finds serves many admissions: an instance that
    /// was not used since is still older than all that were.
    fn oldest_idle(&self) -> Option<Arc<dyn Keeper>> {
        self.still_oldest().or_else(|| {
            let keepers: Vec<Arc<dyn Keeper>> = {
                let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
                keepers.values().filter_map(Weak::upgrade).collect()
            };
            let mut idle: Vec<_> =
                keepers.iter().filter_map(|set| Some((set.idle_since()?, Arc::downgrade(set)))).collect();
            idle.sort_unstable_by_key(|(since, _)| *since);
            *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = idle.into();
            self.still_oldest()
        })
    }

    /// Returns the first of the oldest that was not used since they were looked for.
    fn still_oldest(&self) -> Option<Arc<dyn Keeper>> {
        // No set may be dropped while a lock is held, for it would ask to be forgotten.
        let next = || self.oldest.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while let Some((since, set)) = next() {
            if let Some(set) = set.upgrade().filter(|set| set.idle_since() == Some(since)) {
                return Some(set);
            }
        }
        None
    }
}

impl Drop for InstancePermit {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
        self.0.became_idle();
    }
}

/// Returns where something lies, which nothing else does while it lives.
fn address<T: ?Sized>(of: *const T) -> usize {
    of.cast::<()>().addr()
}
