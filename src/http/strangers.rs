//! Who comes without a token: how often, with how much, and who is next. Counted by address, so that a flood from one
//! keeps nobody out who comes from another.
//!
//! A request is a [`Visit`]: it arrives (so many per second, so many at a time from one address), may be charged for
//! its body, and waits for its turn. Turns go round among addresses, and each address has only so many at a time.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::refusal::Refusal;
use crate::limits::Limits;

/// How long a request may wait for its turn: less than clients wait for an answer, so that they are told and do not
/// just leave.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How many seconds' worth of requests an address may send at once, after it was silent.
const BURST_SECONDS: u32 = 4;

/// Addresses that are remembered at a time, some 200 bytes each. One is forgotten when it has nothing under way and may
/// send as many as an unknown one again.
const ADDRESSES_MAX: usize = 32_768;

/// How often those are looked for at most, since that walks over all.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What counts as one address: of IPv6, the /64 that one customer is given at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// An address or a network.
    Network(IpAddr),
    /// A socket of this machine, or whatever an embedding server does not name.
    Unnamed,
}

impl Origin {
    pub(super) fn of(client: Option<SocketAddr>) -> Self {
        match client.map(|client| client.ip().to_canonical()) {
            None => Origin::Unnamed,
            Some(IpAddr::V4(address)) => Origin::Network(address.into()),
            Some(IpAddr::V6(address)) => {
                let network = u128::from(address) & (u128::MAX << 64);
                Origin::Network(IpAddr::V6(network.into()))
            }
        }
    }
}

/// All who are here, and what they may.
pub(super) struct Strangers {
    limits: Allowance,
    state: Mutex<State>,
}

/// The limits, as [`Limits`] has them.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    bytes: usize,
    address_bytes: usize,
    turns: usize,
    address_turns: usize,
    address_visits: usize,
    rate: f64,
    burst: f64,
}

#[derive(Default)]
struct State {
    addresses: HashMap<Origin, Address>,
    /// Addresses with somebody waiting, in the order of their turns.
    round: VecDeque<Origin>,
    turns: usize,
    bytes: usize,
    swept: Option<Instant>,
}

struct Address {
    /// Requests that it may still send at once, as of `counted`.
    tokens: f64,
    counted: Instant,
    visits: usize,
    turns: usize,
    bytes: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// One request without a token, from its arrival to its answer.
pub(super) struct Visit {
    strangers: Arc<Strangers>,
    origin: Origin,
    bytes: usize,
    turn: Option<Turn>,
}

/// The right to be answered. It goes to the next when it is dropped.
struct Turn {
    strangers: Arc<Strangers>,
    origin: Origin,
    is_taken: bool,
}

fn too_many(what: &str) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, format!("too many requests without a token from your address: {what}"))
}

impl Strangers {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let rate = f64::from(limits.address_requests_per_second_max);
        let limits = Allowance {
            bytes: limits.anonymous_bodies_bytes_max,
            address_bytes: limits.address_bodies_bytes_max,
            turns: limits.anonymous_requests_max,
            address_turns: limits.address_requests_max,
            address_visits: limits.address_queue_max,
            rate,
            burst: rate * f64::from(BURST_SECONDS),
        };
        Arc::new(Self { limits, state: Mutex::new(State::default()) })
    }

    /// Lets a request in, or says that too many come from there.
    pub(super) fn arrive(self: &Arc<Self>, client: Option<SocketAddr>) -> Result<Visit, Refusal> {
        let origin = Origin::of(client);
        let Allowance { rate, burst, address_visits, .. } = self.limits;
        let now = Instant::now();
        let mut state = self.state();
        if state.addresses.len() >= ADDRESSES_MAX && !state.addresses.contains_key(&origin) {
            state.sweep(now, rate, burst);
            if state.addresses.len() >= ADDRESSES_MAX {
                let message = "requests without a token come from too many addresses: try again later";
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
            }
        }
        let address = state.addresses.entry(origin).or_insert_with(|| Address::new(now, burst));
        address.refill(now, rate, burst);
        if address.visits >= address_visits {
            return Err(too_many(&format!("{address_visits} are under way")));
        }
        if address.tokens < 1.0 {
            return Err(too_many(&format!("{rate} a second may come, and {burst} at once")));
        }
        address.tokens -= 1.0;
        address.visits += 1;
        Ok(Visit { strangers: Arc::clone(self), origin, bytes: 0, turn: None })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free turns to who waits, one address after another. Who left meanwhile is passed over.
    fn pass_on(self: &Arc<Self>, state: &mut State) {
        let mut passed_over = 0;
        while state.turns < self.limits.turns && passed_over < state.round.len() {
            let Some(origin) = state.round.pop_front() else { return };
            let Some(address) = state.addresses.get_mut(&origin) else { continue };
            if address.turns >= self.limits.address_turns {
                state.round.push_back(origin);
                passed_over += 1;
                continue;
            }
            while let Some(waiting) = address.waiting.pop_front() {
                let turn = Turn { strangers: Arc::clone(self), origin, is_taken: true };
                match waiting.send(turn) {
                    Ok(()) => {
                        address.turns += 1;
                        state.turns += 1;
                        passed_over = 0;
                        break;
                    }
                    // It was never counted, and the lock that its return takes is held here.
                    Err(mut turn) => turn.is_taken = false,
                }
            }
            if !address.waiting.is_empty() {
                state.round.push_back(origin);
            }
        }
    }
}

impl State {
    fn sweep(&mut self, now: Instant, rate: f64, burst: f64) {
        if self.swept.is_some_and(|swept| now - swept < SWEEP_INTERVAL) {
            return;
        }
        self.swept = Some(now);
        self.addresses.retain(|_, address| {
            address.refill(now, rate, burst);
            address.visits > 0 || address.tokens < burst
        });
    }
}

impl Address {
    fn new(now: Instant, burst: f64) -> Self {
        Self { tokens: burst, counted: now, visits: 0, turns: 0, bytes: 0, waiting: VecDeque::new() }
    }

    fn refill(&mut self, now: Instant, rate: f64, burst: f64) {
        self.tokens = burst.min(self.tokens + (now - self.counted).as_secs_f64() * rate);
        self.counted = now;
    }
}

impl Visit {
    /// Counts bytes of its body, until it ends.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        let limits = self.strangers.limits;
        let mut state = self.strangers.state();
        let all = state.bytes + bytes;
        let Some(address) = state.addresses.get_mut(&self.origin) else { return Ok(()) };
        if address.bytes + bytes > limits.address_bytes || all > limits.bytes {
            let message = "requests without a token hold too much memory: try again later";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        address.bytes += bytes;
        state.bytes = all;
        self.bytes += bytes;
        Ok(())
    }

    /// Waits until it is this address's turn.
    pub(super) async fn wait(&mut self) -> Result<(), Refusal> {
        let waiting = {
            let mut state = self.strangers.state();
            let Some(address) = state.addresses.get_mut(&self.origin) else { return Ok(()) };
            let (turn, waiting) = oneshot::channel();
            let is_first = address.waiting.is_empty();
            address.waiting.push_back(turn);
            if is_first {
                state.round.push_back(self.origin);
            }
            self.strangers.pass_on(&mut state);
            waiting
        };
        match timeout(WAIT_MAX, waiting).await {
            Ok(Ok(turn)) => {
                self.turn = Some(turn);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "no turn came up within {} s among requests without a token: try again later",
                    WAIT_MAX.as_secs()
                ),
            )),
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.turn = None;
        let mut state = self.strangers.state();
        state.bytes -= self.bytes;
        if let Some(address) = state.addresses.get_mut(&self.origin) {
            address.visits -= 1;
            address.bytes -= self.bytes;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_taken {
            return;
        }
        let mut state = self.strangers.state();
        state.turns -= 1;
        if let Some(address) = state.addresses.get_mut(&self.origin) {
            address.turns -= 1;
        }
        self.strangers.pass_on(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn strangers(turns: usize, address_turns: usize) -> Arc<Strangers> {
        Strangers::new(&Limits {
            anonymous_requests_max: turns,
            address_requests_max: address_turns,
            address_queue_max: 5,
            anonymous_bodies_bytes_max: 100,
            address_bodies_bytes_max: 60,
            address_requests_per_second_max: 2,
            ..Limits::default()
        })
    }

    fn at(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 7))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_sends_so_many_a_second_and_holds_so_many() {
        let strangers = strangers(1, 1);
        let here = at("192.0.2.1");
        let held: Vec<_> = (0..5).map(|_| strangers.arrive(here).unwrap()).collect();
        let refused = strangers.arrive(here).err().unwrap();
        assert!(refused.status() == 429 && refused.message().contains("5 are under way"), "{refused:?}");
        assert!(strangers.arrive(at("192.0.2.2")).is_ok(), "another address is free to come");
        drop(held);
        let granted = (0..5).filter(|_| strangers.arrive(here).is_ok()).count();
        assert_eq!(granted, 3, "eight may come at once, and five had come");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..5).filter(|_| strangers.arrive(here).is_ok()).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_go_round_among_addresses() {
        let strangers = strangers(2, 1);
        let come = async |address: &str| {
            let mut visit = strangers.arrive(at(address)).unwrap();
            visit.wait().await.unwrap();
            visit
        };
        let first = come("192.0.2.1").await;
        let mut second = Box::pin(come("192.0.2.1"));
        let mut third = Box::pin(come("192.0.2.1"));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        // Another address has its own turn, however many wait here.
        let other = come("192.0.2.2").await;
        let mut late = Box::pin(come("192.0.2.3"));
        assert!((&mut late).now_or_never().is_none(), "there are two turns in all");
        drop(first);
        let late = match (&mut late).now_or_never() {
            Some(late) => {
                assert!((&mut second).now_or_never().is_none());
                late
            }
            None => {
                drop((&mut second).now_or_never().expect("the turn went to one of them"));
                late.await
            }
        };
        drop(other);
        // Who left gets none, and none is lost.
        drop((second, late));
        drop(third.await);
        assert_eq!(strangers.state().turns, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_counted_for_all_and_by_address() {
        let strangers = strangers(1, 1);
        let mut ada = strangers.arrive(at("192.0.2.1")).unwrap();
        let mut eve = strangers.arrive(at("192.0.2.2")).unwrap();
        ada.charge(60).unwrap();
        assert_eq!(ada.charge(1).unwrap_err().status(), 503, "of one address");
        assert_eq!(eve.charge(41).unwrap_err().status(), 503, "of all");
        eve.charge(40).unwrap();
        drop(ada);
        eve.charge(20).unwrap();
        drop(eve);
        assert_eq!(strangers.state().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_left_long_ago_is_forgotten() {
        let strangers = strangers(1, 1);
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
            drop(strangers.arrive(Some(SocketAddr::new(IpAddr::V4(number.into()), 7))).unwrap());
        }
        assert_eq!(strangers.arrive(at("2001:db8::1")).err().unwrap().status(), 503);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(strangers.arrive(at("2001:db8::1")).is_ok());
        assert_eq!(strangers.state().addresses.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        assert_eq!(Origin::of(at("2001:db8::1")), Origin::of(at("2001:db8::2:3:4")));
        assert_ne!(Origin::of(at("2001:db8::1")), Origin::of(at("2001:db8:0:1::1")));
        assert_eq!(Origin::of(at("::ffff:192.0.2.1")), Origin::of(at("192.0.2.1")));
    }
}
