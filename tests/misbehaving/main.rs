//! Native plugins that fail, lie or mean harm: each ends in an error that says why, within its limit; the mount beside
//! it answers before, meanwhile and after; and no process is left.
//!
//! `stage` is a host with such a neighbour. `scripts` are the plugins that a shell script can be; the others are Go
//! programs, which misbehave as their arguments say. `journal` is what the host logs.

#[path = "../support/go.rs"]
mod go;
#[path = "../support/guests.rs"]
mod guests;
#[path = "../sandbox/journal.rs"]
mod journal;
mod processes;
mod stage;

mod answers;
mod backends;
mod crashes;
mod files;
mod handshakes;
mod output;
mod steps;
