//! The sandbox against plugins that mean harm: what they do ends in a clear error within the deadline, and nobody else
//! notices.
//!
//! `tests/guests` holds the plugins. `hostile` does on request what its path says; the others are refused when they are
//! registered.

mod bench;
#[path = "../support/guests.rs"]
mod guests;
mod journal;
mod json;

mod background;
mod bugs;
mod compile;
mod concurrent;
mod doors;
mod faults;
mod hoards;
mod lifecycle;
mod output;
mod registration;
mod turns;
