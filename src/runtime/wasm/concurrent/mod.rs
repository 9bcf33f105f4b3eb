//! Sandboxes of the async world: one serves many calls at once.
//!
//! `instance` is what others call: it hands each call to the sandbox's own task and waits for the answer, until the
//! call's deadline. `event_loop` is that task, which owns the store. `calls` is what both know of the calls in flight.
//! `share` keeps work that no request waits for to its part of a core. What the guest may call is beside the plain
//! world's, in `imports`.
//!
//! A guest that computes holds the whole store, and nothing inside its event loop can stop it. So deadlines are kept by
//! the future that waits, and whether a given-up call ends is watched from outside the loop.

mod calls;
mod event_loop;
mod instance;
mod share;

pub(super) use instance::ConcurrentInstance;
pub(super) use share::Ration;

#[cfg(test)]
mod tests;
