//! How many instances answer, which one does, and what they know of each other: with real components on a whole host.
//!
//! `stage` is the host and the words for asking it, `spread` what instances of one mount hear of each other, `shared`
//! mounts that have instances in common, `reload` what a plugin's change costs its callers.

#[path = "../support/guests.rs"]
mod guests;
mod reload;
mod shared;
mod spread;
mod stage;
