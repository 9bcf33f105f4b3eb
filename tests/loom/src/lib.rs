//! What must hold in every order in which threads can meet, and in every order in which a processor may show one's
//! stores to another. The files are the host's own; here their atomics are loom's, which tries all of those orders.
//! tokio's `Notify` is as it is: loom looks at what stands around it.
//!
//! A test ends only if nobody waits for ever: loom fails one in which a thread sleeps that nobody wakes.

#![cfg(test)]

#[path = "../../../src/pool/room.rs"]
mod room;
#[path = "../../../src/pool/waiters.rs"]
mod waiters;

use std::pin::pin;

use loom::future::block_on;
use loom::sync::{Arc, Mutex};
use loom::thread;

use room::Room;
use waiters::{Waiters, Waiting};

/// Waits as the host does: counts itself, looks, and sleeps only if there was nothing.
async fn until<'a>(join: impl Fn() -> Waiting<'a>, is_there: impl Fn() -> bool) {
    loop {
        let waiting = join();
        let mut told = pin!(waiting.told());
        told.as_mut().enable();
        if is_there() {
            return;
        }
        told.await;
    }
}

#[test]
fn room_that_is_given_back_is_found_by_the_one_that_waits() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        assert!(room.try_take());
        let waiter = thread::spawn({
            let room = Arc::clone(&room);
            move || block_on(until(|| room.wait(), || room.try_take()))
        });
        room.give_back();
        waiter.join().unwrap();
        assert!(!room.try_take(), "the one that waited has it");
    });
}

#[test]
fn there_is_room_for_no_more_than_there_may_be() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        let others = [(); 2].map(|()| {
            let room = Arc::clone(&room);
            thread::spawn(move || room.try_take())
        });
        let taken = others.map(|other| other.join().unwrap());
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
    });
}

#[test]
fn one_that_waits_for_an_idle_instance_is_told_of_it() {
    loom::model(|| {
        let (room, idle) = (Arc::new(Room::new(0)), Arc::new(Mutex::new(false)));
        let waiter = thread::spawn({
            let (room, idle) = (Arc::clone(&room), Arc::clone(&idle));
            move || block_on(until(|| room.wait(), || *idle.lock().unwrap()))
        });
        *idle.lock().unwrap() = true;
        room.can_be_made();
        waiter.join().unwrap();
    });
}

/// Switches between three threads that no thread asked for, in the orders that are tried. One more takes ten times as
/// long.
const SWITCHES: usize = 2;

#[test]
fn all_who_wait_are_told() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(SWITCHES);
    model.check(|| {
        let (waiters, open) = (Arc::new(Waiters::new()), Arc::new(Mutex::new(false)));
        let both = [(); 2].map(|()| {
            let (waiters, open) = (Arc::clone(&waiters), Arc::clone(&open));
            thread::spawn(move || block_on(until(|| waiters.join(), || *open.lock().unwrap())))
        });
        *open.lock().unwrap() = true;
        waiters.tell_all_after_lock();
        for waiter in both {
            waiter.join().unwrap();
        }
    });
}
