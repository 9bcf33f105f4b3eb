//! The host that a history is played on, as far as it concerns mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;

use super::book::{Asked, Asking, Book, Known, Order, Written, has_started, lock};
use super::plugin::{Plugin, Starter};
use super::{AMPLE, Failing, How, Kept, MOUNTS, POOL_LIMITS, SCARCE, Setting, Sort, Step};
use crate::ident::{PluginKind, RequestPath};
use crate::limits::Limits;
use crate::mount::{
    Attempt, Ending, Generation, GenerationSettings, Mount, MountError, MountRecord, MountSettings, StartError,
};
use crate::plugin::{InstanceLimits, InstancePolicy};
use crate::pool::{InstanceBudget, Pools, Rollback};
use crate::request::{Operation, Request};
use crate::runtime::double::scope;
use crate::runtime::{Call, Description, Failure, MountKey, MountScope, PathRules};
use crate::storage::{MemoryStorage, StorageView, ViewLimits};

/// The host that a history is played on, as far as it concerns mounts.
pub(super) struct World {
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) settings: GenerationSettings,
    /// Those apart whose instances mounts share.
    pub(super) plugins: BTreeMap<(Sort, bool), Arc<Plugin>>,
    pub(super) kinds: Vec<Kept>,
    pub(super) mounts: Vec<Arc<Mount>>,
    /// Held by what changes a mount, as a host does: two changes never cross.
    pub(super) changing: Vec<Arc<tokio::sync::Mutex<()>>>,
    /// Mounts that were closed, and not opened again.
    pub(super) closed: BTreeSet<usize>,
    /// Whether a mount was ever closed.
    pub(super) has_closed: [Arc<AtomicBool>; MOUNTS],
    pub(super) generations: u64,
    /// How long requests and drains may take.
    pub(super) limit: Duration,
    /// What could only be found when it happened.
    pub(super) problems: Arc<Mutex<Vec<String>>>,
    pub(super) requests: u16,
    pub(super) own: u16,
}

impl World {
    pub(super) fn new(setting: &Setting, limit: Duration) -> Self {
        let book =
            Book { instances_max: setting.instances_max as usize, pauses: setting.pauses.clone(), ..Book::default() };
        let book = Arc::new(Mutex::new(book));
        let plugins = Sort::ALL.into_iter().flat_map(|sort| [(sort, false), (sort, true)]).map(|(sort, is_shared)| {
            let description = Description {
                kind: PluginKind::Secret,
                spread: sort.spread(),
                tells_create: false,
                version: None,
                unauthenticated: PathRules::parse(&["*".to_owned()]).expect("the pattern is well formed"),
            };
            let (meter, book) = (Arc::default(), Arc::clone(&book));
            ((sort, is_shared), Arc::new(Plugin { sort, is_shared, description, meter, book }))
        });
        let plugins = plugins.collect();
        let pools = Pools::new(InstanceBudget::new(setting.instances_max), POOL_LIMITS);
        let mut world = Self {
            book,
            settings: GenerationSettings { pools, lifecycle_deadline: limit },
            plugins,
            kinds: setting.kinds.clone(),
            mounts: Vec::new(),
            changing: (0..MOUNTS).map(|_| Arc::default()).collect(),
            closed: BTreeSet::new(),
            has_closed: Default::default(),
            generations: 0,
            limit,
            problems: Arc::default(),
            requests: 0,
            own: u16::MAX,
        };
        for (at, kind) in setting.mounts.into_iter().enumerate() {
            let generation = world.generation(at, &world.kind(kind));
            let storage = StorageView::new(
                Arc::new(MemoryStorage::default()),
                format!("{at}/"),
                ViewLimits::from(&Limits::default()),
            );
            let scope =
                MountScope { key: MountKey::next(), id: at.to_string().into(), storage, ..world.numbered(scope()) };
            world.mounts.push(Mount::new(record(), scope, generation));
        }
        world
    }

    fn kind(&self, kind: usize) -> Kept {
        self.kinds[kind % self.kinds.len()].clone()
    }

    pub(super) fn generation(&mut self, mount: usize, kept: &Kept) -> Arc<Generation> {
        self.generations += 1;
        lock(&self.book).turns.insert(self.generations, kept.turns());
        let is_shared = kept.policy == InstancePolicy::Pooled;
        let launcher = Starter { program: Arc::clone(&self.plugins[&(kept.sort, is_shared)]), kept: kept.clone() };
        let generation = Generation::new(Arc::new(launcher), Attempt::Anew, self.settings.clone());
        lock(&self.book).generations.insert(self.generations, (mount, Arc::downgrade(&generation)));
        generation
    }

    /// Puts the number of the last generation into its scope.
    pub(super) fn numbered(&self, scope: MountScope) -> MountScope {
        MountScope { accessor: self.generations.to_string().into(), ..scope }
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = lock(&self.book).wrong.clone();
        wrong.extend(self.problems.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        wrong
    }

    pub(super) fn is_timely(&self) -> bool {
        self.limit == AMPLE
    }

    pub(super) fn ask(&mut self, mount: usize) {
        self.requests += 1;
        let number = self.requests;
        let (book, problems) = (Arc::clone(&self.book), Arc::clone(&self.problems));
        let (asked, limit, is_timely) = (Arc::clone(&self.mounts[mount]), self.limit, self.is_timely());
        let has_closed = Arc::clone(&self.has_closed[mount]);
        let asking = self.asking(mount, number);
        let task = tokio::spawn(async move {
            let asking = asking;
            let outcome = request(&asked, number, limit).await;
            drop(asking);
            let book = lock(&book);
            let expected = match &outcome {
                Ok(()) | Err(MountError::Failed(Failure::Trap(_) | Failure::Backend(_))) => true,
                Err(MountError::NotStarted(StartError::Setup(error))) => match error.failure() {
                    Failure::Trap(_) => true,
                    // A start that met a full queue of shared instances stays failed for a while, so the queue may be
                    // empty again when a request is told of it.
                    Failure::Busy(text) if text == "its queue of 3 is full; try again later" => true,
                    _ => !is_timely,
                },
                Err(MountError::Closing | MountError::NotStarted(StartError::Ended)) => {
                    has_closed.load(Ordering::SeqCst)
                }
                Err(MountError::Failed(Failure::Busy(_))) => {
                    let text = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
                    // Mounts that start wait in the queue of shared instances too.
                    let shared = (0..MOUNTS).map(|other| book.waiting(other)).sum::<usize>() + book.starting(None);
                    match &*text {
                        "its queue of 2 is full; try again later" => book.waiting(mount) >= POOL_LIMITS.queue_max,
                        "its queue of 3 is full; try again later" => {
                            shared >= POOL_LIMITS.shared_queue_max || !is_timely
                        }
                        _ => !is_timely,
                    }
                }
                Err(MountError::Failed(Failure::Deadline(_)) | MountError::Replaced) => !is_timely,
                Err(_) => false,
            };
            if !expected {
                let text = format!("request {number} was answered {outcome:?}");
                problems.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        });
        if let Some(asked) = lock(&self.book).requests.get_mut(&number) {
            asked.task = Some(task.abort_handle());
        }
    }

    /// Notes that something is asked of a mount, until the result is dropped.
    pub(super) fn asking(&self, mount: usize, number: u16) -> Asking {
        lock(&self.book).requests.insert(number, Asked { mount, task: None });
        Asking { book: Arc::clone(&self.book), number }
    }

    /// The same of what the host itself asks.
    pub(super) fn asking_itself(&mut self, mount: usize) -> Asking {
        self.own -= 1;
        self.asking(mount, self.own)
    }

    pub(super) fn reload(&mut self, mount: usize, kept: &Kept, is_discarded: bool) {
        let Ok(reserved) = Arc::clone(&self.changing[mount]).try_lock_owned() else { return };
        if self.closed.contains(&mount) {
            return;
        }
        let next = self.generation(mount, kept);
        let (limit, mount) = (self.limit, Arc::clone(&self.mounts[mount]));
        let scope = self.numbered(MountScope::clone(&mount.now().scope));
        tokio::spawn(async move {
            let _reserved = reserved;
            let started = next.start(&Arc::new(scope.clone())).await;
            match started {
                Ok(running) if is_discarded => {
                    // As a host does that finds then that the change may not be.
                    running.pool.discard(Call::lifecycle(&Arc::new(scope), limit)).await;
                }
                Ok(_) => mount.switch(Arc::clone(&next), record(), scope, limit, limit),
                Err(_) => {}
            }
        });
    }

    pub(super) fn close(&mut self, mount: usize) {
        let Ok(reserved) = Arc::clone(&self.changing[mount]).try_lock_owned() else { return };
        if !self.closed.insert(mount) {
            return;
        }
        self.has_closed[mount].store(true, Ordering::SeqCst);
        let (limit, mount, problems, book) =
            (self.limit, Arc::clone(&self.mounts[mount]), Arc::clone(&self.problems), Arc::clone(&self.book));
        tokio::spawn(async move {
            let _reserved = reserved;
            mount.now().generation.end_start().await;
            mount.close(Ending::Disable, limit, limit).await;
            let now = mount.now();
            let is_left = |known: &&Known| !known.is_shared && known.mounts.contains_key(&now.scope.id);
            let left = lock(&book).instances.values().filter(is_left).count();
            if left > 0 {
                let text = format!("{left} instances of mount {} outlive it", now.scope.id);
                problems.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        });
    }

    pub(super) fn reopen(&mut self, mount: usize) {
        let Ok(_reserved) = self.changing[mount].try_lock() else { return };
        if self.closed.remove(&mount) {
            self.mounts[mount].reopen();
        }
    }

    pub(super) fn invalidate(&mut self, mount: usize, key: u8) {
        let (asking, has_closed) = (self.asking_itself(mount), Arc::clone(&self.has_closed[mount]));
        let (mount, limit, book) = (Arc::clone(&self.mounts[mount]), self.limit, Arc::clone(&self.book));
        tokio::spawn(async move {
            let _asking = asking;
            let (key, now) = (format!("k{key}"), mount.now());
            // It was stored before anybody is told.
            let version = lock(&book).next_version();
            // One that answers already, and no other, is told.
            if now.running().is_some() && mount.invalidate(&key, limit).await.is_ok() {
                let generation = now.scope.accessor.parse().unwrap_or(0);
                if Arc::ptr_eq(&now.generation, &mount.now().generation) && !has_closed.load(Ordering::SeqCst) {
                    lock(&book).wrote(&now.scope.id, key, Written { version, generation, by: None });
                }
            }
        });
    }

    pub(super) fn order(&self, call: usize, order: Order) {
        let book = lock(&self.book);
        if let Some(call) = book.calls.get(call % book.calls.len().max(1)) {
            // It may have been given up, and not have run since.
            drop(call.orders.send(order));
        }
    }

    pub(super) fn leave(&self, request: usize) {
        let book = lock(&self.book);
        let tasks: Vec<_> = book.requests.values().filter_map(|asked| asked.task.as_ref()).collect();
        if let Some(task) = tasks.get(request % tasks.len().max(1)) {
            task.abort();
        }
    }

    pub(super) fn die(&self, instance: usize) {
        let book = lock(&self.book);
        if let Some(known) = book.instances.values().nth(instance % book.instances.len().max(1)) {
            known.is_alive.store(false, Ordering::SeqCst);
        }
    }

    pub(super) async fn play(&mut self, step: &Step) {
        match step {
            Step::Ask { mount } => self.ask(*mount),
            Step::Write { call, key } => self.order(*call, Order::Write(*key)),
            Step::End { call, how } => self.order(*call, Order::End(*how)),
            Step::Leave { request } => self.leave(*request),
            Step::Die { instance } => self.die(*instance),
            Step::Fail { what } if *what == Failing::SetUpForEver && self.is_timely() => {}
            Step::Fail { what } => lock(&self.book).failing.push(*what),
            Step::Invalidate { mount, key } => self.invalidate(*mount, *key),
            Step::RollBack { mount } => {
                let (asking, limit) = (self.asking_itself(*mount), self.limit);
                let mount = Arc::clone(&self.mounts[*mount]);
                tokio::spawn(async move {
                    let _asking = asking;
                    mount.roll_back(Rollback::Periodic, limit).await;
                });
            }
            Step::Reload { mount, kind, is_discarded } => self.reload(*mount, &self.kind(*kind), *is_discarded),
            Step::Close { mount } => self.close(*mount),
            Step::Reopen { mount } => self.reopen(*mount),
            Step::Sweep => self.settings.pools.budget.sweep(),
            Step::Run { turns } => {
                for _ in 0..*turns {
                    yield_now().await;
                }
            }
            Step::Settle => self.settle().await,
            Step::Advance { seconds } if !self.is_timely() => sleep(Duration::from_secs((*seconds).into())).await,
            Step::Advance { .. } => {}
        }
    }

    /// Lets everything run until nothing can: time, which stands still, goes on then, and not before.
    pub(super) async fn settle(&self) {
        sleep(Duration::from_millis(1)).await;
        let mut book = lock(&self.book);
        if self.is_timely() && book.calls.is_empty() {
            for mount in 0..MOUNTS {
                let waiting = book.waiting(mount);
                if waiting > 0 {
                    book.wrong.push(format!("{waiting} requests of mount {mount} wait, and nothing is in flight"));
                }
            }
        }
        for (mount, now) in self.mounts.iter().enumerate() {
            // Requests that wait for their mount to start are in no queue.
            if book.starting(Some(mount)) > 0 || !has_started(&now.now().generation) {
                continue;
            }
            // Whoever has a turn may wait as well: for an instance, or for the generation before.
            let numbers = book.generations.iter().filter(|(_, (of, _))| *of == mount).map(|(number, _)| number);
            let places = |generation| book.turns.get(generation).copied().unwrap_or(0) + POOL_LIMITS.queue_max;
            let (waiting, places) = (book.waiting(mount), numbers.map(places).sum::<usize>());
            if waiting > places {
                book.wrong.push(format!("{waiting} requests of mount {mount} wait in {places} places"));
            }
        }
    }

    /// Ends the history: what is in flight is answered, and so everything else is.
    pub(super) async fn end(&mut self) {
        lock(&self.book).failing.clear();
        loop {
            self.settle().await;
            if lock(&self.book).calls.is_empty() {
                break;
            }
            self.order(0, Order::End(How::Answers));
        }
        if !self.is_timely() {
            sleep(SCARCE * 10).await;
        }
        let mut book = lock(&self.book);
        let unanswered: Vec<u16> = book.requests.keys().copied().collect();
        if !unanswered.is_empty() {
            book.wrong.push(format!("the requests {unanswered:?} were never answered"));
        }
    }

    /// Ends all mounts, and looks whether anything is left of them.
    pub(super) async fn close_all(&mut self) {
        for mount in 0..MOUNTS {
            self.close(mount);
        }
        sleep(SCARCE * 10).await;
        for (mount, changing) in self.changing.iter().enumerate() {
            if changing.try_lock().is_err() {
                lock(&self.book).wrong.push(format!("mount {mount} never ends"));
            }
        }
        self.mounts.clear();
        let mut book = lock(&self.book);
        if !book.instances.is_empty() {
            let left: Vec<u64> = book.instances.keys().copied().collect();
            book.wrong.push(format!("the instances {left:?} outlive their mounts"));
        }
        for (sort, plugin) in &self.plugins {
            let counts = plugin.meter.read();
            if (counts.live(), counts.idle) != (0, 0) {
                book.wrong.push(format!("{sort:?}: {} are counted as alive, {} as idle", counts.live(), counts.idle));
            }
        }
    }

    /// Sees whether the whole budget can be used again, and no more.
    pub(super) async fn use_up(&mut self) {
        let instances_max = lock(&self.book).instances_max;
        let max_instances = Some(instances_max as u32 + 1);
        let kept = Kept {
            sort: Sort::Many,
            policy: InstancePolicy::PerRequest,
            limits: InstanceLimits { max_instances, ..InstanceLimits::default() },
        };
        let generation = self.generation(0, &kept);
        let scope = MountScope { key: MountKey::next(), id: "last".into(), ..self.numbered(scope()) };
        self.mounts.push(Mount::new(record(), scope, generation));
        self.changing[0] = Arc::default();
        self.closed.clear();
        self.limit = AMPLE;
        for _ in 0..=instances_max {
            self.ask(0);
        }
        self.settle().await;
        let in_flight = lock(&self.book).calls.len();
        if in_flight != instances_max {
            lock(&self.book).wrong.push(format!("{in_flight} of {instances_max} instances can be used at last"));
        }
        self.end().await;
    }
}

async fn request(mount: &Mount, number: u16, limit: Duration) -> Result<(), MountError> {
    let mut request = Request::new(Operation::Read, RequestPath::root());
    request.remote_address = Some(SocketAddr::from(([127, 0, 0, 1], number)));
    let entered = mount.enter_started(limit).await.map_err(|closed| closed.error)?;
    entered.handle(Box::new(request)).await.map(drop)
}

fn record() -> MountRecord {
    let plugin = "model".parse().expect("the name is well formed");
    MountRecord::new("t".parse().expect("the path is well formed"), MountSettings::new(PluginKind::Secret, plugin))
}
