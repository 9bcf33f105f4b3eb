//! The calls in flight in one sandbox, known both to the requests that wait for them and to the event loop that runs
//! them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wasmtime::component::GuestTaskId;

use crate::request::Response;
use crate::runtime::Failure;
use crate::runtime::wasm::lent::CallNumber;

/// What a plugin answers.
pub(super) enum Answer {
    Done,
    Response(Box<Response>),
    Existence(Option<bool>),
}

/// What a call came to.
pub(super) type Outcome = Result<Answer, Failure>;

/// All calls in flight in one sandbox. Nothing is done under its lock but looking things up.
pub(super) struct Calls {
    book: Mutex<Book>,
    /// Something changed that the watch looks at.
    changed: Notify,
    /// Wakes the sandbox, which rests at times while no request waits for it.
    sandbox: AtomicWaker,
    grace: Duration,
}

struct Book {
    life: Life,
    calls: BTreeMap<CallNumber, InFlight>,
    begun: CallNumber,
}

/// Whether the sandbox takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It does.
    Open,
    /// It should get no new calls, and goes when it was not used for the grace. Until then it still answers: a request
    /// that began with it may make a second call, as a write does that first asks whether its path exists.
    Retired {
        /// Since when no request uses it.
        unused_since: Option<Instant>,
    },
    /// It is gone.
    Over,
}

struct InFlight {
    /// Where the answer goes. `None` once no request waits for it.
    answer: Option<oneshot::Sender<Outcome>>,
    over: CancellationToken,
    /// Whether an instance that takes no new calls is kept for it.
    urgency: Urgency,
    /// The call's deadline. Other calls may keep the instance computing until then, even if this call's request stopped
    /// waiting earlier. `None` for work in the background.
    deadline: Option<Instant>,
    stage: Stage,
    /// The guest's tasks that it is: the call itself, and the one that tells the guest to end it.
    tasks: [Option<GuestTaskId>; 2],
}

/// Whether a request waits for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A request does.
    Awaited,
    /// It is work in the background.
    Background,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// It was given up, and has this long to end.
    GivenUp {
        until: Instant,
        /// Whether the sandbox's event loop has taken note: one that has not turned since is computing.
        heard: bool,
    },
    /// It had long enough.
    Overdue,
}

/// Why a sandbox has to be stopped although nothing in it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It computes without end, past the deadline of a call.
    Stuck,
    /// A call that was given up does not end, and no request uses the sandbox any more.
    Ignored,
}

/// A call that was entered into the book.
pub(super) struct Entered {
    pub(super) number: CallNumber,
    pub(super) over: CancellationToken,
    pub(super) answered: oneshot::Receiver<Outcome>,
}

impl Calls {
    pub(super) fn new(grace: Duration) -> Self {
        let book = Book { life: Life::Open, calls: BTreeMap::new(), begun: 0 };
        Self { book: Mutex::new(book), changed: Notify::new(), sandbox: AtomicWaker::new(), grace }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the sandbox is good for new calls.
    pub(super) fn is_open(&self) -> bool {
        self.book().life == Life::Open
    }

    /// Enters a call; `None` if the sandbox is gone.
    pub(super) fn enter(&self, urgency: Urgency, deadline: Option<Instant>) -> Option<Entered> {
        let mut book = self.book();
        if book.life == Life::Over {
            return None;
        }
        // Four billion calls later the first number is free again, unless that call is still there.
        book.begun = book.begun.wrapping_add(1);
        while book.calls.contains_key(&book.begun) {
            book.begun = book.begun.wrapping_add(1);
        }
        let number = book.begun;
        let over = CancellationToken::new();
        let (answer, answered) = oneshot::channel();
        let in_flight = InFlight {
            answer: Some(answer),
            over: over.clone(),
            urgency,
            deadline,
            stage: Stage::Running,
            tasks: [None; 2],
        };
        book.calls.insert(number, in_flight);
        if let Life::Retired { unused_since } = &mut book.life {
            *unused_since = None;
        }
        drop(book);
        if urgency == Urgency::Awaited {
            self.sandbox.wake();
        }
        Some(Entered { number, over, answered })
    }

    /// Whether all that is in flight is work in the background that may take its time.
    pub(super) fn nobody_waits(&self) -> bool {
        let is_patient = |call: &InFlight| call.urgency == Urgency::Background && call.stage == Stage::Running;
        self.book().calls.values().all(is_patient)
    }

    /// Registers this waker: it is woken when a request begins to wait, or when work in the background is given up.
    pub(super) fn hurried(&self, waker: &Waker) {
        self.sandbox.register(waker);
    }

    /// Gives a call up: whatever the call waits for ends, and the guest has the grace to end the call itself.
    pub(super) fn give_up(&self, number: CallNumber) {
        let mut book = self.book();
        let Some(call) = book.calls.get_mut(&number) else { return };
        if call.stage != Stage::Running {
            return;
        }
        if call.urgency == Urgency::Awaited {
            call.answer = None;
        }
        call.stage = Stage::GivenUp { until: Instant::now() + self.grace, heard: false };
        let over = call.over.clone();
        drop(book);
        over.cancel();
        self.changed.notify_one();
        self.sandbox.wake();
    }

    /// The event loop knows that this call was given up.
    pub(super) fn heard(&self, number: CallNumber) {
        if let Some(InFlight { stage: Stage::GivenUp { heard, .. }, .. }) = self.book().calls.get_mut(&number) {
            *heard = true;
        }
    }

    /// A call became one of the guest's tasks.
    pub(super) fn became(&self, number: CallNumber, task: GuestTaskId) {
        let mut book = self.book();
        let free = book.calls.get_mut(&number).and_then(|call| call.tasks.iter_mut().find(|task| task.is_none()));
        if let Some(free) = free {
            *free = Some(task);
        }
    }

    /// Returns the call that one of these tasks is, the first that is any.
    pub(super) fn call_of(&self, mut tasks: impl Iterator<Item = GuestTaskId>) -> Option<CallNumber> {
        let book = self.book();
        tasks.find_map(|task| {
            book.calls.iter().find_map(|(number, call)| call.tasks.contains(&Some(task)).then_some(*number))
        })
    }

    /// A call ended.
    pub(super) fn answer(&self, number: CallNumber, outcome: Outcome) {
        let answer = self.book().calls.remove(&number).and_then(|call| call.answer);
        self.changed.notify_one();
        if let Some(answer) = answer {
            // It fails if the request stopped waiting, which needs no answer.
            drop(answer.send(outcome));
        }
    }

    /// The sandbox is gone: every call in flight gets the failure that is its own.
    pub(super) fn end(&self, failure: impl Fn(CallNumber) -> Failure) {
        let mut book = self.book();
        book.life = Life::Over;
        let calls = std::mem::take(&mut book.calls);
        drop(book);
        for (number, call) in calls {
            call.over.cancel();
            if let Some(answer) = call.answer {
                drop(answer.send(Err(failure(number))));
            }
        }
    }

    /// Returns the one call in flight, if it is the only one.
    pub(super) fn only(&self) -> Option<CallNumber> {
        let book = self.book();
        let mut numbers = book.calls.keys().copied();
        numbers.next().filter(|_| numbers.next().is_none())
    }

    /// Waits until the sandbox has to be stopped. Run it outside the event loop, which a guest that computes keeps from
    /// turning.
    pub(super) async fn watch(&self) -> Stop {
        loop {
            let soonest = match self.review(Instant::now()) {
                Ok(soonest) => soonest,
                Err(stop) => return stop,
            };
            match soonest {
                Some(soonest) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(soonest) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Retires the sandbox if a call has had its grace, and returns when to look again, if ever.
    fn review(&self, now: Instant) -> Result<Option<Instant>, Stop> {
        let mut book = self.book();
        let mut soonest: Option<Instant> = None;
        let mut overdue = false;
        for call in book.calls.values_mut() {
            match call.stage {
                Stage::GivenUp { until, heard } if until <= now => {
                    overdue = true;
                    if heard {
                        call.stage = Stage::Overdue;
                        continue;
                    }
                    // A request that stopped waiting early does not shorten how long other calls may compute. At its
                    // deadline they have ended, or were given up themselves.
                    let patience = call.deadline.map_or(until, |deadline| until.max(deadline + self.grace));
                    if patience <= now {
                        return Err(Stop::Stuck);
                    }
                    soonest = Some(soonest.map_or(patience, |soonest| soonest.min(patience)));
                }
                Stage::GivenUp { until, .. } => soonest = Some(soonest.map_or(until, |soonest| soonest.min(until))),
                Stage::Overdue | Stage::Running => {}
            }
        }
        if overdue && book.life == Life::Open {
            book.life = Life::Retired { unused_since: None };
        }
        let is_used = |call: &InFlight| call.urgency == Urgency::Awaited && call.stage == Stage::Running;
        let used = book.calls.values().any(is_used);
        if let Life::Retired { unused_since } = &mut book.life
            && !used
        {
            let until = *unused_since.get_or_insert(now) + self.grace;
            if until <= now {
                return Err(Stop::Ignored);
            }
            soonest = Some(soonest.map_or(until, |soonest| soonest.min(until)));
        }
        Ok(soonest)
    }
}
