//! A program for tests of the modules above: its instances do what a test says, and tell what was asked of them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep_until;

use super::{
    Call, Description, Failure, Grants, Instance, LogBudget, MountKey, MountScope, PathRules, Program, Residence,
    Spread,
};
use crate::ident::PluginKind;
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::request::{Request, Response};
use crate::storage::{MemoryStorage, StorageView, ViewLimits};

/// A program that never leaves the test's memory.
pub(crate) struct Double {
    pub(crate) description: Description,
    pub(crate) residence: Residence,
    /// Never finishes an instance.
    pub(crate) never_makes: bool,
    /// Never finishes setting one up.
    pub(crate) never_sets_up: bool,
    pub(crate) concurrency: NonZeroU32,
    /// What was asked of its instances, in order.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// Whether the instances that there are have crashed.
    pub(crate) crashed: Arc<AtomicBool>,
    pub(crate) meter: Arc<PluginMeter>,
}

impl Double {
    pub(crate) fn new(residence: Residence) -> Self {
        let description = Description {
            kind: PluginKind::Secret,
            spread: Spread::One,
            tells_create: true,
            version: None,
            unauthenticated: PathRules::parse(&["*".to_owned()]).expect("the pattern is well formed"),
        };
        Self {
            description,
            residence,
            never_makes: false,
            never_sets_up: false,
            concurrency: NonZeroU32::MIN,
            asked: Arc::default(),
            crashed: Arc::default(),
            meter: Arc::default(),
        }
    }

    /// Returns one whose mounts' requests may be spread over several instances.
    pub(crate) fn spreading() -> Self {
        let double = Self::new(Residence::Evictable);
        Self { description: Description { spread: Spread::Many, ..double.description.clone() }, ..double }
    }

    /// Returns what was asked since the last time.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Program for Double {
    fn description(&self) -> &Description {
        &self.description
    }

    fn capabilities(&self) -> &[String] {
        &[]
    }

    fn imports(&self) -> &[String] {
        &[]
    }

    fn meter(&self) -> &Arc<PluginMeter> {
        &self.meter
    }

    fn concurrency(&self) -> NonZeroU32 {
        self.concurrency
    }

    fn residence(&self) -> Residence {
        self.residence
    }

    async fn instantiate(&self, _: &Grants) -> Result<Arc<dyn Instance>, Failure> {
        if self.never_makes {
            return std::future::pending().await;
        }
        self.crashed.store(false, Ordering::SeqCst);
        Ok(Arc::new(Actor {
            asked: Arc::clone(&self.asked),
            crashed: Arc::clone(&self.crashed),
            never_sets_up: self.never_sets_up,
        }))
    }
}

/// An instance. It answers `echo` with the address and the headers that it is lent, in warnings; `hang` never; and
/// anything else with nothing.
struct Actor {
    asked: Arc<Mutex<Vec<String>>>,
    crashed: Arc<AtomicBool>,
    never_sets_up: bool,
}

impl Actor {
    fn note(&self, what: impl Into<String>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
    }
}

#[async_trait]
impl Instance for Actor {
    fn is_alive(&self) -> bool {
        !self.crashed.load(Ordering::SeqCst)
    }

    async fn setup(&self, _: Call) -> Result<(), Failure> {
        self.note("setup");
        if self.never_sets_up {
            return std::future::pending().await;
        }
        Ok(())
    }

    async fn initialize(&self, _: Call) -> Result<(), Failure> {
        self.note("initialize");
        Ok(())
    }

    async fn handle(&self, call: Call, request: Request) -> Result<Response, Failure> {
        self.note(format!("{:?} {:?}", request.operation, request.path.as_str()));
        match request.path.as_str() {
            "hang" => {
                sleep_until(call.deadline).await;
                Err(Failure::Deadline(call.limit))
            }
            "echo" => {
                let mut warnings: Vec<String> = call.remote_address.iter().map(ToString::to_string).collect();
                warnings.extend(call.headers.iter().flat_map(|headers| headers.get("x-a")));
                Ok(Response { warnings, ..Response::default() })
            }
            _ => Ok(Response::default()),
        }
    }

    async fn exists(&self, _: Call, request: &Request) -> Result<Option<bool>, Failure> {
        self.note(format!("exists {:?}", request.path.as_str()));
        Ok(None)
    }

    async fn invalidate(&self, _: Call, key: &str) -> Result<(), Failure> {
        self.note(format!("invalidate {key:?}"));
        Ok(())
    }

    async fn cleanup(&self, _: Call) -> Result<(), Failure> {
        self.note("cleanup");
        Ok(())
    }
}

/// Returns a mount at `t/` with all defaults, which stores in memory.
pub(crate) fn scope() -> MountScope {
    let limits = Limits::default();
    MountScope {
        key: MountKey::chosen(0),
        id: "id".into(),
        path: "t".parse().expect("the path is well formed"),
        accessor: "accessor".into(),
        plugin: "double".into(),
        options: Default::default(),
        default_ttl: limits.default_lease_ttl,
        max_ttl: limits.max_lease_ttl,
        passthrough_headers: Vec::new(),
        storage: StorageView::new(Arc::new(MemoryStorage::default()), "t/", ViewLimits::from(&limits)),
        log: Arc::new(LogBudget::new(1)),
        faults: Arc::new(LogBudget::new(1)),
        meter: Arc::default(),
    }
}

/// Returns a call for that mount, with a second's time.
pub(crate) fn call() -> Call {
    Call::lifecycle(&Arc::new(scope()), Duration::from_secs(1))
}
