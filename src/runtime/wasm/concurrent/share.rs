//! How much processor time work has that no request waits for, and how a sandbox's task keeps to it.
//!
//! A request that waits has the whole core that its instance runs on. What runs beside that, in the background or after
//! an answer, has a share: a sandbox that used it up rests, and is woken at once when a request comes. All sandboxes of
//! a host together have a share too, however many there are.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::calls::Calls;
use crate::meter::PluginMeter;
use crate::runtime::wasm::clock::EPOCH_TICK;

/// One instance has a core divided by this for work that no request waits for. What refreshes a few leases needs
/// far less.
const INSTANCE_PARTS: u32 = 20;

/// The same for all instances of a host together: half a core, so that on the smallest machine the other half answers
/// requests.
const HOST_PARTS: u32 = 2;

/// What an instance that has rested may use at once: some large job, such as reading what was stored.
const INSTANCE_BURST: Duration = Duration::from_millis(200);

/// The same for all together. A request waits behind no more than this.
const HOST_BURST: Duration = Duration::from_millis(50);

/// What is set aside before something runs: a guest that computes is interrupted after this long.
const SLICE: Duration = EPOCH_TICK;

/// A share of a core, which is used and fills up again.
pub(in crate::runtime::wasm) struct Ration {
    parts: u32,
    burst: Duration,
    since: Instant,
    /// Until when, counted from `since`, all is paid that was used.
    paid: Mutex<Duration>,
}

impl Ration {
    /// Returns what all instances of a host share.
    pub(in crate::runtime::wasm) fn of_host() -> Self {
        Self::new(HOST_PARTS, HOST_BURST)
    }

    fn of_instance() -> Self {
        Self::new(INSTANCE_PARTS, INSTANCE_BURST)
    }

    fn new(parts: u32, burst: Duration) -> Self {
        let burst = burst * parts;
        // It begins full.
        Self { parts, burst, since: Instant::now(), paid: Mutex::default() }
    }

    /// Sets a slice aside, or says when there may be one.
    fn begin(&self) -> Result<(), Instant> {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        // All that was saved lies between `paid` and now.
        let now = self.burst + self.since.elapsed();
        if *paid > now {
            return Err(Instant::now() + (*paid - now));
        }
        *paid = (*paid).max(now - self.burst) + SLICE * self.parts;
        Ok(())
    }

    /// It ran so long, and not a slice.
    fn settle(&self, took: Duration) {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (*paid + took * self.parts).saturating_sub(SLICE * self.parts);
    }
}

/// Keeps the task of one sandbox to its share, and counts what it uses.
pub(super) struct Governor {
    calls: Arc<Calls>,
    own: Ration,
    of_host: Arc<Ration>,
    meter: Arc<PluginMeter>,
    rest: Pin<Box<Sleep>>,
}

/// For whom a sandbox runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// For a request that waits.
    Somebody,
    /// For work that no request waits for.
    Nobody,
}

impl Governor {
    pub(super) fn new(calls: Arc<Calls>, of_host: Arc<Ration>, meter: Arc<PluginMeter>) -> Self {
        let rest = Box::pin(sleep_until(Instant::now()));
        Self { calls, own: Ration::of_instance(), of_host, meter, rest }
    }

    /// Waits until the sandbox may run, and says for whom it does.
    pub(super) fn admit(&mut self, context: &mut Context<'_>) -> Poll<For> {
        // First, so that no request goes unnoticed that comes between the look and the rest.
        self.calls.hurried(context.waker());
        if !self.calls.nobody_waits() {
            return Poll::Ready(For::Somebody);
        }
        loop {
            let Err(until) = self.begin() else { return Poll::Ready(For::Nobody) };
            self.rest.as_mut().reset(until);
            if self.rest.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn begin(&self) -> Result<(), Instant> {
        self.own.begin()?;
        self.of_host.begin().inspect_err(|_| self.own.settle(Duration::ZERO))
    }

    /// It ran so long.
    pub(super) fn ran(&self, whom: For, took: Duration) {
        self.meter.ran(took, whom == For::Nobody);
        if whom == For::Nobody {
            self.own.settle(took);
            self.of_host.settle(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::wasm::concurrent::calls::Urgency;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Runs a governor that always has something to do, for a minute, and returns how long it ran.
    async fn spin(mut governor: Governor, slice: Duration) -> Duration {
        let begun = Instant::now();
        let mut ran = Duration::ZERO;
        while begun.elapsed() < MINUTE {
            let whom = std::future::poll_fn(|context| governor.admit(context)).await;
            tokio::time::advance(slice).await;
            governor.ran(whom, slice);
            ran += slice;
        }
        ran
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_has_a_share_however_it_is_cut() {
        for slice in [Duration::from_micros(500), SLICE, Duration::from_millis(400)] {
            let (calls, meter) = (Arc::new(Calls::new(MINUTE)), Arc::new(PluginMeter::default()));
            let governor = Governor::new(Arc::clone(&calls), Arc::new(Ration::of_host()), Arc::clone(&meter));
            let ran = spin(governor, slice).await;
            let share = MINUTE / INSTANCE_PARTS;
            assert!(ran >= share / 2 && ran <= share + INSTANCE_BURST + slice * 2, "{slice:?}: {ran:?}");
            let counts = meter.read();
            assert_eq!((counts.cpu, counts.background_cpu), (ran, ran));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_instances_together_have_a_share() {
        let of_host = Arc::new(Ration::of_host());
        let ran = Mutex::new(Duration::ZERO);
        let begun = Instant::now();
        let work = |_| async {
            let (calls, meter) = (Arc::new(Calls::new(MINUTE)), Arc::new(PluginMeter::default()));
            let mut governor = Governor::new(calls, Arc::clone(&of_host), meter);
            while begun.elapsed() < MINUTE {
                let whom = std::future::poll_fn(|context| governor.admit(context)).await;
                if begun.elapsed() >= MINUTE {
                    // Each waits for its turn when the minute is over, and has it at last.
                    break;
                }
                // Others may run meanwhile, as on other threads.
                tokio::task::yield_now().await;
                governor.ran(whom, SLICE);
                *ran.lock().unwrap() += SLICE;
            }
        };
        futures_util::future::join_all((0..100).map(work)).await;
        let ran = *ran.lock().unwrap();
        let share = MINUTE / HOST_PARTS;
        assert!(ran >= share / 2 && ran <= share + HOST_BURST + SLICE * 2, "{ran:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_wakes_it_and_pays_nothing() {
        let calls = Arc::new(Calls::new(MINUTE));
        let mut governor =
            Governor::new(Arc::clone(&calls), Arc::new(Ration::of_host()), Arc::new(PluginMeter::default()));
        let background = calls.enter(Urgency::Background, None).unwrap();
        governor.own.settle(MINUTE);
        let begun = Instant::now();
        let asker = Arc::clone(&calls);
        let asked = tokio::spawn(async move { asker.enter(Urgency::Awaited, None).unwrap() });
        let whom = std::future::poll_fn(|context| governor.admit(context)).await;
        assert_eq!((whom, begun.elapsed()), (For::Somebody, Duration::ZERO));
        governor.ran(whom, MINUTE);
        calls.answer(asked.await.unwrap().number, Err(crate::runtime::Failure::Host("over".to_owned())));
        assert!(calls.nobody_waits());
        assert!(std::future::poll_fn(|context| Poll::Ready(governor.admit(context))).await.is_pending());
        // So does giving the work up, which it has to hear of.
        calls.give_up(background.number);
        let whom = std::future::poll_fn(|context| governor.admit(context)).await;
        assert_eq!((whom, begun.elapsed()), (For::Somebody, Duration::ZERO));
    }
}
