//! What is known of all instances of a history, and what must never be.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::{Failing, How, Sort};
use crate::mount::Generation;
use crate::runtime::Spread;

/// What is known of all instances, and what was found wrong with them.
#[derive(Default)]
pub(super) struct Book {
    pub(super) wrong: Vec<String>,
    pub(super) instances_max: usize,
    /// Counts what is written.
    pub(super) version: u64,
    pub(super) instances: BTreeMap<u64, Known>,
    pub(super) calls: Vec<InFlight>,
    pub(super) written: BTreeMap<(Arc<str>, String), Written>,
    pub(super) requests: BTreeMap<u16, Asked>,
    /// The version when an instance began to be prepared for a request.
    pub(super) prepared: BTreeMap<u16, u64>,
    /// Calls of a mount that may run at a time in each of the generations.
    pub(super) turns: BTreeMap<u64, usize>,
    /// All generations, by their numbers, and which mount's they are.
    pub(super) generations: BTreeMap<u64, (usize, Weak<Generation>)>,
    pub(super) failing: Vec<Failing>,
    pub(super) pauses: Vec<u8>,
    pub(super) paused: usize,
    pub(super) instances_made: u64,
}

/// What is known of a live instance.
pub(super) struct Known {
    pub(super) sort: Sort,
    pub(super) is_shared: bool,
    pub(super) is_alive: Arc<AtomicBool>,
    /// What it is in.
    pub(super) busy: u32,
    pub(super) mounts: BTreeMap<Arc<str>, Memory>,
}

/// What an instance remembers of a mount.
#[derive(Default)]
pub(super) struct Memory {
    /// It knows what was written until then.
    pub(super) set_up_at: u64,
    /// And of these keys what was written until then.
    pub(super) told: BTreeMap<String, u64>,
}

/// The last write of a key.
pub(super) struct Written {
    pub(super) version: u64,
    pub(super) generation: u64,
    pub(super) by: Option<u64>,
}

pub(super) struct InFlight {
    pub(super) mount: Arc<str>,
    pub(super) generation: u64,
    pub(super) instance: u64,
    pub(super) sort: Sort,
    pub(super) number: u16,
    pub(super) orders: UnboundedSender<Order>,
}

pub(super) enum Order {
    Write(u8),
    End(How),
}

/// What was asked of a mount and has not ended. The host's own questions, which are numbered from the other end, wait
/// in the same queue as requests.
pub(super) struct Asked {
    pub(super) mount: usize,
    pub(super) task: Option<AbortHandle>,
}

/// Ends what was asked of a mount when it is dropped, in whatever way that happens.
pub(super) struct Asking {
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) number: u16,
}

impl Drop for Asking {
    fn drop(&mut self) {
        lock(&self.book).requests.remove(&self.number);
    }
}

impl Book {
    pub(super) fn pause(&mut self) -> u8 {
        let pauses = self.pauses.len();
        self.paused += 1;
        if pauses == 0 { 0 } else { self.pauses[self.paused % pauses] }
    }

    pub(super) fn takes(&mut self, failing: Failing) -> bool {
        let at = self.failing.iter().position(|other| *other == failing);
        at.map(|at| self.failing.swap_remove(at)).is_some()
    }

    /// A new instance lives.
    pub(super) fn made(&mut self, sort: Sort, is_shared: bool, is_alive: &Arc<AtomicBool>) -> u64 {
        self.instances_made += 1;
        let known = Known { sort, is_shared, is_alive: Arc::clone(is_alive), busy: 0, mounts: BTreeMap::new() };
        self.instances.insert(self.instances_made, known);
        let sandboxes = self.instances.values().filter(|known| known.sort != Sort::Native).count();
        if sandboxes > self.instances_max {
            self.wrong.push(format!("{sandboxes} instances live, and {} may", self.instances_max));
        }
        self.instances_made
    }

    /// An instance begins to do something.
    pub(super) fn begin(&mut self, instance: u64) {
        let Some(known) = self.instances.get_mut(&instance) else { return };
        known.busy += 1;
        if known.busy > known.sort.concurrency() {
            self.wrong.push(format!("instance {instance} is in {} calls", known.busy));
        }
    }

    pub(super) fn end(&mut self, instance: u64) {
        if let Some(known) = self.instances.get_mut(&instance) {
            known.busy -= 1;
        }
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// From now on it must be known that a key was written.
    pub(super) fn wrote(&mut self, mount: &Arc<str>, key: String, written: Written) {
        let last = self.written.get(&(Arc::clone(mount), key.clone()));
        if last.is_none_or(|last| last.version < written.version) {
            self.written.insert((Arc::clone(mount), key), written);
        }
    }

    /// An instance begins to answer a request.
    pub(super) fn answers(&mut self, call: InFlight) {
        let InFlight { instance, number, .. } = call;
        let Some(known) = self.instances.get(&instance) else { return };
        let is_alike = |other: &&InFlight| (&other.mount, other.generation) == (&call.mount, call.generation);
        let (running, turns) = (self.calls.iter().filter(is_alike).count(), self.turns.get(&call.generation));
        if turns.is_none_or(|turns| running >= *turns) {
            self.wrong.push(format!("request {number} runs beside {running} others, and {turns:?} may"));
        }
        for other in self.calls.iter().filter(|other| other.mount == call.mount && other.instance != instance) {
            if [other.sort, call.sort].iter().any(|sort| sort.spread() == Spread::One) {
                let text = format!("request {number} in instance {instance} beside {}", other.number);
                self.wrong.push(format!("{text} in instance {}", other.instance));
            }
        }
        match known.mounts.get(&call.mount) {
            None => self.wrong.push(format!("instance {instance} was not set up for request {number}")),
            Some(memory) => {
                // What was written while it was being prepared for this very request is told to it before the next.
                let until = self.prepared.get(&number).copied().unwrap_or(self.version);
                for ((mount, key), written) in &self.written {
                    let is_known = memory.set_up_at.max(memory.told.get(key).copied().unwrap_or(0)) >= written.version;
                    // A request that is still in the generation before may not see what the next has written.
                    let concerns = *mount == call.mount && written.generation <= call.generation;
                    if concerns && written.version <= until && written.by != Some(instance) && !is_known {
                        let text = format!("instance {instance} does not know of {key} for request {number}");
                        self.wrong.push(format!("{text}: written by {:?}", written.by));
                    }
                }
            }
        }
        self.calls.push(call);
    }

    /// Returns how many generations are being started, of one mount or of all.
    pub(super) fn starting(&self, of: Option<usize>) -> usize {
        let is_starting = |(mount, generation): &&(usize, Weak<Generation>)| {
            of.is_none_or(|of| of == *mount) && generation.upgrade().is_some_and(|generation| !has_started(&generation))
        };
        self.generations.values().filter(is_starting).count()
    }

    pub(super) fn waiting(&self, mount: usize) -> usize {
        let waits = |(number, asked): &(&u16, &Asked)| {
            asked.mount == mount && !self.calls.iter().any(|call| call.number == **number)
        };
        self.requests.iter().filter(waits).count()
    }
}

pub(super) fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn has_started(generation: &Generation) -> bool {
    matches!(generation.outcome(), Some(Ok(_)))
}
